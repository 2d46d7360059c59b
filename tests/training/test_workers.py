"""Processes of a run: workers may have children, and none of theirs or ours stays behind."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from command import TINY, mistake, process, succeeds
from test_signals import alive, children, until

from rlbench.recipe import Recipe
from rlbench.rollout import signals
from rlbench.rollout.signals import Interrupted, Interrupts
from rlbench.training import workers
from rlbench.training.train import train

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="watches processes through /proc")

#: An environment whose simulator is a process of its own, which writes its number to a file and works for ever.
SIMULATED = """
    import multiprocessing, os, time
    import gymnasium as gym, numpy as np

    def simulate(folder):
        open(os.path.join(folder, str(os.getpid())), "w").close()
        while True:
            time.sleep(0.05)

    class Simulated(gym.Env):
        observation_space, action_space = gym.spaces.Box(0, 1, (2,)), gym.spaces.Discrete(2)
        def __init__(self, ending="close", method="fork"):
            process = multiprocessing.get_context(method).Process
            self.simulator = process(target=simulate, args=(os.environ["PIDS"],), daemon=True)
            self.simulator.start()
            self.ending = ending
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.t = 0
            return np.zeros(2, np.float32), {}
        def step(self, action):
            self.t += 1
            if self.ending == "raise" and self.t == 7:
                raise RuntimeError("simulator lost its connection")
            if self.ending == "slow":
                time.sleep(0.001)
            return np.zeros(2, np.float32), 1.0, self.t == 10, False, {}
        def close(self):
            if self.ending == "close":
                self.simulator.terminate()
                self.simulator.join()

    gym.register("test/Simulated-v0", Simulated)
"""


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str | Path, ...]:
    """The words of a command that trains there."""
    (tmp_path / "simulated.py").write_text(textwrap.dedent(SIMULATED))
    (tmp_path / "pids").mkdir()
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    which = ("--import", tmp_path / "simulated.py", "--env", "test/Simulated-v0", "--out", tmp_path / "run")
    return ("train", *which, *TINY)


def simulators(tmp_path: Path) -> list[int]:
    return [int(path.name) for path in (tmp_path / "pids").iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("ending", ["close", "forgets", "raise"])
def test_an_environment_may_own_processes(
    ending: str, workers: str, simulated: tuple[str | Path, ...], tmp_path: Path
) -> None:
    run = process(*simulated, "--workers", workers, "--set", f'env_kwargs.ending="{ending}"')
    _, err = run.communicate(timeout=60)
    assert run.returncode == (1 if ending == "raise" else 0), err
    assert "Traceback" not in err
    assert len(simulators(tmp_path)) >= 2
    until(lambda: not any(map(alive, simulators(tmp_path))), 10)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["interrupt", "kill a worker"])
def test_nothing_stays_behind_when_a_run_is_cut_off(
    what: str, simulated: tuple[str | Path, ...], tmp_path: Path
) -> None:
    slow = ("--total-steps", "1000000", "--workers", "2", "--set", 'env_kwargs.ending="slow"')
    run = process(*simulated, *slow)
    until(lambda: len(list(tmp_path.glob("run/workers/*/episodes.csv"))) == 2 and len(simulators(tmp_path)) >= 4)
    workers = [pid for pid in children(run.pid) if pid not in simulators(tmp_path)]
    os.kill(run.pid if what == "interrupt" else workers[0], signal.SIGINT if what == "interrupt" else signal.SIGKILL)
    _, err = run.communicate(timeout=60)
    assert run.returncode == (130 if what == "interrupt" else 1), err
    if what != "interrupt":
        assert "was killed by SIGKILL, as is done where memory runs out" in err
    assert "Traceback" not in err
    until(lambda: not any(map(alive, [*workers, *simulators(tmp_path)])), 10)


def test_a_forked_process_has_the_handlers_of_before() -> None:
    before = {number: signal.getsignal(number) for number in signals._SIGNALS}
    here, there = os.pipe()
    with Interrupts() as outer, Interrupts():
        if not (pid := os.fork()):
            kept = all(signal.getsignal(number) == handler for number, handler in before.items())
            os.write(there, b"y" if kept else b"n")
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(here, 1) == b"y"
        os.kill(os.getpid(), signal.SIGTERM)  # we still listen
    assert not outer.signal
    assert {number: signal.getsignal(number) for number in signals._SIGNALS} == before
    os.close(here), os.close(there)


def test_a_hangup_saves_but_is_ignored_where_it_was_before() -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.signal == signal.SIGHUP
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupts.signal
    finally:
        signal.signal(signal.SIGHUP, old)


@pytest.mark.slow
def test_nothing_is_changed_by_an_import() -> None:
    script = (
        "import os, sys\n"
        "def changed(*_): raise SystemExit('the umask was set')\n"
        "os.umask = changed\n"
        "import rlbench, rlbench.cli, rlbench.training.train"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_have_the_permissions_that_the_user_asks_for(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        succeeds("train", "--env", "CartPole-v1", *TINY, "--out", tmp_path / "run")
    finally:
        os.umask(old)
    for name in ("checkpoint.pth", "replay.pth", "episodes.csv"):
        assert (tmp_path / "run" / name).stat().st_mode & 0o777 == 0o640
    assert not list((tmp_path / "run").glob(".*.tmp"))


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import rlbench\nrlbench.train('CartPole-v1', seeds=2, workers=2, threads=2, total_steps=50, out='run')\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no main guard" in done.stderr.splitlines()[-1]
    assert "memory" not in done.stderr


def test_fewer_steps_than_are_done(tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeeds("train", "--env", "CartPole-v1", *TINY, "--num-envs", "1", "--out", run)
    said = mistake("train", "--resume", run, "--total-steps", "100")
    assert re.search(r"has done 120 steps already, so it cannot end at 100\. .* --total-steps 240$", said)
    (run / "summary.json").unlink()  # cut off in its last evaluation
    assert "has done 120 steps already" in mistake("train", "--resume", run, "--total-steps", "119")
    succeeds("train", "--resume", run, "--total-steps", "120", "--progress", "none")


def test_a_folder_without_a_checkpoint_can_be_used_again(tmp_path: Path) -> None:
    run, words = tmp_path / "a run", ("train", "--env", "CartPole-v1", *TINY, "--out")
    succeeds(*words, run)
    assert "already holds a run" in mistake(*words, run)
    for name in ("checkpoint.pth", "replay.pth", "best.pth", "summary.json"):
        (run / name).unlink()
    episodes = (run / "episodes.csv").read_text()
    (run / "episodes.csv").write_text(episodes + episodes.splitlines()[-1] + "\n")
    said = mistake("train", "--resume", run)
    program, *again = shlex.split(said.partition("Start it again with: ")[2])
    assert program == "rlbench"
    succeeds(*again, "--progress", "none")
    assert len((run / "episodes.csv").read_text().splitlines()) == len(episodes.splitlines())
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "recipe.toml").write_text('env = "CartPole-v1"  # a comment of mine\n')
    assert "already holds a run" in mistake(*words, mine)
    assert "mine" in (mine / "recipe.toml").read_text()


def test_ctrl_c_while_files_are_joined_leaves_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = workers.join_workers

    def interrupted(folder: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        joined(folder)

    monkeypatch.setattr(workers, "join_workers", interrupted)
    keys: dict[str, Any] = {"seeds": 2, "workers": 2, "total_steps": 60, "final_eval_episodes": 1, "eval_every": 0}
    with pytest.raises(Interrupted) as caught:
        train(recipe=Recipe(env="CartPole-v1", agent="random", device="cpu", **keys), out=tmp_path / "run")
    assert caught.value.exit_code == 128 + signal.SIGINT
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["env_steps"] == 60
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"episodes.csv", "checkpoint.pth", "curve.png"}
