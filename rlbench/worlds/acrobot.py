"""Acrobot in torch: Gymnasium's `AcrobotEnv`, by the same operations in the same order."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import seeds as seeding
from .trig import SinCos
from .world import Starts, World, column

_GRAVITY = 9.8  # a number in its code
_TURN = 2 * math.pi


class Acrobot(World):
    """State: theta1, theta2 and their velocities. What is alike for several numbers is one operation on their rows.

    An episode begins with a state of float32, and there with what is seen of it in float32: here it is rounded once.

    Args:
        env: made by Gymnasium; its constants are those of the law.
    """

    size, dtype = 4, torch.float64

    def __init__(self, env: Any) -> None:
        m1, m2, l1 = env.LINK_MASS_1, env.LINK_MASS_2, env.LINK_LENGTH_1
        lc1, lc2, moi, g = env.LINK_COM_POS_1, env.LINK_COM_POS_2, env.LINK_MOI, _GRAVITY
        self._book = env.book_or_nips != "nips"
        self._torques = torch.tensor(env.AVAIL_TORQUE, dtype=torch.float64)
        self._dt, self._half, self._sixth = float(env.dt), env.dt / 2.0, env.dt / 6.0
        self._leaning, self._lengths = column(2 * l1 * lc2, l1 * lc2), column(l1**2 + lc2**2, lc2**2)
        self._masses, self._inertia = float(m2), column(m1 * lc1**2, moi)
        self._first_moi = column(moi, 0.0)
        self._weights, self._swing = (
            column(m2 * lc2 * g, (m1 * lc1 + m2 * l1) * g),
            column(m2 * l1 * lc2, -m2 * l1 * lc2),
        )
        self._coriolis, self._total = float(2 * m2 * l1 * lc2), float(m2 * lc2**2 + moi)
        self._level = column(0.0, np.pi / 2, np.pi / 2)
        self._fastest = column(env.MAX_VEL_1, env.MAX_VEL_2)
        self._zero, self._minus = torch.tensor([[0.0], [-1.0]], dtype=torch.float64)
        self._sin_cos = SinCos()

    def starts(self, seeds: np.ndarray) -> Starts:
        state = seeding.between(-0.1, 0.1, seeding.uniform(seeds, 4)).astype(np.float32)
        return Starts(state.astype(np.float64), np.zeros((len(seeds), 0)))

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        first = state.T
        torque = self._torques.index_select(0, action.clamp(0, len(self._torques) - 1))
        k1 = self._rates(first, torque)
        k2 = self._rates(first + self._half * k1, torque)
        k3 = self._rates(first + self._half * k2, torque)
        k4 = self._rates(first + self._dt * k3, torque)
        last = first + self._sixth * (k1 + 2 * k2 + 2 * k3 + k4)
        angles, speeds = last[:2], last[2:]
        angles = angles - (angles * (1 / _TURN)).trunc() * _TURN  # there, turn by turn
        angles = angles - torch.sign(angles - angles.clamp(-math.pi, math.pi)) * _TURN
        speeds = torch.minimum(torch.maximum(speeds, -self._fastest), self._fastest)
        _, cos = self._sin_cos(torch.stack((angles[0], angles[1] + angles[0])))
        terminated = -cos[0] - cos[1] > 1.0
        return torch.cat((angles, speeds)).T, torch.where(terminated, self._zero, self._minus), terminated

    def obs(self, state: Tensor) -> Tensor:
        rows = state.T
        (sin1, sin2), (cos1, cos2) = self._sin_cos(rows[:2])
        return torch.stack((cos1, sin1, cos2, sin2, rows[2], rows[3]), 1).float()

    def _rates(self, state: Tensor, torque: Tensor) -> Tensor:
        """The derivatives of a state (4, n)."""
        theta1, theta2, speed1, speed2 = state
        sines, cosines = self._sin_cos(torch.stack((theta2, theta1 + theta2, theta1)) - self._level)
        sin, cos = sines[0], cosines[0]
        d = self._inertia + self._masses * (self._lengths + self._leaning * cos)
        d1, d2 = d + self._first_moi + self._first_moi
        phi2, down = self._weights * cosines[1:]
        swing1, swing2 = self._swing * (state[2:] * state[2:]) * sin
        phi1 = swing2 - self._coriolis * speed2 * speed1 * sin + down + phi2
        push = torque + d2 / d1 * phi1
        if self._book:
            push = push - swing1
        rate2 = (push - phi2) / (self._total - d2 * d2 / d1)
        rate1 = -(d2 * rate2 + phi1) / d1
        return torch.stack((speed1, speed2, rate1, rate2))
