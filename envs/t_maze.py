"""T-maze: a sign at the start says which way to turn at the end. The smallest environment that takes memory.

It stands beside the core as an environment that tells agents with memory from those without.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

__all__ = ["TMaze"]

NORTH, EAST, SOUTH, WEST = range(4)
_BACK = -0.1  # for a step that leads no further
_SLACK = 20  # steps beyond twice the corridor's length: who spends them all has lost what a wrong turn costs

# Picture. 48 is a multiple of 16, so that video encoders take its sides without rescaling.
_CELL = 48
_MOST = 24  # cells of the corridor that are drawn; in a longer one each stands for several
_WALL = (30, 37, 48)
_FLOOR = (52, 64, 82)
_SIGN = (242, 190, 110)
_AGENT = (108, 178, 184)


class TMaze(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The T-maze of Bakker 2001, "Reinforcement Learning with Long Short-Term Memory", NIPS 14.

    A corridor leads east for `length` steps, from the start to a junction. A sign at the start, drawn evenly, points
    north or south; it is seen there and nowhere else. At the junction, going north or south ends the episode, with
    reward +1 where the sign pointed that way and -1 where it did not. Every other step pays 0 where it leads east and
    -0.1 where it does not: standing still against a wall, or going back west. After `2 * length + 20` steps the
    episode is cut.

    **With memory the best return is 1, whatever the length; without memory it is 0**, whether the policy is random or
    not. Whoever sees only what is before it turns north at the junction with one probability p, whichever way the
    sign pointed: the chance of the right turn with one sign and that with the other add up to at most 1. And an episode
    that ends in no turn pays -1 at best, as a wrong turn does: of its steps, at least `(length + 20) / 2` lead no
    further. So the mean return is at most 0. Always east, then always north, reaches it.

    Observation: (3,) float32: the sign, +1 north, -1 south, 0 away from the start; 1 in the corridor between start and
    junction; 1 at the junction.
    Action: 0 north, 1 east, 2 south, 3 west.

    Args:
        length: steps from the start to the junction, at least 1.
        render_mode: None, "rgb_array" or "ansi".

    Attributes:
        max_episode_steps: after which an episode is cut.

    Raises:
        ValueError: a corridor that is too short, or an unknown render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}

    def __init__(self, length: int = 10, render_mode: str | None = None) -> None:
        if length < 1:
            raise ValueError(f"TMaze needs a corridor of at least 1 step, got length={length}.")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"TMaze renders as {self.metadata['render_modes']}, not as {render_mode!r}.")
        self.length = length
        self.max_episode_steps = 2 * length + _SLACK
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = spaces.Discrete(4)
        self._sign = NORTH
        self._place = 0  # steps east of the start
        self._steps: int | None = None  # of this episode; None: none is under way
        self._turned = 0  # at the junction: -1 north, 1 south, as rows of a picture go

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Puts the agent at the start, and turns the sign.

        Args:
            seed: of the environment's random stream; None goes on with the present one.
            options: not used.

        Returns:
            The observation (3,), and an empty dict.
        """
        super().reset(seed=seed)
        self._sign = (NORTH, SOUTH)[int(self.np_random.integers(2))]
        self._place = self._steps = self._turned = 0
        return self._obs(), {}

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Goes one step, or stands still against a wall.

        Args:
            action: 0 north, 1 east, 2 south, 3 west.

        Returns:
            obs (3,), reward, terminated, truncated, and an empty dict.

        Raises:
            ValueError: another action.
            gymnasium.error.ResetNeeded: no episode has begun, or the last one has ended.
        """
        if action not in (NORTH, EAST, SOUTH, WEST):
            raise ValueError(f"TMaze takes action 0 (north), 1 (east), 2 (south) or 3 (west), got {action!r}.")
        if self._steps is None:
            raise gymnasium.error.ResetNeeded("No episode of TMaze is under way. Call reset() before step().")
        self._steps += 1
        reward, terminated = _BACK, False
        if action == EAST and self._place < self.length:
            self._place, reward = self._place + 1, 0.0
        elif action == WEST:
            self._place = max(0, self._place - 1)
        elif action != EAST and self._place == self.length:
            terminated, reward = True, 1.0 if action == self._sign else -1.0
            self._turned = -1 if action == NORTH else 1
        truncated = not terminated and self._steps == self.max_episode_steps
        if terminated or truncated:
            self._steps = None
        return self._obs(), reward, terminated, truncated, {}

    def render(self) -> NDArray[np.uint8] | str | None:
        """The maze from above, with the sign, which the agent sees at the start alone.

        Returns:
            "rgb_array": (144, 48 * (1 + min(length, 24)), 3) uint8. "ansi": three lines of text, '^' or 'v' the sign,
            '@' the agent, 'A' or 'V' the agent at the sign. Without a render mode: None, after Gymnasium's usual
            warning.
        """
        if self.render_mode == "rgb_array":
            return self._picture()
        if self.render_mode == "ansi":
            return self._text()
        gymnasium.logger.warn('TMaze was made without a render mode. Make it with render_mode="rgb_array".')
        return None

    def _obs(self) -> NDArray[np.float32]:
        # A new array each time: whoever keeps an observation must not see it change.
        obs = np.zeros(3, np.float32)
        if self._place == 0:
            obs[0] = 1.0 if self._sign == NORTH else -1.0
        else:
            obs[1 if self._place < self.length else 2] = 1.0
        return obs

    def _text(self) -> str:
        board = [[" "] * self.length + ["."], ["."] * (self.length + 1), [" "] * self.length + ["."]]
        board[1 + self._turned][self._place] = "@"
        board[1][0] = ("^v" if self._place else "AV")[self._sign == SOUTH]
        return "\n".join("".join(line) for line in board)

    def _picture(self) -> NDArray[np.uint8]:
        last = min(self.length, _MOST)
        picture = np.full((3 * _CELL, (last + 1) * _CELL, 3), _WALL, np.uint8)
        for row, column in [(1, column) for column in range(last + 1)] + [(0, last), (2, last)]:
            _cell(picture, row, column)[1:-1, 1:-1] = _FLOOR
        down, right = np.indices((_CELL, _CELL)) * 2 + 1 - _CELL  # from the middle, in half pixels
        if self._sign == NORTH:
            down = -down
        _cell(picture, 1, 0)[(down > -24) & (down + 2 * np.abs(right) < 24)] = _SIGN  # a triangle
        column = self._place * last // self.length
        radius = 30 if self._place else 14  # at the start the sign is to be seen behind it
        _cell(picture, 1 + self._turned, column)[np.hypot(*np.indices((_CELL, _CELL)) * 2 + 1 - _CELL) < radius] = (
            _AGENT
        )
        return picture


def _cell(picture: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """One cell of a picture, (48, 48, 3): a view."""
    return picture[row * _CELL : (row + 1) * _CELL, column * _CELL : (column + 1) * _CELL]
