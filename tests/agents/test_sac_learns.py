"""SAC at work: values that are known, in environments that isolate one skill each, and the promises of whole runs."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import registering, slow
from gymnasium import spaces
from riddles import Doors, Follow

import rlbench
from rlbench.agent_state import pick, same
from rlbench.recipe import Recipe
from rlbench.runfolder import checkpoint_file
from rlbench.training.train import resume


class Steady(gymnasium.Env[np.ndarray, np.ndarray]):
    """Reward 1 - (a - 0.5)**2 a step, nothing else to see, for three steps.

    Args:
        cut: whether the end is a time limit, so that the best value is 1 / (1 - gamma) everywhere.
    """

    def __init__(self, cut: bool) -> None:
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.cut = cut

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        ended = self.steps == 3 if self.cut else True
        return np.ones(1, np.float32), 1 - float((action[0] - 0.5) ** 2), ended and not self.cut, ended and self.cut, {}


registered = registering({"FollowOne-v0": Follow, "Steady-v0": Steady, "LockedDoors-v0": Doors})


def train(folder: Path, env: str, total_steps: int, hyper: dict[str, Any], **keys: Any) -> rlbench.Run:
    quiet = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "seeds": 3, "device": "cpu"}
    recipe = Recipe(**{"env": env, "agent": "sac", "total_steps": total_steps, "hyper": hyper, **quiet, **keys})
    return rlbench.train(recipe=recipe, out=folder)


def content(folder: Path) -> tuple[Any, Any]:
    """What the agent is, and what its buffer holds."""
    replay = checkpoint_file.load(folder / "replay.pth", "replay")
    return checkpoint_file.load(folder / "checkpoint.pth", "checkpoint")["agent"], replay["replay"]


def episodes(folder: Path, seed: int | None = None) -> list[list[str]]:
    rows = [line.split(",")[:-1] for line in (folder / "episodes.csv").read_text().splitlines()[1:]]
    return [row for row in rows if seed in (None, int(row[0]))]


SMALL = {"learning_starts": 30, "batch_size": 15, "hidden": [17, 9], "capacity": 150}
RUNS: dict[str, tuple[str, int, dict[str, Any]]] = {  # environment, E, hyper-parameters
    "pendulum": ("Pendulum-v1", 1, {**SMALL, "noise_correlation": 0.9}),
    "three envs": ("Pendulum-v1", 3, {**SMALL, "n_step": 3, "train_every": 2, "layer_norm": True}),
    "cartpole": ("CartPole-v1", 1, SMALL),
    "masked": ("LockedDoors-v0", 3, {**SMALL, "learning_rate_end": 0.0, "n_step": 2}),
}


@pytest.mark.parametrize("name", ["pendulum", "cartpole", slow("three envs"), slow("masked")])
def test_whole_runs_keep_the_promises_of_width_observers_and_resume(name: str, tmp_path: Path) -> None:
    env, num_envs, hyper = RUNS[name]
    keys: dict[str, Any] = {"num_envs": num_envs, "eval_every": 100, "eval_episodes": 2}
    whole = train(tmp_path / "whole", env, 200, hyper, **keys)
    assert whole.summary["updates"] > 50
    unwatched = train(tmp_path / "unwatched", env, 200, hyper, **{**keys, "eval_every": 0})
    assert same(content(unwatched.folder), content(whole.folder))
    alone = train(tmp_path / "alone", env, 200, hyper, **{**keys, "seed": 1, "seeds": 1})
    for together, apart in zip(content(whole.folder), content(alone.folder), strict=True):
        assert same(pick(together, 1, 3), apart)
    assert episodes(whole.folder, 1) == episodes(alone.folder)


@pytest.mark.parametrize("name", ["pendulum", "cartpole"])
def test_a_run_goes_on_in_the_middle_of_an_episode(name: str, tmp_path: Path) -> None:
    env, num_envs, hyper = RUNS[name]
    keys: dict[str, Any] = {"num_envs": num_envs, "eval_every": 100, "eval_episodes": 2}
    whole = train(tmp_path / "whole", env, 200, hyper, **keys)
    cut = train(tmp_path / "cut", env, 111, hyper, **keys)
    again = resume(cut.folder, total_steps=200)
    assert again.summary.get("inexact_resumes_at", []) == []
    assert same(content(cut.folder), content(whole.folder))
    assert episodes(cut.folder) == episodes(whole.folder)


LEARNS: dict[str, Any] = {"hidden": [32], "learning_rate": 3e-3, "learning_starts": 100, "gamma": 0.8, "batch_size": 64}


def taught(folder: Path, env: str, steps: int, hyper: dict[str, Any], **keys: Any) -> Any:
    """The agent after training."""
    run = train(folder, env, steps, {**LEARNS, **hyper}, **keys)
    assert run.summary["updates"] > 100
    return rlbench.load(run.folder / "checkpoint.pth").agent


@pytest.mark.slow
def test_it_learns_actions_between_bounds_and_their_values(tmp_path: Path) -> None:
    agent = taught(tmp_path / "run", "FollowOne-v0", 900, {"target_entropy": -3.0})
    seen = torch.linspace(-0.9, 0.9, 7).view(1, -1, 1).expand(3, -1, 1)
    assert (agent.act(seen, explore=False) - seen / 2).abs().max() < 0.1
    assert (agent.explain(seen)["value"]).abs().max() < 0.15
    for action in (-0.5, 0.5):
        scaled = agent.scaled(torch.full((3, 7, 1), action))
        value = agent.critics(seen.repeat_interleave(2, 0), scaled.repeat_interleave(2, 0))
        error = value.unflatten(0, (3, 2)) + (action - seen / 2).squeeze(-1).square().unsqueeze(1)
        assert error.abs().max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("cut", "value"), [(True, 5.0), (False, 1.0)])
def test_a_time_limit_bootstraps_and_a_termination_does_not(cut: bool, value: float, tmp_path: Path) -> None:
    hyper = {"target_entropy": -4.0, "alpha": 0.1, "alpha_learning_rate": 1e-2, "tau": 0.05}
    agent = taught(tmp_path / "run", "Steady-v0", 1_500, hyper, env_kwargs={"cut": cut})
    seen = torch.ones(3, 1, 1)
    assert (agent.act(seen, explore=False) - 0.5).abs().max() < 0.2
    assert (agent.explain(seen)["value"] - value).abs().max() < 0.25


PROBES = {  # values of the best policy, at gamma = 0.8; what is seen, and what is expected
    "rlbench/ProbeObsActionReward-v0": {-1.0: 1.0, 1.0: 1.0},
    "rlbench/ProbeDelayedReward-v0": {-1.0: 0.8, 1.0: 1.0},
    "rlbench/ProbeTruncated-v0": {1.0: 5.0},
    "rlbench/ProbeTerminated-v0": {1.0: 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("env", PROBES)
def test_it_learns_the_values_of_discrete_actions(env: str, tmp_path: Path) -> None:
    hyper = {"target_entropy": 0.1, "alpha": 0.1, "alpha_learning_rate": 1e-2, "tau": 0.05}
    agent = taught(tmp_path / "run", env, 1_500, hyper)
    seen = torch.tensor(list(PROBES[env])).view(1, -1, 1).expand(3, -1, 1)
    expected = torch.tensor(list(PROBES[env].values())).expand(3, -1)
    torch.testing.assert_close(agent.explain(seen)["q_values"].amax(-1), expected, atol=0.2, rtol=0)
    if "ObsAction" in env:
        assert agent.act(seen, explore=False).tolist() == [[0, 1]] * 3
        worse = agent.explain(seen)["q_values"].amin(-1)
        torch.testing.assert_close(worse, -expected, atol=0.2, rtol=0)


@pytest.mark.slow
def test_it_takes_no_action_that_a_mask_forbids(tmp_path: Path) -> None:
    run = train(
        tmp_path / "run", "LockedDoors-v0", 3_000, {**LEARNS, "target_entropy": 0.1},
        num_envs=4, eval_every=1_000, eval_episodes=10, final_eval_episodes=50,
    )  # fmt: skip
    assert min(run.summary["final_eval_return"].values()) == 2.0
    assert run.summary["updates"] > 1_000
