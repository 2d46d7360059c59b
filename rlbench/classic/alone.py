"""Steps a single copy of CartPole or MountainCar as its own code does, to the bit, over plain numbers in its place.

What `control` is to several copies. Gymnasium computes with NumPy's scalars, whose every operation costs
several of Python's; sine and cosine are taken as there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from .control import known

# a state, changed in place, and an action -> obs, reward, terminated
LawOfOne = Callable[[list[float], int], tuple[list[float], float, bool]]


class NativeOne:
    """A copy that stands where it was adopted and goes on from there. `native_one` makes it.

    Args:
        env: the copy; its own ``.state`` goes stale.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        inner = env.unwrapped
        self._law = LAWS[type(inner).__name__](inner)
        self.state: list[float] = []

    def adopt(self, env: gym.Env[Any, Any]) -> None:
        """Stand where ``env`` stands. Due after every reset."""
        self.state = [float(x) for x in env.unwrapped.state]  # type: ignore[attr-defined]

    def step(self, action: int) -> tuple[list[float], float, bool]:
        """The observation, to be rounded to float32 and copied at once, the reward, and whether it terminated."""
        return self._law(self.state, action)


def native_one(envs: Sequence[gym.Env[Any, Any]]) -> NativeOne | None:
    """The one environment among ``envs`` stepped here, or None where that is not certain to give the same bits."""
    if len(envs) != 1 or type(envs[0].unwrapped).__name__ not in LAWS or not known(envs):
        return None
    return NativeOne(envs[0])


def _cartpole(env: Any) -> LawOfOne:
    """State: x, x_dot, theta, theta_dot."""
    force_mag, gravity, length, tau = float(env.force_mag), env.gravity, env.length, env.tau
    moment, mass, masspole = env.polemass_length, env.total_mass, env.masspole
    far, tilted = env.x_threshold, env.theta_threshold_radians
    sine, cosine = np.sin, np.cos

    def step(state: list[float], action: int) -> tuple[list[float], float, bool]:
        x, x_dot, theta, theta_dot = state
        cos, sin = float(cosine(theta)), float(sine(theta))
        temp = ((force_mag if action == 1 else -force_mag) + moment * (theta_dot * theta_dot) * sin) / mass
        theta_acc = (gravity * sin - cos * temp) / (length * (4.0 / 3.0 - masspole * (cos * cos) / mass))
        x_acc = temp - moment * theta_acc * cos / mass
        state[0] = x = x + tau * x_dot
        state[1] = x_dot + tau * x_acc
        state[2] = theta = theta + tau * theta_dot
        state[3] = theta_dot + tau * theta_acc
        return state, 1.0, not (-far <= x <= far and -tilted <= theta <= tilted)

    return step


def _mountain_car(env: Any) -> LawOfOne:
    """State: position, velocity."""
    force, gravity, speed = env.force, env.gravity, env.max_speed
    left, right, goal, goal_velocity = env.min_position, env.max_position, env.goal_position, env.goal_velocity

    def step(state: list[float], action: int) -> tuple[list[float], float, bool]:
        position, velocity = state
        velocity += (action - 1) * force + math.cos(3 * position) * (-gravity)
        velocity = min(max(velocity, -speed), speed)
        position = min(max(position + velocity, left), right)
        if position == left and velocity < 0:
            velocity = 0.0
        state[0], state[1] = position, velocity
        return state, -1.0, position >= goal and velocity >= goal_velocity

    return step


LAWS: Mapping[str, Callable[[Any], LawOfOne]] = {"CartPoleEnv": _cartpole, "MountainCarEnv": _mountain_car}
