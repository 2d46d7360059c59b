"""Pendulum in torch: Gymnasium's `PendulumEnv`, by the same operations in the same order."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import seeds as seeding
from .trig import PARTS, SinCos
from .world import Starts, World

# 2 * pi = the sum; the first has 33 bits, so that a million times it is a float64
_TURN = (4 * PARTS[0], 2 * np.pi - 4 * PARTS[0])


class Pendulum(World):
    """State: theta, its velocity. An action is (n, 1) float32, and what is computed of it alone is float32, as there.

    Args:
        env: made by Gymnasium; its constants are those of the law.
    """

    size, dtype, continuous = 2, torch.float64, True

    def __init__(self, env: Any) -> None:
        self._fastest, self._strongest, self._dt = float(env.max_speed), float(env.max_torque), float(env.dt)
        self._weight = float(3 * env.g / (2 * env.l))
        self._lever = torch.tensor([3.0 / (env.m * env.l**2)], dtype=torch.float32)
        self._effort = torch.tensor([0.001], dtype=torch.float32)
        self._never = torch.zeros(1, dtype=torch.bool)
        self._sin_cos = SinCos()

    def starts(self, seeds: np.ndarray) -> Starts:
        high = np.array([np.pi, 1.0])
        return Starts(seeding.between(-high, high, seeding.uniform(seeds, 2)), np.zeros((len(seeds), 0)))

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        theta, speed = state.T
        torque = action.reshape(-1).clamp(-self._strongest, self._strongest)
        angle = _normal(theta)
        costs = angle * angle + 0.1 * (speed * speed) + self._effort * (torque * torque)
        sin, _ = self._sin_cos(theta)
        speed = speed + (self._weight * sin + self._lever * torque) * self._dt
        speed = speed.clamp(-self._fastest, self._fastest)
        theta = theta + speed * self._dt
        return torch.stack((theta, speed)).T, -costs, self._never.expand_as(theta)

    def obs(self, state: Tensor) -> Tensor:
        theta, speed = state.T
        sin, cos = self._sin_cos(theta)
        return torch.stack((cos, sin, speed), 1).float()


def _normal(theta: Tensor) -> Tensor:
    """An angle between -pi and pi. The remainder is exact, but for a last place just below a full turn."""
    theta = theta + np.pi
    turns = (theta * (1 / (2 * np.pi))).floor()
    return theta - turns * _TURN[0] - turns * _TURN[1] - np.pi
