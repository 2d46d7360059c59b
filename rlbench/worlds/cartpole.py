"""CartPole in torch: Gymnasium's `CartPoleEnv`, by the same operations in the same order."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import seeds as seeding
from .trig import COSINE, ITSELF, SINE, WITHIN, near, terms
from .world import Starts, World, column


class CartPole(World):
    """State: x, x_dot, theta, theta_dot. A step takes 34 operations, what is seen of it one more.

    Operations on different numbers are done as one where they are alike: a row is a number of the law, a column a copy.
    Where a number takes no part, it is multiplied by 1, or 0 is added to it, which changes no bit.

    Args:
        env: made by Gymnasium; its constants are those of the law.
    """

    size, dtype = 4, torch.float64

    def __init__(self, env: Any) -> None:
        force = float(env.force_mag)
        self._moment, self._tau = float(env.polemass_length), float(env.tau)
        self._one = torch.ones(1, dtype=torch.float64)
        self._terms = terms(ITSELF, SINE, COSINE, ITSELF)
        self._mass = column(env.total_mass)
        self._pushes, self._pulls = column(0.0, 2 * force), column(0.0, force)
        self._squared = column(env.masspole, self._moment)
        self._firsts = column(4.0 / 3.0, env.gravity)
        self._length = column(env.length, 1.0)
        self._bounds = column(env.x_threshold, np.inf, env.theta_threshold_radians, np.inf)

    @classmethod
    def unfit(cls, env: Any) -> str:
        return "" if env.theta_threshold_radians <= WITHIN else "its pole may lean beyond 45 degrees"

    def starts(self, seeds: np.ndarray) -> Starts:
        draws = seeding.uniform(seeds, 4)
        return Starts(seeding.between(-0.05, 0.05, draws), np.zeros((len(seeds), 0)))

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        _, x_dot, theta, theta_dot = rows = state.T
        one = self._one.expand_as(theta)
        named = near(torch.stack((one, theta, one, theta_dot)), theta, self._terms)  # 1, sin, cos, theta_dot
        force = action * self._pushes - self._pulls  # 0, force
        squares = named[2:] * named[2:] * self._squared * named[:2]  # masspole * cos**2, moment * theta_dot**2 * sin
        _, temp = both = (squares + force) / self._mass  # masspole * cos**2 / mass, temp
        above = named[:2] * self._firsts - both * named[::2]  # 4/3 - share, gravity * sin - temp * cos
        below, above = (above * self._length).unbind()
        theta_acc = above / below
        x_acc = temp - self._moment * theta_acc * named[2] / self._mass[0]
        rates = torch.stack((x_dot, x_acc, theta_dot, theta_acc))
        new = rows + self._tau * rates
        terminated = (new.abs() > self._bounds).any(0)
        return new.T, one, terminated

    def obs(self, state: Tensor) -> Tensor:
        return state.to(torch.float32, memory_format=torch.contiguous_format)
