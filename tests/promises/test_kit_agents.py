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
from rlbench.runfolder import checkpoint_file
from rlbench.training.train import resume

HERE = Path(__file__).parents[1] / "user_agents"
DUELING, SAC = (f"{HERE}/{name}" for name in ("dueling.py:Dueling", "sac.py:SAC"))


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


registered = registering({"Follow-v0": Follow})


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
    "sac": (SAC, "Pendulum-v1", 1, {"learning_starts": 30, "batch_size": 15, "hidden": [17, 9]}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_they_keep_the_promises_of_width_and_resume(name: str, tmp_path: Path) -> None:
    agent, env, num_envs, hyper = AGENTS[name]
    keys = {"num_envs": num_envs, "hyper": hyper, "eval_every": 100, "eval_episodes": 2}
    whole = train(tmp_path / "whole", agent, env, 300, **keys)
    unwatched = train(tmp_path / "unwatched", agent, env, 300, **{**keys, "eval_every": 0})
    assert same(content(unwatched.folder), content(whole.folder))  # normalisers and all
    assert whole.summary["updates"] > 3
    alone = train(tmp_path / "alone", agent, env, 300, seed=1, **{**keys, "seeds": 1})
    for together, apart in zip(content(whole.folder), content(alone.folder), strict=True):
        assert same(pick(together, 1, 3), apart)
    assert episodes(whole.folder, 1) == episodes(alone.folder)
    cut = train(tmp_path / "cut", agent, env, 150, **keys)  # stands in the middle of episodes
    again = resume(cut.folder, agent=agent, total_steps=300)
    assert again.summary.get("inexact_resumes_at", []) == []
    assert same(content(cut.folder), content(whole.folder))
    assert episodes(cut.folder) == episodes(whole.folder)


def taught(agent: str, env: str, steps: int, folder: Path, **keys: Any) -> Any:
    """The agent after training."""
    run = train(folder, agent, env, steps, **keys)
    assert run.summary["updates"] > 20
    return rlbench.load(run.folder / "checkpoint.pth", agent=agent).agent


def test_sac_learns_continuous_actions_and_their_values(tmp_path: Path) -> None:
    hyper = {"hidden": [32], "learning_rate": 3e-3, "learning_starts": 100, "target_entropy": -3.0}
    agent = taught(SAC, "Follow-v0", 800, tmp_path / "run", hyper=hyper)
    seen = torch.linspace(-0.9, 0.9, 7).view(1, -1, 1).expand(3, -1, 1)
    assert (agent.act(seen, explore=False) - seen / 2).abs().max() < 0.1
    for action in (-0.5, 0.5):
        value = agent.critics(seen, torch.full((3, 7, 1), action))[0]
        assert (value + (action - seen / 2).squeeze(-1).square()).abs().max() < 0.15
