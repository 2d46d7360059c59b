"""An environment that does what a table beside it says, and writes down everything that it was given and gave.

The drill copies this file beside a ``case.json`` and hands it to rlbench with ``--import``. It is user code: it uses
nothing of rlbench but the drill's own table of values. ``ODD_HEAL`` in the process's environment lets it behave;
``ODD_PART`` names what it is used for, and ``ODD_SIGNAL=NAME:N`` sends a signal to the command at its N-th step.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rlbench.experiments.drills.odd.answers import ANSWERS, FLAGS, INFOS, REWARDS
from rlbench.experiments.drills.odd.values import SPOILERS, build, draw, replaced, told

HERE = Path(__file__).resolve().parent
CASE = json.loads((HERE / "case.json").read_text())
HEALED = bool(os.environ.get("ODD_HEAL"))
WRONG = {} if HEALED else CASE["wrong"]  # method, or part of what `step` returns -> what is done
SHARED = {"steps": 0, "instances": 0, "kept": 0}


class World(gym.Env):
    """Episodes of 5 to 12 steps; everything follows from the reset's seed, unless the table says otherwise."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, render_mode: str | None = None) -> None:
        SHARED["instances"] += 1
        self.number, self.render_mode, self.age = SHARED["instances"], render_mode, 0
        self.account = Account()
        self.held: list[Any] = []
        if WRONG.get("spaces") not in ("set-in-reset", "missing"):
            self._make_spaces()
        self.observed: Any = None
        self.do("init")

    def _make_spaces(self) -> None:
        how = WRONG.get("spaces", "")
        self.observation_space: Any = build(CASE["obs"])
        self.action_space: Any = build(CASE["action"])
        if how == "changing" and self.number > 1:
            self.observation_space = gym.spaces.Box(-1, 1, (self.number + 3,))
        elif how == "changing-actions" and self.number > 1:
            self.action_space = gym.spaces.Discrete(self.number + 5)
        elif how == "none":
            self.observation_space = None
        elif how == "no-actions":
            self.action_space = None
        elif how == "class":
            self.observation_space = gym.spaces.Box
        elif how == "list":
            self.observation_space = [4]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if WRONG.get("spaces") == "set-in-reset":
            self._make_spaces()
        if not hasattr(self, "observation_space"):
            raise AttributeError("odd has no spaces")
        if seed is not None or not hasattr(self, "rng"):
            self.rng = np.random.default_rng(seed)
        self.t, self.length, self.dies = 0, int(self.rng.integers(5, 13)), bool(self.rng.integers(2))
        self.do("reset")
        obs = self._observation()
        self.account.add("reset", seed, told(obs))
        how = WRONG.get("reset-gives", "")
        info: Any = {"instead-of-info": None, "info-list": [1]}.get(how, {})
        return obs if how == "bare" else (obs, info, 0) if how == "three" else (obs, info)

    def step(self, action: Any) -> Any:
        given, inside = told(action), self.action_space is None or self.action_space.contains(np.asarray(action))
        self.t, self.age, SHARED["steps"] = self.t + 1, self.age + 1, SHARED["steps"] + 1
        _signal_when_due()
        self.do("step")
        reward = round(float(self.rng.normal()), 3) + float(np.sum(np.nan_to_num(np.asarray(action, np.float64))) % 7)
        if "action" in WRONG and isinstance(action, np.ndarray):
            action *= 0
        if WRONG.get("reward") == "unseeded":
            reward = float(np.random.default_rng().normal())
        if WRONG.get("reward") == "kept":
            SHARED["kept"] += 1
            reward = float(SHARED["kept"])
        obs, over = self._observation(), self.t >= self.length
        terminated, truncated = over and self.dies, over and not self.dies
        due = self.t >= CASE["at"]
        if due and "reward" in WRONG:
            reward = REWARDS.get(WRONG["reward"], lambda r: r)(reward)
        if due and "flags" in WRONG:
            terminated, truncated = FLAGS[WRONG["flags"]](terminated), FLAGS[WRONG["flags"]](truncated)
        answered = told(reward), told(terminated), told(truncated), told(obs)
        self.account.add("step", given, *answered, inside, type(action).__name__)
        info = INFOS[WRONG["info"]]() if due and "info" in WRONG else {}
        answer: Any = (obs, reward, terminated, truncated, info)
        return ANSWERS[WRONG["answer"]](answer) if due and "answer" in WRONG else answer

    def _observation(self) -> Any:
        how = WRONG.get("obs", "")
        rng = np.random.default_rng() if how == "unseeded" else self.rng
        obs = draw(self.observation_space if isinstance(self.observation_space, gym.Space) else build(CASE["obs"]), rng)
        if how == "same-array" and isinstance(obs, np.ndarray):
            if self.observed is None:
                self.observed = obs
            np.copyto(self.observed, obs)
            return self.observed
        if how in SPOILERS and self.t >= CASE["at"]:
            obs = replaced(obs, CASE["place"], SPOILERS[how])
        if how == "key-missing":
            obs = dict(list(obs.items())[1:])
        if how == "key-more":
            obs = {"aa odd": np.zeros(3, np.float32), **obs}
        if how == "keys-reordered":
            obs = dict(reversed(obs.items()))
        if how == "part-missing":
            obs = obs[1:]
        return obs

    def render(self) -> Any:
        self.do("render")
        picture = np.full((24, 32, 3), 10 * self.t % 256, np.uint8)
        return {"nothing": None, "floats": picture / 255, "grey": picture[..., 0], "list": [picture]}.get(
            WRONG.get("render-gives", ""), picture
        )

    def close(self) -> None:
        for held in self.held:
            held()
        self.do("close")

    def do(self, where: str) -> None:
        """What the table says of this method, from the step on that it names."""
        what = WRONG.get(where)
        due = where in ("init", "close", "render") or self.age >= CASE["at"]
        if what is not None and due and (what not in ONCE or _once(self, what)):
            ACTS[what](self)


class Account:
    """A file per environment copy, one line per call, on the disk at once."""

    def __init__(self) -> None:
        part = os.environ.get("ODD_PART", "none")
        (HERE / "account" / part).mkdir(parents=True, exist_ok=True)
        self.path = HERE / "account" / part / f"{os.getpid()}-{SHARED['instances']}-{time.monotonic_ns()}.jsonl"

    def add(self, *what: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(what) + "\n")


def _signal_when_due() -> None:
    """Send what ODD_SIGNAL says, once."""
    name, _, at = os.environ.get("ODD_SIGNAL", "").partition(":")
    if not name or SHARED["steps"] < int(at):
        return
    try:
        os.close(os.open(HERE / "account" / f"signalled-{os.environ['ODD_PART']}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if name == "SIGKILL":
        os.kill(os.getsid(0), signal.SIGKILL)  # the command leads its session
        time.sleep(0.05)
    else:
        os.killpg(os.getsid(0), getattr(signal, name))  # as a terminal does


def _raise(error: BaseException) -> Any:
    raise error


def _once(world: World, name: str) -> bool:
    """Whether ``name`` has not been done in this copy."""
    done = world.__dict__.setdefault("done", set())
    return not (name in done or done.add(name))


def _process(world: World) -> None:
    if _once(world, "process"):
        child = multiprocessing.Process(target=_live, args=(os.getpid(),))
        child.start()
        world.held += [child.terminate, child.join]


def _live(parent: int) -> None:
    """A child that works until it is told to stop, or its parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.05)


def _program(world: World) -> None:
    if _once(world, "program"):
        code = f"import os, time\nwhile os.getppid() == {os.getpid()}: time.sleep(0.05)"
        child = subprocess.Popen([sys.executable, "-S", "-E", "-c", code])
        world.held += [child.terminate, child.wait]


def _thread(world: World) -> None:
    if _once(world, "thread"):
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        world.held += [stop.set, thread.join]


def _torch(name: str, *args: Any) -> None:
    import torch

    getattr(torch, name)(*args)


def _dtype() -> None:
    import torch

    torch.set_default_dtype(torch.float64)


def _alarm() -> None:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _quiet() -> None:
    import logging
    import warnings

    warnings.simplefilter("error")
    logging.disable()


ONCE = {  # of a copy's life; the others whenever their time has come
    "torch-device", "torch-deterministic", "torch-denormal", "seterr", "warnings", "signals", "signals-default",
    "sigchld", "stdout", "locale", "alarm",
}  # fmt: skip
LINES = "the simulator says no\n  because of line two\n  and line three"
ACTS: dict[str, Any] = {
    "raise": lambda world: _raise(RuntimeError("the simulator lost its connection")),
    "raise-bare": lambda world: _raise(RuntimeError()),
    "raise-lines": lambda world: _raise(RuntimeError(LINES)),
    "raise-blank-lines": lambda world: _raise(ValueError("\n\n" + LINES)),
    "raise-assert": lambda world: _raise(AssertionError()),
    "raise-assert-lines": lambda world: _raise(AssertionError(LINES)),
    "raise-key": lambda world: _raise(KeyError("speed")),
    "raise-stop": lambda world: _raise(StopIteration()),
    "raise-generator-exit": lambda world: _raise(GeneratorExit()),
    "raise-os": lambda world: _raise(OSError(28, "No space left on device")),
    "raise-pipe": lambda world: _raise(BrokenPipeError(32, "Broken pipe")),
    "raise-memory": lambda world: _raise(MemoryError()),
    "raise-not-implemented": lambda world: _raise(NotImplementedError()),
    "raise-import": lambda world: _raise(ModuleNotFoundError("No module named 'simulator'", name="simulator")),
    "raise-unicode": lambda world: "\ud800".encode(),
    "raise-recursion": lambda world: ACTS["raise-recursion"](world),
    "raise-type": lambda world: len(5),  # type: ignore[arg-type]
    "raise-attribute": lambda world: world.simulator.speed,
    "exit": lambda world: sys.exit(),
    "exit-0": lambda world: sys.exit(0),
    "exit-3": lambda world: sys.exit(3),
    "exit-text": lambda world: sys.exit("odd: the licence has run out"),
    "interrupt": lambda world: _raise(KeyboardInterrupt()),
    "chdir": lambda world: os.chdir("/"),
    "dtype": lambda world: _dtype(),
    "no-grad": lambda world: _torch("set_grad_enabled", False),
    "torch-threads": lambda world: _torch("set_num_threads", 2),
    "torch-seed": lambda world: _torch("manual_seed", 1),
    "torch-device": lambda world: _torch("set_default_device", "meta"),
    "torch-deterministic": lambda world: _torch("use_deterministic_algorithms", True),
    "torch-denormal": lambda world: _torch("set_flush_denormal", False),
    "seterr": lambda world: np.seterr(all="raise"),
    "numpy-print": lambda world: np.set_printoptions(threshold=1, precision=1),
    "warnings": lambda world: _quiet(),
    "signals": lambda world: [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)],
    "signals-default": lambda world: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGTERM)],
    "sigchld": lambda world: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    "alarm": lambda world: _alarm(),
    "umask": lambda world: os.umask(0o777),
    "environ": lambda world: os.environ.update(HOME="/nowhere", TMPDIR="/nowhere", COLUMNS="3"),
    "locale": lambda world: __import__("locale").setlocale(__import__("locale").LC_ALL, "C"),
    "recursion-limit": lambda world: sys.setrecursionlimit(5000),
    "path": lambda world: sys.path.insert(0, str(HERE)),
    "stdout": lambda world: setattr(sys, "stdout", open(os.devnull, "w")),  # noqa: SIM115
    "gc": lambda world: __import__("gc").disable(),
    "process": _process,
    "program": _program,
    "thread": _thread,
    "print": lambda world: print("odd: " + "chatter " * 20 + "\nodd: more"),
    "print-error": lambda world: print("odd: warning of the simulator", file=sys.stderr),
    "slow": lambda world: time.sleep(0.002),
    "garbage": lambda world: world.__dict__.update(rubbish=[np.zeros(1000) for _ in range(5)]),
}

if not HEALED and "import" in WRONG:
    ACTS[WRONG["import"]](World.__new__(World))
gym.register("Odd-v0", lambda **kwargs: World(**kwargs))
