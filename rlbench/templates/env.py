"""MyEnv: a field of rows and columns, and a goal to walk to. Everything that an environment needs is here, in short.

rlbench train --env my_env.py:MyEnv --total-steps 10000 --out runs/my_env
rlbench play runs/my_env --env my_env.py:MyEnv
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left
CELL = 48  # pixels; sides that are multiples of 16 suit video encoders


class MyEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The walker starts anywhere, the goal is in the lower right corner. Every step costs a little, the goal pays 1.

    Observation: (2,) float32, row and column as shares of the way to the goal: both are 1 there.
    Action: 0 up, 1 right, 2 down, 3 left; a wall stops it.

    Args:
        size: rows and columns: `--set env_kwargs.size=8`.
        render_mode: None or "rgb_array".
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}
    max_episode_steps = 100  # after which an episode is cut, by rlbench and by gymnasium.make: that is no termination

    def __init__(self, size: int = 5, render_mode: str | None = None) -> None:
        self.size, self.render_mode = size, render_mode
        # Pictures would be spaces.Box(0, 255, (height, width, 3), np.uint8), numbered states spaces.Discrete(n).
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        # Numbers would be spaces.Box(-1.0, 1.0, (n,), np.float32); `rlbench train --agent sac` or ppo gives them.
        self.action_space = spaces.Discrete(len(MOVES))
        self.place = [0, 0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)  # sets self.np_random: with no other randomness, every episode can be run again
        start = int(self.np_random.integers(self.size**2 - 1))  # anywhere but on the goal, which is the last one
        self.place = list(divmod(start, self.size))
        return self.obs(), {}

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        last = self.size - 1
        self.place = [min(max(at + move, 0), last) for at, move in zip(self.place, MOVES[int(action)], strict=True)]
        terminated = self.place == [last, last]
        reward = 1.0 if terminated else -0.01
        return self.obs(), reward, terminated, False, {}  # truncated is for time limits, and those are kept elsewhere

    def obs(self) -> NDArray[np.float32]:  # a new array every time: whoever keeps one must not see it change
        return (np.array(self.place) / (self.size - 1)).astype(np.float32)

    def render(self) -> NDArray[np.uint8] | None:
        """The field as a picture, (48 * size, 48 * size, 3); None without a render mode."""
        if self.render_mode is None:
            return None
        picture = np.full((self.size * CELL, self.size * CELL, 3), (30, 37, 48), np.uint8)
        picture[::CELL] = picture[:, ::CELL] = (60, 70, 88)  # the lines between the cells
        self.paint(picture, [self.size - 1, self.size - 1], (108, 178, 184), 6)
        self.paint(picture, self.place, (242, 190, 110), 14)
        return picture

    @staticmethod
    def paint(picture: NDArray[np.uint8], place: list[int], colour: tuple[int, int, int], margin: int) -> None:
        top, left = (at * CELL for at in place)
        picture[top + margin : top + CELL - margin, left + margin : left + CELL - margin] = colour


# With a name of its own, gymnasium.make makes it too, and `rlbench train --import my_env.py --env MyEnv-v0`.
NAME = "MyEnv-v0"
if NAME not in gymnasium.registry:
    gymnasium.register(
        NAME,
        entry_point=lambda **how: MyEnv(**how),
        max_episode_steps=MyEnv.max_episode_steps,
        reward_threshold=0.95,  # the mean return that counts as solved: with another reward, another one
    )
