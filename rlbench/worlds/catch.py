"""rlbench/Catch-v0 in torch: the same to the bit."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import seeds as seeding
from .world import Starts, World


class CatchWorld(World):
    """State: the ball's row and column, and the paddle's column.

    Args:
        env: whose board it is.
    """

    size, dtype, exact = 3, torch.int64, True

    def __init__(self, env: Any) -> None:
        self._rows, self._columns = int(env.rows), int(env.columns)
        self._cells = torch.arange(self._rows * self._columns)
        self._light, self._dark = torch.tensor([[255], [0]], dtype=torch.uint8)
        self._caught, self._missed, self._nothing = torch.tensor([[1.0], [-1.0], [0.0]], dtype=torch.float64)

    def starts(self, seeds: np.ndarray) -> Starts:
        column = seeding.below(seeds, self._columns)
        state = np.stack((np.zeros_like(column), column, np.full_like(column, self._columns // 2)), 1)
        return Starts(state, np.zeros((len(seeds), 0)))

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        row, column, paddle = state.T
        row, paddle = row + 1, (paddle + action - 1).clamp(0, self._columns - 1)
        terminated = row == self._rows - 1
        reward = torch.where(paddle == column, self._caught, self._missed)
        return torch.stack((row, column, paddle), 1), torch.where(terminated, reward, self._nothing), terminated

    def obs(self, state: Tensor) -> Tensor:
        row, column, paddle = state.T.unsqueeze(-1)
        ball, floor = row * self._columns + column, paddle + (self._rows - 1) * self._columns
        board = torch.where((self._cells == ball) | (self._cells == floor), self._light, self._dark)
        return board.reshape(-1, self._rows, self._columns, 1)
