"""Agents with random weights, opened as if they had been trained: exporting them takes no training."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench import AgentConfig, Learner, Spec
from rlbench.policyfile.opened import PolicyFile, open_policy
from rlbench.recipe import Recipe
from rlbench.recipe.build import build
from rlbench.recipe.registry import given_class
from rlbench.ship.export import Exported, export
from rlbench.trained.load import Trained

EPISODES = 3
GRU = {"memory": "gru", "memory_size": 8, "hidden": (12,)}


def opened(folder: Path, env: str, agent: str | type = "dqn", seeds: int = 1, **hyper: Any) -> Trained:
    """A checkpoint alone, without a journal beside it."""
    keys = {
        name: hyper.pop(name) for name in ("env_kwargs", "wrappers", "num_envs", "max_episode_steps") if name in hyper
    }
    name = given_class(agent) if isinstance(agent, type) else agent
    recipe = Recipe(env=env, agent=name, device="cpu", seeds=seeds, hyper=hyper, **keys)
    numbers = list(range(seeds))
    parts = build(recipe, numbers, "cpu")
    path = folder / "best.pth"
    path.write_bytes(b"weights")
    best = {seed: float(seed) for seed in numbers}
    return Trained(path, recipe, parts.agent, parts.maker, parts, numbers, 0, best)


def exported(trained: Trained, out: Path, kind: str = "onnx", episodes: int = EPISODES) -> tuple[Exported, PolicyFile]:
    """What was exported, and the file, opened."""
    done = export(trained, kind, out, episodes=episodes)
    return done, open_policy(done.path)


class Own(Learner):
    """A user's own, with a module of its own, and a memory: how often it acted in the episode."""

    Config = AgentConfig
    says = True

    def __init__(self, spec: Spec, config: Any, rng: np.random.Generator) -> None:
        weight = torch.from_numpy(rng.normal(size=(spec.obs_shape[0] + 1, spec.num_actions or 1))).float()
        self.weight, self.count = weight, torch.zeros(1)

    def begin(self, started: Tensor, *, explore: bool) -> None:
        count = self.count if self.count.shape == started.shape else torch.zeros(started.shape)
        self.count = torch.where(started, 0.0, count)

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        self.count = (self.count + 1).clamp(max=9)
        return (torch.cat((obs, self.count.unsqueeze(-1)), -1) @ self.weight).argmax(-1)

    def recall(self) -> dict[str, Tensor]:
        return {"count": self.count} if self.says else {}

    def remember(self, memory: Any) -> None:
        self.count = memory.get("count", self.count)

    def observe(self, transition: Any) -> None: ...

    def update(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight.copy_(state["weight"])


class Everything(gymnasium.Env[Any, Any]):
    """Shows all kinds of parts, takes several choices that do not count from 0; six steps."""

    observation_space = spaces.Dict(
        {
            "vector": spaces.Box(-np.inf, np.inf, (2,), np.float64),
            "index": spaces.Discrete(3, start=5),
            "many": spaces.MultiDiscrete([2, 3], start=[1, -1]),
            "bits": spaces.MultiBinary(3),
            "pair": spaces.Tuple((spaces.Box(0, 255, (2, 2), np.uint8), spaces.Discrete(2, start=-1))),
        }
    )
    action_space = spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 3], [-2, 7]])
    metadata: dict[str, Any] = {"render_modes": []}

    def drawn(self) -> Any:
        rng = self.np_random
        return {
            "vector": rng.normal(size=2) * 3,
            "index": int(rng.integers(5, 8)),
            "many": rng.integers([1, -1], [3, 2]),
            "bits": rng.integers(0, 2, 3).astype(np.int8),
            "pair": (rng.integers(0, 256, (2, 2)).astype(np.uint8), int(rng.integers(-1, 1))),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.drawn(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.t += 1
        return self.drawn(), float(np.sum(action)), self.t == 6, False, {}


class Masked(Everything):
    """A vector under one key, a mask under another; the mask forbids all actions but some."""

    observation_space = spaces.Dict({"action_mask": spaces.MultiBinary(4), "board": spaces.Box(0, 8, (3, 3), np.uint8)})
    action_space: Any = spaces.Discrete(4, start=10)

    def drawn(self) -> Any:
        self.mask = self.np_random.random(4) < 0.5
        self.mask[self.np_random.integers(4)] = True
        board = self.np_random.integers(0, 9, (3, 3)).astype(np.uint8)
        return {"action_mask": self.mask.astype(np.int8), "board": board}

    def step(self, action: Any) -> Any:
        assert self.mask[action - 10], "an illegal action"
        return super().step(action)


class Whole(Everything):
    """Takes whole numbers of a Box, and shows a picture with the channels first."""

    observation_space: Any = spaces.Box(0, 255, (2, 6, 6), np.uint8)
    action_space: Any = spaces.Box(-3, 3, (2,), np.int16)

    def drawn(self) -> Any:
        return self.np_random.integers(0, 256, (2, 6, 6)).astype(np.uint8)


class Numbered(Everything):
    """Numbered observations that do not count from 0, under a mask that its info tells."""

    observation_space: Any = spaces.Discrete(9, start=-4)
    action_space: Any = spaces.Discrete(3)

    def drawn(self) -> Any:
        return int(self.np_random.integers(-4, 5))

    def reset(self, **how: Any) -> Any:
        return super().reset(**how)[0], {"action_mask": np.array([1, 0, 1], np.int8)}

    def step(self, action: Any) -> Any:
        assert action != 1
        return (*super().step(action)[:4], {"action_mask": np.array([1, 0, 1], np.int8)})


ENVS = {f"ship/{cls.__name__}-v0": cls for cls in (Everything, Masked, Whole, Numbered)}
