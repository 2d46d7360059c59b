"""How Gymnasium's cheap classic-control environments move, many at once: for `control`.

The formulas are those of Gymnasium's `step`, operation by operation in the same order, over arrays instead of numbers.
Constants and scratch arrays are as wide as the state: NumPy is quickest on like shapes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .sources import Original

# state (k, m), changed in place, and actions (m,) -> obs (m, *O) float32, reward (m,) float64, terminated (m,) bool
Law = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Kind(NamedTuple):
    """A class that can be stepped here: its law for m copies, and what must hold of them."""

    law: Callable[[Any, int], Law]
    size: int  # k, the numbers in a state
    min_copies: int  # from here on quicker than a loop over the copies
    written: Original  # the constants are the same in all copies


def _wide(m: int, *values: float) -> np.ndarray:
    """(len(values), m): each value m times over."""
    return np.repeat(np.array(values, np.float64)[:, None], m, axis=1)


def _cartpole(env: Any, m: int) -> Law:
    """State: x, x_dot, theta, theta_dot."""
    mul, add, sub, div = np.multiply, np.add, np.subtract, np.divide
    forces = np.array([-env.force_mag, env.force_mag], np.float64)
    moment, mass, masspole = _wide(m, env.polemass_length, env.total_mass, env.masspole)
    gravity, length, thirds, one = _wide(m, env.gravity, env.length, 4.0 / 3.0, 1.0)
    tau = _wide(m, *[env.tau] * 4)
    bounds = _wide(m, env.x_threshold, np.inf, env.theta_threshold_radians, np.inf)
    rate, far = np.empty((4, m)), np.empty((4, m))
    sin, cos, temp, acc, u = np.empty((5, m))
    _, x_acc, _, theta_acc = rate

    def step(state: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        theta, theta_dot = state[2], state[3]
        rate[0], rate[2] = state[1], theta_dot
        np.sin(theta, sin)
        np.cos(theta, cos)
        mul(moment, np.square(theta_dot, temp), temp)
        div(add(forces.take(actions), mul(temp, sin, temp), temp), mass, temp)
        div(mul(masspole, np.square(cos, u), u), mass, u)
        mul(length, sub(thirds, u, u), u)
        div(sub(mul(gravity, sin, acc), mul(cos, temp, sin), acc), u, theta_acc)
        div(mul(mul(moment, theta_acc, u), cos, u), mass, u)
        sub(temp, u, x_acc)
        add(state, mul(tau, rate, far), state)
        out = np.greater(np.abs(state, far), bounds)
        return state.T.astype(np.float32, order="C"), one.copy(), out[0] | out[2]

    return step


def _mountain_car(env: Any, m: int) -> Law:
    """State: position, velocity. The cosine is the C library's, number by number, as there."""
    pushes = np.array([(action - 1) * env.force for action in range(3)], np.float64)
    left, right, slowest, fastest = _wide(m, env.min_position, env.max_position, -env.max_speed, env.max_speed)
    goal, goal_velocity, slope = _wide(m, env.goal_position, env.goal_velocity, -env.gravity)
    three, zero, minus, u = _wide(m, 3.0, 0.0, -1.0, 0.0)

    def step(state: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        position, velocity = state
        cos = np.fromiter(map(math.cos, np.multiply(three, position, u).tolist()), np.float64, m)
        np.add(velocity, np.add(pushes.take(actions), np.multiply(cos, slope, u), u), velocity)
        np.minimum(np.maximum(velocity, slowest, out=velocity), fastest, out=velocity)
        np.add(position, velocity, position)
        np.minimum(np.maximum(position, left, out=position), right, out=position)
        velocity[(position == left) & (velocity < zero)] = 0.0
        terminated = (position >= goal) & (velocity >= goal_velocity)
        return state.T.astype(np.float32, order="C"), minus.copy(), terminated

    return step


def _acrobot(env: Any, m: int) -> Law:
    """State: theta1, theta2 and their velocities. Squares go by the C library's pow, as those of NumPy's numbers do."""
    mul, add, sub, div, power = np.multiply, np.add, np.subtract, np.divide, np.float_power
    m1, m2, l1 = env.LINK_MASS_1, env.LINK_MASS_2, env.LINK_LENGTH_1
    lc1, lc2, moi, g = env.LINK_COM_POS_1, env.LINK_COM_POS_2, env.LINK_MOI, 9.8

    torques, book = np.array(env.AVAIL_TORQUE, np.float64), env.book_or_nips != "nips"
    leaning1, leaning2, coriolis = _wide(m, 2 * l1 * lc2, l1 * lc2, 2 * m2 * l1 * lc2)
    lengths, masses, inertia = _wide(m, l1**2 + lc2**2, lc2**2), _wide(m, m2, m2), _wide(m, m1 * lc1**2, moi)
    weights, swing = _wide(m, m2 * lc2 * g, (m1 * lc1 + m2 * l1) * g), _wide(m, m2 * l1 * lc2, -m2 * l1 * lc2)
    moi1, total = _wide(m, moi, m2 * lc2**2 + moi)
    two, half_pi, pi = _wide(m, 2.0, 2.0), _wide(m, np.pi / 2, np.pi / 2), np.pi
    slowest, fastest = _wide(m, -env.MAX_VEL_1, -env.MAX_VEL_2), _wide(m, env.MAX_VEL_1, env.MAX_VEL_2)
    dt, half_dt, sixth, twice = (_wide(m, *[c] * 4) for c in (env.dt, env.dt / 2.0, env.dt / 6.0, 2.0))
    y, k1, k2, k3, k4 = np.empty((5, 4, m))
    angle, cos = np.empty((2, 3, m))
    d, gravity, square, sines = np.empty((4, 2, m))
    sin, phi1, u, v = np.empty((4, m))
    (d1, d2), (phi2, gravity1) = d, gravity

    def derivatives(y: np.ndarray, torque: np.ndarray, k: np.ndarray) -> None:
        theta1, theta2, dtheta1, dtheta2 = y
        angle[0], angle[2] = theta2, theta1
        add(theta1, theta2, angle[1])
        sub(angle[1:], half_pi, angle[1:])
        np.cos(angle, cos)
        np.sin(theta2, sin)
        mul(leaning1, cos[0], d1)
        mul(leaning2, cos[0], d2)
        add(inertia, mul(masses, add(lengths, d, d), d), d)
        add(add(d1, moi1, d1), moi1, d1)
        mul(weights, cos[1:], gravity)
        mul(swing, power(y[2:], two, square), square)
        mul(square[0], sin, square[0])
        mul(square[1], sin, square[1])
        mul(mul(mul(coriolis, dtheta2, u), dtheta1, u), sin, u)
        add(add(sub(square[1], u, phi1), gravity1, phi1), phi2, phi1)
        add(torque, mul(div(d2, d1, u), phi1, u), u)
        if book:
            sub(u, square[0], u)
        sub(u, phi2, u)
        sub(total, div(power(d2, two[0], v), d1, v), v)
        k[:2] = y[2:]
        div(u, v, k[3])
        div(np.negative(add(mul(d2, k[3], u), phi1, u), u), d1, k[2])

    def step(state: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        torque = torques.take(actions)
        derivatives(state, torque, k1)
        derivatives(add(state, mul(half_dt, k1, y), y), torque, k2)
        derivatives(add(state, mul(half_dt, k2, y), y), torque, k3)
        derivatives(add(state, mul(dt, k3, y), y), torque, k4)
        add(add(add(k1, mul(twice, k2, k2), k1), mul(twice, k3, k3), k1), k4, k1)
        add(state, mul(sixth, k1, k1), state)
        angles, velocities = state[:2], state[2:]
        while np.count_nonzero(over := angles > pi):
            angles[over] -= pi - -pi
        while np.count_nonzero(under := angles < -pi):
            angles[under] += pi - -pi
        np.minimum(np.maximum(velocities, slowest, out=velocities), fastest, out=velocities)
        angle[:2] = angles
        add(state[1], state[0], angle[2])
        np.cos(angle, cos)
        obs = np.empty((m, 6), np.float32)
        obs[:, 0:4:2] = cos[:2].T
        obs[:, 1:4:2] = np.sin(angles, sines).T
        obs[:, 4:] = velocities.T
        terminated = sub(np.negative(cos[0], u), cos[2], u) > 1.0
        return obs, terminated - 1.0, terminated

    return step


_CONTROL = "gymnasium.envs.classic_control"
KINDS: Mapping[str, Kind] = {
    f"{_CONTROL}.cartpole.CartPoleEnv": Kind(
        law=_cartpole,
        size=4,
        min_copies=2,
        written=Original(
            constants="force_mag gravity masspole total_mass length polemass_length tau "
            "x_threshold theta_threshold_radians",
            settings={"render_mode": None, "_sutton_barto_reward": False, "kinematics_integrator": "euler"},
            functions="step",
            digest="36d99482f4772b6c",
        ),
    ),
    f"{_CONTROL}.mountain_car.MountainCarEnv": Kind(
        law=_mountain_car,
        size=2,
        min_copies=2,
        written=Original(
            constants="min_position max_position max_speed goal_position goal_velocity force gravity",
            settings={"render_mode": None},
            functions="step",
            digest="d542dda464772e84",
        ),
    ),
    f"{_CONTROL}.acrobot.AcrobotEnv": Kind(
        law=_acrobot,
        size=4,
        min_copies=3,
        written=Original(
            constants="dt LINK_LENGTH_1 LINK_MASS_1 LINK_MASS_2 LINK_COM_POS_1 LINK_COM_POS_2 LINK_MOI "
            "MAX_VEL_1 MAX_VEL_2 AVAIL_TORQUE book_or_nips",
            settings={"render_mode": None, "torque_noise_max": 0},
            functions="step _get_ob _terminal _dsdt rk4 wrap bound",
            digest="1a44d2eea01d8175",
        ),
    ),
}
