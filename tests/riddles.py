"""Environments of a step or two whose best answer is known: continuous, several choices at once, masked."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


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
