"""Environments by name, from modules and files; observation spaces of third parties; agents handed over as classes."""

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from command import one_line, succeeds
from command import rlbench as command
from gymnasium import spaces
from rlbench.agents.random import Random

import rlbench
from rlbench import AgentConfig, Recipe, UsageError
from rlbench.border.make import newest_version
from rlbench.border.spaces import obs_codec

QUICK: dict[str, Any] = {"seeds": 2, "total_steps": 40, "eval_every": 0, "final_eval_episodes": 1, "device": "cpu"}


class Mission(spaces.Space[str]):
    """A space of a third party that never thought of flattening."""

    @property
    def is_np_flattenable(self) -> bool:
        raise NotImplementedError


def test_a_dict_is_flattened_without_what_has_no_fixed_size() -> None:
    space = spaces.Dict(image=spaces.Box(0, 9, (2, 2), np.uint8), mission=Mission(), side=spaces.Discrete(3))
    codec = obs_codec(space, "Some-v0")
    assert codec.shape == (7,)
    assert "without mission" in codec.note
    flat = codec.encode({"image": np.full((2, 2), 5, np.uint8), "mission": "go", "side": 2})
    assert flat.tolist() == [5, 5, 5, 5, 0, 0, 1]


def test_a_space_without_a_fixed_size_is_refused() -> None:
    with pytest.raises(UsageError, match="no fixed size"):
        obs_codec(Mission(), "Some-v0")
    with pytest.raises(UsageError, match="no fixed size"):
        obs_codec(spaces.Sequence(spaces.Discrete(2)), "Some-v0")


def test_a_name_without_version_means_the_newest() -> None:
    assert newest_version("CartPole") == "CartPole-v1"
    assert newest_version("CartPole-v0") == "CartPole-v0"
    assert newest_version("Nonsense") == "Nonsense"
    assert Recipe.load(env="CartPole").hyper == Recipe.load(env="CartPole-v1").hyper


def test_another_environment_leaves_the_recipes_threshold_behind() -> None:
    assert Recipe.load("classic").solved_at == 195
    assert Recipe.load("classic", env="Acrobot-v1").solved_at is None


ENV_FILE = """
import gymnasium as gym
from beside import LENGTH

class Corridor(gym.Env):
    observation_space = gym.spaces.Discrete(LENGTH)
    action_space = gym.spaces.Discrete(2)
    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return 0, {}
    def step(self, action):
        self.at = max(self.at + 2 * int(action) - 1, 0)
        return self.at, -1.0, self.at == LENGTH - 1, False, {}

gym.register("Corridor-v0", entry_point=Corridor, max_episode_steps=20)
"""


def test_an_environment_from_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_corridor.py").write_text(ENV_FILE)
    (tmp_path / "beside.py").write_text("LENGTH = 4\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = str(tmp_path / "my_corridor.py")
    out = tmp_path / "run"
    quick = ("--set", "eval_every=0", "--set", "final_eval_episodes=1", "--seeds", "1", "--progress", "none")
    corridor = ("--import", file, "--env", "Corridor-v0", "--agent", "random", "--total-steps", "30")
    succeeds("train", *corridor, *quick, "--out", out)
    succeeds("eval", out, "--import", file, "--episodes", "1")
    assert "--import" in one_line(command("eval", out, "--episodes", "1"))
    gym.registry.pop("Corridor-v0")


class Mine(Random):
    """An agent that a notebook defines."""

    Config = AgentConfig


def test_an_agent_handed_over_as_a_class(tmp_path: Path) -> None:
    run = rlbench.train("CartPole-v1", agent=Mine, out=tmp_path / "run", **QUICK)
    assert run.summary["agent"].endswith(":Mine")
    assert isinstance(rlbench.load(run.folder, agent=Mine).agent, Mine)
    rlbench.resume(run.folder, agent=Mine, total_steps=80)
    with pytest.raises(UsageError, match="say so: --agent"):
        rlbench.load(run.folder)


def test_an_environment_object_is_refused() -> None:
    with pytest.raises(UsageError, match="name of an environment"):
        rlbench.train(gym.make("CartPole-v1"), **QUICK)  # type: ignore[arg-type]


def test_the_learning_rate_falls_over_the_whole_run(tmp_path: Path) -> None:
    """To nothing at its end; a resumed run that goes on for longer learns again."""
    how = {"learning_rate": 1e-2, "learning_rate_end": 0.0, "learning_starts": 1, "batch_size": 4, "train_every": 1}
    newest = tmp_path / "run" / "checkpoint.pth"
    rlbench.train("CartPole-v1", out=newest.parent, dqn=how, **QUICK)
    first = rlbench.load(newest).agent
    assert first.updates > 30
    rlbench.resume(newest.parent, total_steps=41)
    almost = rlbench.load(newest).agent
    rlbench.resume(newest.parent, total_steps=400)
    last = rlbench.load(newest).agent
    weights = [agent.online.data for agent in (first, almost, last)]  # type: ignore[attr-defined]
    assert (weights[0] == weights[1]).all()  # one update, at a learning rate of 0
    assert (weights[1] - weights[2]).abs().max() > 0.05
    assert "total_steps = 400" in (newest.parent / "recipe.toml").read_text()
