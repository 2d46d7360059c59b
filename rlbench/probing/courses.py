"""Courses: environments of every form an agent may fit, whose episodes are short and end in both ways.

They have nothing to teach; they show what is done. Whatever an agent does otherwise, it sees something else next.
"""

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

LONGEST = 7  # steps of an episode
COLOURS, PLACES = 256, 7  # of a pixel; of an index


class Course(gymnasium.Env[Any, Any]):
    """Episodes of 2 to 7 steps, as many of them cut as terminated.

    What is seen depends on chance, on the step, and on the action before. The action is worth a number from 0 to 1; it
    is the reward, or where chance has it what is missing to 1.

    Args:
        sees: three numbers from -1 to 1, a picture of 6 by 5, or an index below 7.
        takes: one of three actions, several choices at once (of 3 and of 2), or two numbers between bounds.
        masked: whether some actions are forbidden at every step; ``info["action_mask"]`` says which are not.
    """

    max_episode_steps = LONGEST

    def __init__(
        self,
        sees: Literal["vector", "pixels", "indices"] = "vector",
        takes: Literal["one", "several", "continuous"] = "one",
        masked: bool = False,
    ) -> None:
        self.sees, self.takes, self.masked = sees, takes, masked
        seen: dict[str, spaces.Space[Any]] = {
            "vector": spaces.Box(-1.0, 1.0, (3,), np.float32),
            "pixels": spaces.Box(0, COLOURS - 1, (6, 5, 1), np.uint8),
            "indices": spaces.Discrete(PLACES),
        }
        taken: dict[str, spaces.Space[Any]] = {
            "one": spaces.Discrete(3),
            "several": spaces.MultiDiscrete([3, 2]),
            "continuous": spaces.Box(np.array([-1, 0], np.float32), np.array([1, 3], np.float32)),
        }
        self.observation_space, self.action_space = seen[sees], taken[takes]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps, self._length = 0, int(self.np_random.integers(2, LONGEST + 1))
        self._cut = bool(self.np_random.integers(2))
        return self._seen(0.5), self._told()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        worth = self._worth(action)
        reward = worth if self._chance > 0 else 1 - worth
        over = self._steps == self._length
        return self._seen(worth), reward, over and not self._cut, over and self._cut, self._told()

    def _worth(self, action: Any) -> float:
        if isinstance(self.action_space, spaces.Discrete):
            return int(action) / 2
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return (2 * int(action[0]) + int(action[1])) / 5
        assert isinstance(self.action_space, spaces.Box)
        low, high = self.action_space.low, self.action_space.high
        return float(np.clip((action - low) / (high - low), 0, 1).mean())

    def _seen(self, worth: float) -> Any:
        self._chance = float(self.np_random.uniform(-1, 1))
        if self.sees == "vector":
            return np.array([self._chance, self._steps / LONGEST, 2 * worth - 1], np.float32)
        if self.sees == "pixels":
            picture = self.np_random.integers(0, COLOURS, (6, 5, 1)).astype(np.uint8)
            picture[0] = round(255 * worth)
            return picture
        return (int(self.np_random.integers(PLACES)) + round(3 * worth)) % PLACES

    def _told(self) -> dict[str, Any]:
        if not self.masked:
            return {}
        mask = self.np_random.uniform(size=3) < 0.5
        mask[self.np_random.integers(3)] = True
        return {"action_mask": mask}


# By the names that users read; the first that an agent fits is where most rows look.
COURSES: dict[str, dict[str, Any]] = {
    "vector": {},
    "indices": {"sees": "indices"},
    "pixels": {"sees": "pixels"},
    "continuous": {"takes": "continuous"},
    "several": {"takes": "several"},
    "masked": {"masked": True},
    "masked-indices": {"sees": "indices", "masked": True},
}
