"""Environments whose best answer is known and that are no tables: actions are numbers, or what went before counts."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

Stepped = tuple[np.ndarray, float, bool, bool, dict[str, Any]]
LOW, HIGH = np.array([-1, 0], np.float32), np.array([1, 3], np.float32)
PLACES = (-0.9, 0.0, 0.9)


class Aimed(gymnasium.Env[np.ndarray, np.ndarray]):
    """One step: see a number x from -0.9 to 0.9, answer with two numbers, one from -1 to 1 and one from 0 to 3.

    What is best is x / 2 for the first, and for the second 1.5 - x; the reward is 1 less the squared distance, counted
    in halves of the way between the bounds. So the best return is 1.

    Args:
        far: what is best is as for x times this.
    """

    def __init__(self, far: float = 1.0) -> None:
        self.far = far
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Box(LOW, HIGH)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = float(self.np_random.choice(PLACES))
        return np.array([self.x], np.float32), {}

    def step(self, action: np.ndarray) -> Stepped:
        off = (action - best(self.far * self.x)) / (HIGH - LOW) * 2
        return np.zeros(1, np.float32), 1 - float((off**2).sum()), True, False, {}


def best(x: float) -> np.ndarray:
    """(2,): the best answer of `Aimed` to x."""
    return np.array([x / 2, 1.5 - x], np.float32)


class Bent(gymnasium.Env[np.ndarray, np.ndarray]):
    """Nothing to see but how many steps are left, two numbers from -1 to 1 to answer with.

    Args:
        tilt: the reward is this times the sum of the two.
        bend: less this times the sum of their squares.
        steps: of an episode. What is seen is 1 at the last one, and before it 0, -1, ...
    """

    def __init__(self, tilt: float = 0.0, bend: float = 0.0, steps: int = 1) -> None:
        self.observation_space = spaces.Box(min(0.0, 2.0 - steps), 1, (1,), np.float32)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.tilt, self.bend, self.steps = tilt, bend, steps

    def _seen(self) -> np.ndarray:
        return np.array([2 - self._left], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = self.steps
        return self._seen(), {}

    def step(self, action: np.ndarray) -> Stepped:
        reward = self.tilt * float(action.sum()) - self.bend * float((action**2).sum())
        over = self._left == 1
        self._left = max(1, self._left - 1)
        return self._seen(), reward, over, False, {}


class Carried(gymnasium.Env[Any, np.int64]):
    """One step, nothing to see: action 0 pays 0.4; who took action 1 in the episode before gets 1 more, else 1 less.

    What an episode pays because of the one before, none of its own actions changes: action 0 is worth 0.4 more. Only
    who counts the next episode's reward as of this one's action prefers action 1, for 0.8 or so of the 2 that it moves.

    Args:
        cut: episodes end by a time limit, and not by a termination.
        numbered: what is seen is an index.
    """

    def __init__(self, cut: bool = False, numbered: bool = False) -> None:
        self.observation_space = spaces.Discrete(1) if numbered else spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.cut, self.numbered, self._before = cut, numbered, 0.0

    def _seen(self) -> Any:
        return np.int64(0) if self.numbered else np.ones(1, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = self._before + 0.4 * (action == 0)
        self._before = 1.0 if action == 1 else -1.0
        return self._seen(), reward, not self.cut, self.cut, {}


class Recalled(gymnasium.Env[np.ndarray, np.int64]):
    """Three steps: a sign, -1 or 1, is seen at the first and nothing at the others; then action 0 is right for the one
    and action 1 for the other. Right pays 1, wrong -1. The best return is 1, and 0 for who does not remember."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def _seen(self) -> np.ndarray:
        sign = 2.0 * self.right - 1 if self.steps == 0 else 0.0
        return np.array([sign, self.steps / 2], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.right, self.steps = int(self.np_random.integers(2)), 0
        return self._seen(), {}

    def step(self, action: np.int64) -> Stepped:
        self.steps += 1
        over = self.steps == 3
        reward = (1.0 if action == self.right else -1.0) if over else 0.0
        self.steps = min(self.steps, 2)
        return self._seen(), reward, over, False, {}
