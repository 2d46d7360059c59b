"""MountainCar in torch: Gymnasium's `MountainCarEnv`, by the same operations in the same order."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import seeds as seeding
from .trig import SinCos
from .world import Starts, World


class MountainCar(World):
    """State: position, velocity.

    Args:
        env: made by Gymnasium; its constants are those of the law.
    """

    size, dtype = 2, torch.float64

    def __init__(self, env: Any) -> None:
        self._force = torch.tensor([env.force], dtype=torch.float64)
        self._slope, self._fastest = -float(env.gravity), float(env.max_speed)
        self._left, self._right = float(env.min_position), float(env.max_position)
        self._goal, self._goal_velocity = float(env.goal_position), float(env.goal_velocity)
        self._sin_cos = SinCos()
        self._zero, self._minus = torch.zeros(1, dtype=torch.float64), -torch.ones(1, dtype=torch.float64)

    def starts(self, seeds: np.ndarray) -> Starts:
        position = seeding.between(-0.6, -0.4, seeding.uniform(seeds, 1))
        return Starts(np.concatenate((position, np.zeros_like(position)), 1), np.zeros((len(seeds), 0)))

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        position, velocity = state.T
        _, cos = self._sin_cos(3 * position)
        velocity = velocity + ((action - 1) * self._force + cos * self._slope)
        velocity = velocity.clamp(-self._fastest, self._fastest)
        position = (position + velocity).clamp(self._left, self._right)
        velocity = torch.where((position == self._left) & (velocity < 0), self._zero, velocity)
        terminated = (position >= self._goal) & (velocity >= self._goal_velocity)
        return torch.stack((position, velocity)).T, self._minus.expand_as(velocity), terminated

    def obs(self, state: Tensor) -> Tensor:
        return state.to(torch.float32, memory_format=torch.contiguous_format)
