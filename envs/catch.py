"""Catch: a ball falls, a paddle moves under it. The smallest environment that is played from pixels.

It stands beside the core as an environment to learn on in seconds and to look at.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

__all__ = ["Catch"]

# Picture. 48 is a multiple of 16, so every board has sides that video encoders take without rescaling.
_CELL = 48
_BACKGROUND = (30, 37, 48)
_GRID = (44, 54, 69)
_BALL = (242, 190, 110)
_PADDLE = (108, 178, 184)


class Catch(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """Catch, as in bsuite (Osband et al. 2020, "Behaviour Suite for Reinforcement Learning", arXiv:1908.03568).

    A ball starts in the top row, in a column drawn uniformly, and falls one row a step. The paddle starts in the middle
    of the bottom row. The episode terminates when the ball is in the bottom row, after `rows - 1` steps, with reward
    +1 where the paddle is under it and -1 where it is not; every other reward is 0. Whoever plays perfectly gets 1 on
    any board with `columns // 2 < rows`.

    Observation: (rows, columns, 1) uint8, 255 where the ball or the paddle is and 0 elsewhere.
    Action: 0 moves the paddle left, 1 leaves it, 2 moves it right; a wall stops it.

    Args:
        rows: height of the board, at least 2.
        columns: width of the board, at least 1.
        render_mode: None, "rgb_array" or "ansi".

    Raises:
        ValueError: a board that is too small, or an unknown render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}

    def __init__(self, rows: int = 10, columns: int = 5, render_mode: str | None = None) -> None:
        if rows < 2 or columns < 1:
            raise ValueError(f"Catch needs at least 2 rows and 1 column, got rows={rows}, columns={columns}.")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"Catch renders as {self.metadata['render_modes']}, not as {render_mode!r}.")
        self.rows = rows
        self.columns = columns
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (rows, columns, 1), np.uint8)
        self.action_space = spaces.Discrete(3)
        self._ball_column = 0
        self._ball_row = rows - 1  # as after an episode: `step` asks for a reset
        self._paddle = columns // 2

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Puts the ball in the top row and the paddle in the middle.

        Args:
            seed: of the environment's random stream; None goes on with the present one.
            options: not used.

        Returns:
            The observation (rows, columns, 1), and an empty dict.
        """
        super().reset(seed=seed)
        self._ball_column = int(self.np_random.integers(self.columns))
        self._ball_row = 0
        self._paddle = self.columns // 2
        return self._obs(), {}

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Moves the paddle, then lets the ball fall one row.

        Args:
            action: 0 left, 1 stay, 2 right.

        Returns:
            obs (rows, columns, 1), reward in {-1, 0, 1}, terminated, truncated (always False), and an empty dict.

        Raises:
            ValueError: another action.
            gymnasium.error.ResetNeeded: no episode has begun, or the last one has ended.
        """
        if action not in (0, 1, 2):
            raise ValueError(f"Catch takes action 0 (left), 1 (stay) or 2 (right), got {action!r}.")
        if self._ball_row == self.rows - 1:
            raise gymnasium.error.ResetNeeded("No episode of Catch is under way. Call reset() before step().")
        self._paddle = min(max(self._paddle + int(action) - 1, 0), self.columns - 1)
        self._ball_row += 1
        terminated = self._ball_row == self.rows - 1
        reward = 0.0
        if terminated:
            reward = 1.0 if self._paddle == self._ball_column else -1.0
        return self._obs(), reward, terminated, False, {}

    def render(self) -> NDArray[np.uint8] | str | None:
        """The board as a person sees it.

        Returns:
            "rgb_array": (48 * rows, 48 * columns, 3) uint8. "ansi": `rows` lines of text, 'o' the ball, '=' the paddle,
            '@' the ball on the paddle. Without a render mode: None, after Gymnasium's usual warning.
        """
        if self.render_mode == "rgb_array":
            return self._picture()
        if self.render_mode == "ansi":
            return self._text()
        gymnasium.logger.warn('Catch was made without a render mode. Make it with render_mode="rgb_array".')
        return None

    def _obs(self) -> NDArray[np.uint8]:
        # A new array each time: whoever keeps an observation must not see it change.
        obs = np.zeros((self.rows, self.columns, 1), np.uint8)
        obs[self._ball_row, self._ball_column] = 255
        obs[self.rows - 1, self._paddle] = 255
        return obs

    def _text(self) -> str:
        board = [["."] * self.columns for _ in range(self.rows)]
        board[-1][self._paddle] = "="
        on_paddle = self._ball_row == self.rows - 1 and self._ball_column == self._paddle
        board[self._ball_row][self._ball_column] = "@" if on_paddle else "o"
        return "\n".join(" ".join(line) for line in board)

    def _picture(self) -> NDArray[np.uint8]:
        cell = np.full((_CELL, _CELL, 3), _BACKGROUND, np.uint8)
        cell[[0, -1], :] = cell[:, [0, -1]] = _GRID
        picture = np.tile(cell, (self.rows, self.columns, 1))  # (48 * rows, 48 * columns, 3)
        # The ball hangs in the upper part of its cell and the paddle lies along the lower edge, so that a ball in the
        # bottom row is seen to rest on the paddle instead of being hidden behind it.
        _paint(picture, self.rows - 1, self._paddle, _PADDLE, centre=(0.83, 0.5), half=(0.1, 0.42), radius=0.1)
        _paint(picture, self._ball_row, self._ball_column, _BALL, centre=(0.43, 0.5), half=(0.29, 0.29), radius=0.29)
        return picture


def _paint(
    picture: NDArray[np.uint8],
    row: int,
    column: int,
    colour: tuple[int, int, int],
    *,
    centre: tuple[float, float],
    half: tuple[float, float],
    radius: float,
) -> None:
    """Paints a rounded rectangle with smooth edges into one cell, in place.

    Args:
        picture: (height, width, 3).
        row: of the cell.
        column: of the cell.
        colour: red, green, blue, 0 to 255.
        centre: (down, right) from the cell's upper left corner, in cells.
        half: (half the height, half the width), in cells.
        radius: of the corners, in cells; as large as both halves, it makes a circle.
    """
    tile = picture[row * _CELL : (row + 1) * _CELL, column * _CELL : (column + 1) * _CELL]  # a view: (48, 48, 3)
    middle = (np.arange(_CELL) + 0.5) / _CELL  # of each pixel, in cells
    down = np.abs(middle - centre[0])[:, None] - half[0] + radius  # (48, 1)
    right = np.abs(middle - centre[1])[None, :] - half[1] + radius  # (1, 48)
    outside = np.hypot(np.maximum(down, 0), np.maximum(right, 0)) - radius  # (48, 48) distance to the edge, in cells
    cover = np.clip(0.5 - outside * _CELL, 0, 1)[..., None]  # share of each pixel that is inside
    tile[:] = np.rint(tile * (1 - cover) + np.array(colour) * cover).astype(np.uint8)
