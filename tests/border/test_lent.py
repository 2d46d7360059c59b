"""What is lent to an environment, actions and the process itself, is as before when its code has run."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from foreign import batch, run, still
from gymnasium import spaces

import rlbench
from rlbench.border.make import env_maker
from rlbench.errors import AgentError, EnvError
from rlbench.recipe.build import maker_of
from rlbench.rollout.env_batch import EnvBatch
from rlbench.runfolder import journal
from rlbench.runfolder.reader import Reader
from rlbench.trained.recording import open_recording
from rlbench.trained.verify import check_seeds, read_tables


@pytest.mark.parametrize(
    ("space", "action", "lent"),
    [
        (spaces.Discrete(3), [[1, 2]], np.int64(2)),
        (spaces.Discrete(3, start=-1), [[0, 2]], np.int64(1)),
        (spaces.Box(-1, 1, (2,), np.float32), [[[0.5, 1], [0.25, 0]]], np.array([0.25, 0], np.float32)),
        (spaces.Box(-1, 1, (), np.float64), [[0.5, 0.25]], np.array(0.25)),
        (spaces.Box(0, 9, (2,), np.int32), [[[0, 0], [2.6, 9.0]]], np.array([3, 9], np.int32)),
        (spaces.Box(0, 1, (1,), bool), [[[0.0], [0.9]]], np.array([True])),
    ],
)
def test_actions_are_lent_as_the_space_samples_them(space: Any, action: Any, lent: Any) -> None:
    got: list[Any] = []

    def step(env: Any, a: Any) -> Any:
        got.append(a)
        return 0.0, 1.0, False, False, {}

    envs = batch(actions=space, step=step)
    envs.step(torch.tensor(action))
    sample = space.sample()
    assert type(got[1]) is type(sample)
    assert got[1].dtype == sample.dtype
    assert space.contains(got[1])
    np.testing.assert_array_equal(got[1], lent)


@pytest.mark.parametrize("value", [300.0, -1.0, float("nan"), float("inf")])
def test_an_action_that_its_type_does_not_hold_is_the_agents_error(value: float) -> None:
    envs = batch(actions=spaces.Box(0, 255, (1,), np.uint8))
    with pytest.raises(AgentError, match="uint8 reaches from 0 to 255"):
        envs.step(torch.full((1, 2, 1), value))


class Doubles(gymnasium.Env[Any, Any]):
    """Writes to the action that it is given, as some do that clip in place; pays the first number of it."""

    observation_space = spaces.Box(-9, 9, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.normal(size=1).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        action *= 2
        return action.copy(), float(action[0]), self.t >= 7, False, {}


gymnasium.register("border/Doubles-v0", entry_point=Doubles)


def test_what_an_environment_does_to_its_action_reaches_nobody(tmp_path: Path) -> None:
    envs = EnvBatch(env_maker("border/Doubles-v0"), [3], 2)
    envs.reset()
    action = torch.tensor([[[0.25], [0.5]]])
    for _ in range(7):
        t, _ = envs.step(action)
        assert t.action.tolist() == action.tolist() == [[[0.25], [0.5]]]
        assert t.reward.tolist() == [[0.5, 1.0]]
    assert [np.array(e.actions).ravel().tolist() for e in envs.finished] == [[0.25] * 7, [0.5] * 7]
    quick: dict[str, Any] = {"total_steps": 60, "eval_every": 0, "final_eval_episodes": 1}
    done = rlbench.train("border/Doubles-v0", agent="random", seeds=2, out=tmp_path / "run", **quick)
    rows, _ = read_tables(Reader(done.folder))
    reports = list(check_seeds(open_recording(done.folder), [0, 1], rows))
    assert [(r.episodes, r.agree, r.problems) for r in reports] == [(8, 8, [])] * 2
    for entry in journal.entries(journal.files(done.folder)[0]):
        assert all((np.abs(a) <= 1).all() for a in journal.actions(entry))


def _seterr(env: Any) -> None:
    np.seterr(all="raise")


PROCESS: dict[str, tuple[Callable[[Any], Any], Callable[[], Any]]] = {
    "default dtype": (lambda env: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "threads": (lambda env: torch.set_num_threads(3), torch.get_num_threads),
    "gradients": (lambda env: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "numpy's errors": (_seterr, np.geterr),
    "working directory": (lambda env: os.chdir("/"), os.getcwd),
    "deterministic algorithms": (
        lambda env: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "precision of products": (
        lambda env: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "default device": (lambda env: torch.set_default_device("meta"), lambda: torch.empty(1).device),
    "Ctrl-C": (lambda env: signal.signal(signal.SIGINT, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGINT)),
    "SIGTERM": (lambda env: signal.signal(signal.SIGTERM, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGTERM)),
    "denormal numbers": (lambda env: torch.set_flush_denormal(True), lambda: sys.float_info.min / 2 == 0),
    "output": (lambda env: setattr(sys, "stdout", io.StringIO()), lambda: sys.stdout),
    "warnings": (
        lambda env: warnings.simplefilter("error", ImportWarning),
        lambda: [f for f in warnings.filters if f[2] is ImportWarning],
    ),
}


@pytest.mark.parametrize("when", ["init", "reset"])
@pytest.mark.parametrize("name", list(PROCESS))
def test_settings_of_the_process_are_as_before(name: str, when: str, tmp_path: Path) -> None:
    change, look = PROCESS[name]
    before = look()

    def act(env: Any) -> Any:
        change(env)
        return env.look(), {}

    seen = []
    run(3, **{when: act}, step=lambda env, a: seen.append(look()) or (0.0, 1.0, False, False, {}))
    assert look() == before
    if name != "working directory":
        assert seen == [before] * 6


def _changing(change: Callable[[Any], Any], due: Callable[[int], bool]) -> Callable[..., Any]:
    """A step function that changes something when its time has come."""

    def step(env: Any, action: Any) -> Any:
        if due(env.t):
            change(env)
        return 0.0, 1.0, False, False, {}

    return step


@pytest.mark.parametrize("name", list(PROCESS))
def test_settings_are_as_before_after_the_first_step(name: str) -> None:
    change, look = PROCESS[name]
    before = look()
    envs = batch(step=_changing(change, lambda t: t == 1))
    for _ in range(3):
        envs.step(still(envs))
        assert look() == before


@pytest.mark.parametrize("name", ["default dtype", "threads", "gradients"])
def test_what_learning_depends_on_is_as_before_after_every_step(name: str) -> None:
    change, look = PROCESS[name]
    before = look()
    envs = batch(step=_changing(change, lambda t: t > 1))
    for _ in range(3):
        envs.step(still(envs))
        assert look() == before


def test_an_environment_that_chooses_a_working_directory_in_its_first_step_finds_it_again(tmp_path: Path) -> None:
    here, seen = os.getcwd(), []

    def step(env: Any, action: Any) -> Any:
        seen.append(os.getcwd())
        os.chdir(tmp_path)
        return 0.0, 1.0, False, False, {}

    envs = batch(step=step)
    for _ in range(3):
        envs.step(still(envs))
        assert os.getcwd() == here
    assert seen == [here] * 2 + [str(tmp_path)] * 4


def test_an_environment_keeps_the_working_directory_that_it_chose(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("3")
    here = os.getcwd()

    def read(env: Any, *action: Any) -> Any:
        value = float(Path("map.txt").read_text())
        return (value, {}) if not action else (value, 1.0, False, False, {})

    envs = batch(init=lambda env: os.chdir(tmp_path), reset=read, step=read)
    t, _ = envs.step(still(envs))
    assert t.next_obs.flatten().tolist() == [3.0, 3.0]
    assert os.getcwd() == here


FILE = """
import os, sys
import gymnasium as gym, numpy as np, torch

torch.set_default_dtype(torch.float64)

class Filed(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        os.chdir("/")
        torch.set_num_threads(3)
        return np.zeros(1, np.float32), {}
    def step(self, action):
        assert isinstance(action, np.int64) and not action
        return np.zeros(1, np.float32), 1.0, False, False, {}

gym.register("border/Filed-v0", Filed)
"""


def test_an_environment_in_a_file_of_the_users_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "filed.py").write_text(FILE)
    here, threads = os.getcwd(), torch.get_num_threads()
    recipe = rlbench.Recipe.load(env="border/Filed-v0", agent="random", imports=[str(tmp_path / "filed.py")])
    envs = EnvBatch(maker_of(recipe), [0])
    envs.reset()
    envs.step(torch.tensor([[0]]))
    assert (os.getcwd(), torch.get_num_threads(), torch.get_default_dtype()) == (here, threads, torch.float32)
    with pytest.raises(EnvError, match=r"filed.py:14, in step: AssertionError: assert isinstance\(action, np.int64\)"):
        envs.step(torch.tensor([[1]]))
