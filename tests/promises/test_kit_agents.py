"""Agents of users' own that are made of the kit: they learn, and keep the promises of width and of resuming."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import registering
from gymnasium import spaces

import rlbench
from rlbench.agent_state import pick, same
from rlbench.recipe import Recipe
from rlbench.recipe.build import build
from rlbench.recipe.memory import need_of
from rlbench.runfolder import checkpoint_file
from rlbench.training.train import resume

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[1] / "user_agents"
DUELING, PPO, SAC = (f"{HERE}/{name}" for name in ("dueling.py:Dueling", "ppo.py:PPO", "sac.py:SAC"))


class Follow(gymnasium.Env[np.ndarray, np.ndarray]):
    """One step: see a number x from -1 to 1, answer with a; reward -(a - x / 2)**2. The best return is 0.

    Args:
        cut: the end is a time limit, and not a termination.
    """

    def __init__(self, cut: bool = False) -> None:
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Box(-1, 2, (1,), np.float32)
        self.cut = cut

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.x, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = -float((action - self.x / 2)[0] ** 2)
        return np.zeros(1, np.float32), reward, not self.cut, self.cut, {}


class Match(gymnasium.Env[np.ndarray, np.ndarray]):
    """One step, two choices: 1 is right for the second, and for the first what is seen. The best return is 2."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 2, (1,), np.float32)
        self.action_space = spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = self.np_random.integers(0, 3, 1).astype(np.float32)
        return self.x, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), float(action[0] == self.x[0]) + float(action[1] == 1), True, False, {}


class Doors(gymnasium.Env[np.ndarray, np.int64]):
    """Two steps, three doors, of which one is locked: to try it is an error, and which it is the mask says alone.
    Door 2 gives 1, or where that is locked door 0. The best return is 2."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(3)

    def told(self) -> dict[str, Any]:
        self.locked = int(self.np_random.integers(0, 3))
        return {"action_mask": np.arange(3) != self.locked}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.ones(1, np.float32), self.told()

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if action == self.locked:
            raise RuntimeError("this door is locked")
        self.steps += 1
        right = action == (0 if self.locked == 2 else 2)
        return np.ones(1, np.float32), float(right), self.steps == 2, False, self.told()


registered = registering({"Follow-v0": Follow, "Match-v0": Match, "Doors-v0": Doors})


def train(folder: Path, agent: str, env: str, total_steps: int, **keys: Any) -> rlbench.Run:
    quiet = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "seeds": 3, "device": "cpu"}
    return rlbench.train(
        recipe=Recipe(**{"env": env, "agent": agent, "total_steps": total_steps, **quiet, **keys}), out=folder
    )


def content(folder: Path) -> tuple[Any, Any]:
    """What the agent is, and what its buffer holds."""
    replay = checkpoint_file.load(folder / "replay.pth", "replay")
    return checkpoint_file.load(folder / "checkpoint.pth", "checkpoint")["agent"], replay["replay"]


def episodes(folder: Path, seed: int | None = None) -> list[list[str]]:
    rows = [line.split(",")[:-1] for line in (folder / "episodes.csv").read_text().splitlines()[1:]]
    return [row for row in rows if seed in (None, int(row[0]))]


AGENTS: dict[str, tuple[str, str, int, dict[str, Any]]] = {  # agent, environment, E, hyper-parameters
    "dueling": (DUELING, "CartPole-v1", 1, {"learning_starts": 30, "batch_size": 15, "hidden": [17, 9]}),
    "ppo": (PPO, "CartPole-v1", 3, {"steps": 13, "minibatches": 4, "epochs": 2, "hidden": [17, 9]}),
    "ppo, continuous": (PPO, "Pendulum-v1", 3, {"steps": 13, "minibatches": 4, "epochs": 2, "hidden": [17]}),
    "sac": (SAC, "Pendulum-v1", 1, {"learning_starts": 30, "batch_size": 15, "hidden": [17, 9]}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_they_keep_the_promises_of_width_and_resume(name: str, tmp_path: Path) -> None:
    agent, env, num_envs, hyper = AGENTS[name]
    keys = {"num_envs": num_envs, "hyper": hyper, "eval_every": 100, "eval_episodes": 2}
    whole = train(tmp_path / "whole", agent, env, 200, **keys)
    unwatched = train(tmp_path / "unwatched", agent, env, 200, **{**keys, "eval_every": 0})
    assert same(content(unwatched.folder), content(whole.folder))  # normalisers and all
    assert whole.summary["updates"] > 3
    alone = train(tmp_path / "alone", agent, env, 200, seed=1, **{**keys, "seeds": 1})
    for together, apart in zip(content(whole.folder), content(alone.folder), strict=True):
        assert same(pick(together, 1, 3), apart)
    assert episodes(whole.folder, 1) == episodes(alone.folder)
    cut = train(tmp_path / "cut", agent, env, 100, **keys)  # stands in the middle of episodes
    again = resume(cut.folder, agent=agent, total_steps=200)
    assert again.summary.get("inexact_resumes_at", []) == []
    assert same(content(cut.folder), content(whole.folder))
    assert episodes(cut.folder) == episodes(whole.folder)


def test_a_rollout_lies_beside_the_checkpoints_and_not_in_them(tmp_path: Path) -> None:
    agent, env, num_envs, hyper = AGENTS["ppo"]
    folder = train(tmp_path / "run", agent, env, 99, num_envs=num_envs, hyper=hyper, eval_every=50).folder
    best, (now, held) = checkpoint_file.load(folder / "best.pth", "checkpoint")["agent"], content(folder)
    assert held["filled"] == 99 // 3 % 13
    assert [x.shape for x in held["obs"]] == [(8, 3, 4)] * 3  # of 7 steps, and what came of the last
    assert now.keys() == best.keys() == {"networks", "adam", "seen", "scale", "updates"}
    built = build(rlbench.load(folder, agent=agent).recipe, [0], "cpu").agent
    need = need_of(built, 1, 10, 10_000)
    assert (need.capacity, need.replay) == (39, 10 * built.replay.nbytes)  # type: ignore[attr-defined]


def test_seeds_that_stop_leave_a_rollout_as_it_would_be_without_them(tmp_path: Path) -> None:
    agent, env, num_envs, hyper = AGENTS["ppo"]
    keys = {"num_envs": num_envs, "hyper": hyper, "max_episodes": 6}
    whole = train(tmp_path / "whole", agent, env, 900, **keys)
    steps = set()
    for s in range(3):
        alone = train(tmp_path / str(s), agent, env, 900, seed=s, **{**keys, "seeds": 1})
        steps.add(alone.summary["env_steps"])
        assert same(pick(content(whole.folder)[0]["networks"], s, 3), content(alone.folder)[0]["networks"])
    assert len(steps) > 1


def taught(agent: str, env: str, steps: int, folder: Path, **keys: Any) -> Any:
    """The agent after training."""
    run = train(folder, agent, env, steps, **keys)
    assert run.summary["updates"] > 20
    return rlbench.load(run.folder / "checkpoint.pth", agent=agent).agent


PPO_HYPER = {
    "hidden": [32], "learning_rate": 3e-3, "steps": 32, "gamma": 0.8, "gae_lambda": 0.9, "scale_rewards": False,
}  # fmt: skip
VALUES = {  # of the best policy, at gamma = 0.8; what is seen, and what is expected
    "rlbench/ProbeObsActionReward-v0": {-1.0: 1.0, 1.0: 1.0},
    "rlbench/ProbeDelayedReward-v0": {-1.0: 0.8, 1.0: 1.0},
    "rlbench/ProbeTruncated-v0": {1.0: 5.0},
    "rlbench/ProbeTerminated-v0": {1.0: 1.0},
}


SLOW = ("rlbench/ProbeDelayedReward-v0", "rlbench/ProbeTerminated-v0")


@pytest.mark.parametrize("env", [pytest.param(env, marks=[pytest.mark.slow] * (env in SLOW)) for env in VALUES])
def test_ppo_learns_the_values_that_are_known(env: str, tmp_path: Path) -> None:
    agent = taught(PPO, env, 4_000, tmp_path / "run", num_envs=4, hyper=PPO_HYPER)
    seen = torch.tensor(list(VALUES[env])).view(1, -1, 1).expand(3, -1, 1)
    expected = torch.tensor(list(VALUES[env].values())).expand(3, -1)
    torch.testing.assert_close(agent.explain(seen)["value"], expected, atol=0.15, rtol=0)
    if "ObsAction" in env:
        assert agent.act(seen, explore=False).tolist() == [[0, 1]] * 3


def test_ppo_takes_no_action_that_a_mask_forbids(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"num_envs": 8, "eval_every": 3_000, "eval_episodes": 10, "final_eval_episodes": 50}
    run = train(tmp_path / "run", PPO, "Doors-v0", 6_000, hyper=PPO_HYPER, **keys)
    assert min(run.summary["final_eval_return"].values()) == 2.0
    held = content(run.folder)[1]
    assert held["extras.action_mask"][0].dtype == torch.bool
    assert all(mask.sum(-1).eq(2).all() for mask in held["extras.action_mask"])


def test_ppo_learns_several_choices_at_once(tmp_path: Path) -> None:
    agent = taught(PPO, "Match-v0", 4_000, tmp_path / "run", num_envs=8, hyper=PPO_HYPER)
    seen = torch.arange(3.0).view(1, 3, 1).expand(3, 3, 1)
    assert agent.act(seen, explore=False).tolist() == [[[0, 1], [1, 1], [2, 1]]] * 3
    assert (agent.explain(seen)["value"] - 2).abs().max() < 0.3


def test_ppo_learns_continuous_actions(tmp_path: Path) -> None:
    agent = taught(PPO, "Follow-v0", 6_000, tmp_path / "run", num_envs=8, hyper=PPO_HYPER)
    seen = torch.linspace(-0.9, 0.9, 7).view(1, -1, 1).expand(3, -1, 1)
    assert (agent.act(seen, explore=False) - seen / 2).abs().max() < 0.15


def test_sac_learns_continuous_actions_and_their_values(tmp_path: Path) -> None:
    hyper = {"hidden": [32], "learning_rate": 3e-3, "learning_starts": 100, "target_entropy": -3.0}
    agent = taught(SAC, "Follow-v0", 800, tmp_path / "run", hyper=hyper)
    seen = torch.linspace(-0.9, 0.9, 7).view(1, -1, 1).expand(3, -1, 1)
    assert (agent.act(seen, explore=False) - seen / 2).abs().max() < 0.1
    for action in (-0.5, 0.5):
        value = agent.critics(seen, torch.full((3, 7, 1), action))[0]
        assert (value + (action - seen / 2).squeeze(-1).square()).abs().max() < 0.15
