"""An environment or an agent that fails while a run is under way: what there is is saved, and what is printed works."""

import re
import shlex
import textwrap
from pathlib import Path

import gymnasium
import pytest
import torch
from command import TINY, assert_same_record, mistake, rlbench, succeeds, timeless
from conftest import slow
from test_promises import assert_same

from rlbench.border.make import env_maker
from rlbench.errors import AgentError
from rlbench.rollout.env_batch import EnvBatch
from rlbench.runfolder import checkpoint_file

#: An environment that goes wrong at one place, and stays whole once the file "mended" lies beside it.
FAULTY = """
    import math, pathlib, sys
    import gymnasium as gym, numpy as np

    HERE = pathlib.Path(__file__).parent

    from rlbench import rng

    class Faulty(gym.Env):
        observation_space, action_space = gym.spaces.Box(0, 1, (2,)), gym.spaces.Discrete(2)
        def __init__(self, how, round=-1):
            self.how, _, self.where = how.partition(" ")
            stream, episode = ("env", 2) if round < 0 else ("evaluate", round * 10**6)
            self.odd = rng.episode_seed(1, stream, 0, episode)
        def bad(self, where):
            if where != self.where or self.seed != self.odd or (HERE / "mended").exists():
                return 0.0
            if self.how == "raise":
                raise RuntimeError("simulator lost its connection\\nsecond line")
            if self.how == "exit":
                sys.exit()
            if self.how == "interrupt":
                raise KeyboardInterrupt
            assert self.how != "assert"
            return math.nan
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            if (HERE / "broken").exists():
                raise RuntimeError("no simulator answers")
            self.t, self.seed = 0, seed
            return np.full(2, self.np_random.random() + self.bad("reset"), np.float32), {}
        def step(self, action):
            self.t += 1
            if (HERE / "broken step").exists() and self.seed == rng.episode_seed(1, "env", 0, 12):
                raise RuntimeError("the simulator of one seed is gone")
            bad = self.bad("step") if self.t == 7 else 0.0
            return np.full(2, self.np_random.random(), np.float32), 1.0 + action + bad, self.t == 10, False, {}

    gym.register("test/Faulty-v0", Faulty)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a blank in its name, and the environment's file in it."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / code(folder)).write_text(textwrap.dedent(FAULTY))
    gymnasium.registry.pop("test/Faulty-v0", None)
    return folder


def code(place: Path) -> str:
    """Name of the environment's file; each test has one of its own."""
    return f"faulty_{place.parent.name}.py"


def words(place: Path, how: str, *more: str | Path, out: str = "run") -> tuple[str | Path, ...]:
    kwargs = ("--set", f'env_kwargs.how="{how}"')
    return (
        "train", "--import", place / code(place), "--env", "test/Faulty-v0", *TINY, "--num-envs", "1", *kwargs, *more,
        "--out", place / out,
    )  # fmt: skip


def printed(said: str) -> list[str]:
    """The words of the command that a message ends with."""
    program, *rest = shlex.split(re.findall(r"rlbench (?:train|play) .*", said)[-1].removeprefix("")[0:])
    assert program == "rlbench"
    return rest


def follow(said: str) -> None:
    succeeds(*printed(said), *(() if "--progress" in said else ("--progress", "none")))


@pytest.mark.parametrize("num_envs", ["1", slow("3")])
@pytest.mark.parametrize("how", ["raise step", slow("raise reset"), slow("exit step"), slow("assert step"), "nan step"])
def test_a_step_that_fails_is_gone_on_with(how: str, num_envs: str, place: Path) -> None:
    said = mistake(*words(place, how, "--num-envs", num_envs))
    assert re.search(r"\(seed 1, env 0\)", said)
    kept = checkpoint_file.load(place / "run" / "checkpoint.pth", "checkpoint")
    assert kept["env_steps"] == (20 if "reset" in how else 26) * int(num_envs) - ("reset" in how) * int(num_envs)
    dumped = checkpoint_file.load(place / "run" / "faults" / f"step-{kept['env_steps']}.pth", "dump")
    assert dumped["seeds"] == [1]
    assert len((place / "run" / "episodes.csv").read_text().splitlines()) >= 3
    go_on = printed(said)[:-2] if "nan" in how else printed(said)  # without --on-nan skip-seed
    again = mistake(*go_on, "--progress", "none")
    assert again.partition(".")[0] == said.partition(".")[0]  # it fails at the same place
    (place / "mended").touch()
    succeeds(*go_on, "--progress", "none")
    succeeds(*words(place, how, "--num-envs", num_envs, out="whole"))
    assert_same_record(place / "run", place / "whole")
    for name in ("checkpoint", "replay"):
        ours, theirs = (checkpoint_file.load(place / run / f"{name}.pth", name) for run in ("run", "whole"))
        assert_same(ours["replay" if name == "replay" else "agent"], theirs["replay" if name == "replay" else "agent"])


@pytest.mark.parametrize(
    ("how", "workers"), [("interrupt step", "1"), slow("interrupt reset", "1"), slow("interrupt step", "2")]
)
def test_a_ctrl_c_that_the_environment_took_is_one_all_the_same(how: str, workers: str, place: Path) -> None:
    result = rlbench(*words(place, how, "--workers", workers))
    assert result.exit_code == 130, result.output
    assert result.stdout == ""
    assert re.fullmatch(r"stopped by SIGINT; everything is saved\. Go on with: .*", result.stderr.splitlines()[-1])
    (place / "mended").touch()
    succeeds(*printed(result.stderr), "--progress", "none")
    succeeds(*words(place, how, "--workers", workers, out="whole"))
    assert_same_record(place / "run", place / "whole")


@pytest.mark.parametrize("workers", ["1", slow("2")])
def test_a_seed_whose_numbers_are_not_finite_is_left_behind_as_is_printed(workers: str, place: Path) -> None:
    said = mistake(*words(place, "nan step", "--workers", workers))
    assert said.endswith("--on-nan skip-seed")
    result = rlbench(*printed(said), "--progress", "none")
    assert result.exit_code == 0, result.output
    skipped = rlbench(*words(place, "nan step", "--workers", workers, "--on-nan", "skip-seed", out="whole"))
    assert skipped.exit_code == 0, skipped.output
    assert "left behind" in skipped.stderr
    assert_same_record(place / "run", place / "whole")


@pytest.mark.parametrize("how", ["raise step", slow("nan step"), slow("exit reset"), "nan reset"])
@pytest.mark.parametrize("at", ["60", slow("120"), slow("0")])
def test_an_evaluation_that_fails_is_gone_on_with(how: str, at: str, place: Path) -> None:
    more = ("--set", f"env_kwargs.round={at}", "--set", f"eval_every={60 if at == '60' else 0}")
    said = mistake(*words(place, how, *more))
    assert "--on-nan skip-seed" in said or "nan" not in how
    kept = checkpoint_file.load(place / "run" / "checkpoint.pth", "checkpoint")
    assert kept["env_steps"] == (60 if at == "60" else 120)
    if "nan" in how:
        result = rlbench(*printed(said), "--progress", "none")
        assert result.exit_code == 0, result.output
        assert "left behind" in result.stderr or "no final score" in result.stderr
        return
    (place / "mended").touch()
    follow(said)
    succeeds(*words(place, how, *more, out="whole"))
    for name in ("episodes.csv", "evaluations.csv"):
        assert (place / "run" / name).read_text().count("\n") == (place / "whole" / name).read_text().count("\n")
    assert_same_record(place / "run", place / "whole")


#: Agents that go wrong at their 30th step.
AGENTS = """
    import sys
    import torch
    import rlbench

    class Base(rlbench.Agent):
        def __init__(self, spec, config, streams):
            self.spec, self.n, self.weights = spec, 0, torch.zeros(spec.num_seeds, 3)
        def act(self, obs, *, explore):
            self.n += explore
            return self.chosen(torch.zeros(obs.shape[:2], dtype=torch.int64), explore)
        def chosen(self, action, explore):
            return action
        @property
        def late(self):
            return self.n >= 30
        def observe(self, transition): ...
        def update(self):
            return {"loss": torch.ones(self.spec.num_seeds)}
        def state_dict(self):
            return {"n": self.n, "weights": self.weights}
        def load_state_dict(self, state):
            self.n, self.weights = state["n"], state["weights"].clone()

    class Raises(Base):
        def observe(self, transition):
            if self.late: raise KeyError("no such thing")
    class Exits(Base):
        def update(self):
            if self.late: sys.exit()
            return {}
    class Nothing(Base):
        def chosen(self, action, explore): return None if self.late else action
    class Floats(Base):
        def chosen(self, action, explore): return action.float() if self.late else action
    class Flat(Base):
        def chosen(self, action, explore): return action.flatten() if self.late else action
    class ListOfMetrics(Base):
        def update(self): return [1.0] if self.late else {}
    class NumberAsMetric(Base):
        def update(self): return {"loss": 1.0} if self.late else {}
    class Diagnoses(Base):
        def diagnostics(self): return None if self.late else {}
    class Stateless(Base):
        def state_dict(self): return None if self.late else super().state_dict()
    class Grows(Base):
        def state_dict(self):
            return {"n": self.n, "weights": torch.zeros(self.spec.num_seeds, 3 + self.n)}
    class Objects(Base):
        def state_dict(self): return {"n": self, "weights": self.weights}
    class Diverges(Base):
        def update(self):
            loss = torch.ones(self.spec.num_seeds)
            loss[-1] = float("nan") if self.late else 1
            return {"loss": loss}
    class Asserts(Base):
        def load_state_dict(self, state): assert state["n"] == 0
"""


@pytest.mark.parametrize(
    ("name", "words_said"),
    [
        ("Raises", r"agents\.py:\d+, in observe: KeyError: 'no such thing'"),
        ("Exits", r"agents\.py:\d+, in update: SystemExit"),
        ("Nothing", r"the agent gave actions of type NoneType, expected a Tensor"),
        ("Floats", r"of torch.float32, expected integers from 0 to 1"),
        ("Flat", r"the agent gave actions of shape \(2,\), expected \(2, 1\)"),
        ("ListOfMetrics", r"update gave a list, expected a dict"),
        ("NumberAsMetric", r"update gave a metric 'loss' of shape float"),
        ("Diagnoses", r"diagnostics gave a NoneType, expected a dict"),
        ("Stateless", r"state_dict gave a NoneType, expected a dict"),
        ("Grows", r"in its state_dict 'weights' has the shape \(2, 83\), and had the shape \(2, 43\) earlier"),
        ("Objects", r"cannot save checkpoint\.agent\.n: it is a .*Objects"),
        ("Diverges", r"the loss of seed 1 is nan, at step 30\. .*faults/step-30\.pth.* --on-nan skip-seed"),
    ],
)
def test_agents_that_go_wrong(name: str, words_said: str, place: Path) -> None:
    (place / "agents.py").write_text(textwrap.dedent(AGENTS))
    run = place / "run"
    tiny = [word for word in TINY if not str(word).startswith("dqn.")]
    tiny = [
        w for i, w in enumerate(tiny) if not (w == "--set" and (i + 1 == len(tiny) or tiny[i + 1].startswith("--")))
    ]
    start = ("train", "--env", "CartPole-v1", "--agent", f"{place / 'agents.py'}:{name}", *tiny, "--out", run)
    said = mistake(*start, "--set", "eval_every=40")
    assert re.search(words_said, said), said
    assert "RLBENCH_DEBUG" not in said.partition("rlbench train")[2]
    if name == "Objects":
        return  # said before anything was trained
    # The agent is mended: what is printed goes on, or begins again in the same folder.
    text = (place / "agents.py").read_text()
    (place / "agents.py").write_text(text.replace("return self.n >= 30", "return False").replace("3 + self.n", "3"))
    assert f"--agent '{place}/agents.py:{name}'" in said
    result = rlbench(*printed(said), "--progress", "none")
    assert result.exit_code == 0, result.output


def test_an_agent_that_refuses_its_own_state(place: Path) -> None:
    (place / "agents.py").write_text(textwrap.dedent(AGENTS))
    agent = ("--agent", f"{place / 'agents.py'}:Asserts")
    tiny = (
        "--seeds",
        "1",
        "--workers",
        "1",
        "--total-steps",
        "40",
        "--progress",
        "none",
        "--set",
        "final_eval_episodes=0",
    )
    succeeds("train", "--env", "CartPole-v1", *agent, *tiny, "--out", place / "run")
    for verb in (("eval",), ("play",)):
        said = mistake(*verb, place / "run", *agent)
        assert re.search(r"checkpoint\.pth|best\.pth", said)
        assert "does not fit its agent or environment" in said
    assert "does not fit" in mistake(
        "train", "--resume", place / "run", "--total-steps", "80", *agent, "--progress", "none"
    )


def test_actions_with_gradients_are_taken_without() -> None:
    envs = EnvBatch(env_maker("Pendulum-v1"), [0, 1])
    envs.reset()
    action = torch.zeros(2, 1, 1, requires_grad=True) * 2
    transition, _ = envs.step(action)
    assert not transition.action.requires_grad
    for wrong in (action.double(), action.long()):
        with pytest.raises(AgentError, match=r"expected torch\.float32"):
            envs.step(wrong)
    envs.close()


@pytest.mark.parametrize(
    ("broken", "words_said"),
    [
        ("broken", r"in reset: RuntimeError: no simulator answers; that was while the episode it had stopped in"),
        (
            "broken step",
            r"step 1 of episode 12 .*\.py:\d+, in step: RuntimeError: the simulator of one seed is gone; that was",
        ),
    ],
)
@pytest.mark.parametrize("workers", ["1", slow("2")])
def test_an_environment_that_fails_while_a_run_is_resumed(
    workers: str, broken: str, words_said: str, place: Path
) -> None:
    """It is said where, nothing is touched, though another worker may stand, and what is printed goes on."""
    quiet = ("--workers", workers, "--set", "final_eval_episodes=0")
    succeeds(*words(place, "never", *quiet, "--total-steps", "125"))
    run, whole = place / "run", place / "whole"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert Path("summary.json") in {path.relative_to(run) for path in before}
    (place / broken).touch()
    said = mistake(
        "train", "--resume", run, "--import", place / code(place), "--total-steps", "160", "--progress", "none"
    )
    assert re.search(words_said, said), said
    assert "The checkpoint of step 125 is kept as it is. Go on, when the environment is mended, with: rlbench" in said
    assert {path: path.read_bytes() for path in before} == before
    (place / broken).unlink()
    follow(said)
    succeeds(*words(place, "never", *quiet, "--total-steps", "160", out="whole"))
    assert timeless(run, "episodes.csv") == timeless(whole, "episodes.csv")


@pytest.mark.slow
def test_what_was_asked_in_a_step_that_failed_is_asked_once(place: Path) -> None:
    said = mistake(*words(place, "raise step"))
    assert checkpoint_file.load(place / "run" / "checkpoint.pth", "checkpoint")["training"]["asked"] is not None
    (place / "mended").touch()
    follow(said)
    assert checkpoint_file.load(place / "run" / "checkpoint.pth", "checkpoint")["training"]["asked"] is None
