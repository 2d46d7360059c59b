"""classic.control: every bit is as the environments themselves give it, and where that is not certain it says None."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.classic_control.mountain_car import MountainCarEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit, TransformReward

from rlbench.classic import control as module
from rlbench.classic import sources
from rlbench.classic.control import Native, native

IDS = ("CartPole-v1", "MountainCar-v0", "Acrobot-v1")
ENOUGH = 3  # copies, for every class


def make(env_id: str = "CartPole-v1", **kwargs: Any) -> Any:
    return gym.make(env_id, disable_env_checker=True, **kwargs)


def copies(env_id: str, n: int, **kwargs: Any) -> list[Any]:
    envs = [make(env_id, **kwargs) for _ in range(n)]
    for i, env in enumerate(envs):
        env.reset(seed=i)
    return envs


def adopted(envs: list[Any]) -> Native:
    stepper = native(envs)
    assert stepper is not None
    for i, env in enumerate(envs):
        stepper.adopt(i, env)
    return stepper


def agree(stepper: Native, envs: list[Any], actions: np.ndarray, running: np.ndarray | None = None) -> np.ndarray:
    """Step both, and compare everything there is to compare; who terminated, (m,)."""
    places = range(len(envs)) if running is None else running.tolist()
    untouched = stepper.state.copy()
    obs, reward, terminated = stepper.step(actions, running)
    assert (obs.dtype, reward.dtype, terminated.dtype) == (np.float32, np.float64, np.bool_)
    results = [envs[i].unwrapped.step(a) for i, a in zip(places, actions.tolist(), strict=True)]
    expected_obs = np.array([result[0] for result in results])
    assert expected_obs.dtype == np.float32
    assert obs.flags.c_contiguous
    assert obs.shape == expected_obs.shape
    assert obs.tobytes() == expected_obs.tobytes()
    assert reward.tobytes() == np.array([result[1] for result in results], np.float64).tobytes()
    assert terminated.tolist() == [result[2] for result in results]
    for i in places:
        untouched[:, i] = envs[i].unwrapped.state
    assert stepper.state.tobytes() == untouched.tobytes()
    return terminated


def random_actions(env: Any, rng: np.random.Generator, m: int) -> np.ndarray:
    return rng.integers(0, env.action_space.n, m)


@pytest.mark.parametrize(
    ("env_id", "n", "steps", "kwargs"),
    [
        ("CartPole-v1", 40, 600, {}),
        ("CartPole-v1", 2, 100, {}),
        ("MountainCar-v0", 40, 600, {}),
        ("MountainCar-v0", 2, 100, {"goal_velocity": 0.02}),
        ("Acrobot-v1", 13, 500, {}),
        ("Acrobot-v1", 3, 50, {}),
    ],
)
def test_every_bit_of_long_rollouts_is_the_same(env_id: str, n: int, steps: int, kwargs: dict[str, Any]) -> None:
    envs, rng = copies(env_id, n, **kwargs), np.random.default_rng(0)
    stepper, resets = adopted(envs), 0
    for t in range(steps):
        ended = agree(stepper, envs, random_actions(envs[0], rng, n))
        ended[rng.random(n) < 0.002] = True  # and at times it resets for no reason
        for i in np.flatnonzero(ended).tolist():
            resets += 1
            envs[i].reset(seed=1000 * t + i)
            stepper.adopt(i, envs[i])
    assert resets > (10 if n > 3 else -1)


@pytest.mark.parametrize("env_id", IDS)
def test_copies_that_no_longer_run_stay_where_they_are(env_id: str) -> None:
    envs, rng = copies(env_id, 9), np.random.default_rng(1)
    stepper = adopted(envs)
    running = np.arange(9)
    while len(running):
        for t in range(5):
            ended = agree(stepper, envs, random_actions(envs[0], rng, len(running)), running)
            for i in running[ended].tolist():
                envs[i].reset(seed=t)
                stepper.adopt(i, envs[i])
        running = np.delete(running, rng.integers(len(running)))
    agree(stepper, envs, random_actions(envs[0], rng, 9))  # and all go on


def extreme_states(env_id: str) -> np.ndarray:
    """(n, k) states at and beyond the corners, and the numbers next to them."""
    rng = np.random.default_rng(2)
    if env_id == "CartPole-v1":
        edge = [2.4, 0.0, 12 * 2 * np.pi / 360, 0.0]
        axes = [[v, -v, np.nextafter(v, 9), np.nextafter(v, 0), 0.999 * v] for v in edge]
        states = [rng.permutation(axis) for axis in axes for _ in range(8)]
        states = np.array(states).reshape(4, -1).T
        return np.concatenate([states, rng.uniform(-5, 5, (40, 4)), rng.uniform(-60, 60, (20, 4))])
    if env_id == "MountainCar-v0":
        places = [-1.2, np.nextafter(-1.2, 0), -1.19, 0.6, 0.59, 0.5, 0.4999999, 0.45, -0.5]
        speeds = [-0.07, 0.07, 0.0, 0.069, -0.069, 1e-9, -1e-9]
        return np.array([(place, speed) for place in places for speed in speeds])
    angles = [np.pi, -np.pi, np.nextafter(np.pi, 0), 0.0, 3.0, -3.0, 1e-8, 40.0, -40.0]  # the last wrap many times
    fast = [(4 * np.pi, 9 * np.pi), (-4 * np.pi, -9 * np.pi), (12.0, -28.0), (0.0, 0.0), (-1e-7, 2.0)]
    return np.array([(a, b, *v) for a in angles for b in angles for v in fast])


@pytest.mark.parametrize("env_id", IDS)
def test_extreme_states_go_on_as_they_would(env_id: str) -> None:
    states = extreme_states(env_id)
    envs = copies(env_id, len(states))
    stepper = native(envs)
    assert stepper is not None
    ended = 0
    for action in range(envs[0].action_space.n):
        for i, (env, state) in enumerate(zip(envs, states, strict=True)):
            env.reset(seed=i)
            env.unwrapped.state = tuple(state) if env_id == "MountainCar-v0" else state.copy()
            stepper.adopt(i, env)
        terminated = agree(stepper, envs, np.full(len(envs), action))
        on = np.flatnonzero(~terminated)  # a second step, from states that a step has clipped and wrapped
        agree(stepper, envs, np.full(len(on), action), on)
        ended += terminated.sum()
    assert 0 < ended < envs[0].action_space.n * len(states)


def test_acrobot_squares_as_the_c_library_does() -> None:
    """One square in about a thousand is not x * x there: such a velocity shows in the bits of what follows."""
    velocities = [v for v in np.random.default_rng(3).uniform(-12, 12, 20_000) if v**2 != v * v][:20]
    if len(velocities) < ENOUGH:
        pytest.skip("this C library's pow rounds correctly")
    envs = copies("Acrobot-v1", len(velocities))
    for env, velocity in zip(envs, velocities, strict=True):
        env.unwrapped.state = np.array([1.0, -0.5, velocity, velocity])
    agree(adopted(envs), envs, np.ones(len(envs), np.int64))


@pytest.mark.parametrize(
    ("env_id", "changes"),
    [
        ("CartPole-v1", {"gravity": 3.7, "masspole": 0.3, "total_mass": 1.7, "length": 0.7, "polemass_length": 0.21}),
        ("CartPole-v1", {"force_mag": 8, "tau": 0.03, "x_threshold": 0.05, "theta_threshold_radians": 0.1}),
        ("MountainCar-v0", {"min_position": -0.6, "max_position": 0.3, "max_speed": 0.004, "goal_position": -0.45}),
        ("MountainCar-v0", {"force": 0.02, "max_position": 0.5}),  # the goal is the wall: it is reached exactly
        ("MountainCar-v0", {"force": 0.02, "gravity": 0.001, "goal_velocity": 0.07}),
        ("Acrobot-v1", {"LINK_LENGTH_1": 1.3, "LINK_MASS_1": 0.7, "LINK_MASS_2": 1.1, "LINK_COM_POS_1": 0.6}),
        ("Acrobot-v1", {"LINK_COM_POS_2": 0.3, "LINK_MOI": 0.9, "MAX_VEL_1": 1.0, "MAX_VEL_2": 1.5, "dt": 0.1}),
        ("Acrobot-v1", {"book_or_nips": "nips", "AVAIL_TORQUE": [-2.0, 0.5, 1]}),
    ],
)
def test_constants_are_those_of_the_copies(env_id: str, changes: dict[str, Any]) -> None:
    envs, rng = copies(env_id, 5), np.random.default_rng(4)
    for env in envs:
        for name, value in changes.items():
            assert hasattr(env.unwrapped, name)
            setattr(env.unwrapped, name, value)
    stepper = adopted(envs)
    for t in range(200):
        for i in np.flatnonzero(agree(stepper, envs, random_actions(envs[0], rng, 5))).tolist():
            envs[i].reset(seed=1000 * t + i)
            stepper.adopt(i, envs[i])


def test_results_are_the_callers_own() -> None:
    for env_id in IDS:
        envs = copies(env_id, 4)
        stepper = adopted(envs)
        first = stepper.step(np.ones(4, np.int64), None)
        kept = [array.copy() for array in first]
        for array in stepper.step(np.zeros(4, np.int64), None):
            array[:] = 7
        assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))
        for i, env in enumerate(envs):
            env.reset(seed=i)
            stepper.adopt(i, env)
        again = stepper.step(np.ones(4, np.int64), None)
        assert all(np.array_equal(a, b) for a, b in zip(again, kept, strict=True))


@pytest.mark.parametrize("env_id", [*IDS, "CartPole-v0"])
def test_made_by_gymnasium_they_are_taken(env_id: str, recwarn: pytest.WarningsRecorder) -> None:
    assert native([make(env_id) for _ in range(ENOUGH)]) is not None
    assert native([make(env_id, max_episode_steps=7) for _ in range(ENOUGH)]) is not None
    assert native([OrderEnforcing(make(env_id).unwrapped) for _ in range(ENOUGH)]) is not None


def changed(name: str, value: Any, env_id: str = "CartPole-v1") -> Callable[[], Any]:
    def build() -> Any:
        env = make(env_id)
        setattr(env.unwrapped, name, value)
        return env

    return build


def shadowed(depth: int) -> Any:
    """One whose TimeLimit (0), OrderEnforcing (1) or environment (2) has a step of its own."""
    env = make()
    layer = (env, env.env, env.unwrapped)[depth]
    layer.step = layer.step
    return env


class Sub(CartPoleEnv):
    """Another class, though it steps alike."""


@pytest.mark.parametrize(
    "build",
    [
        lambda: TransformReward(make(), lambda r: r),
        lambda: TimeLimit(TransformReward(make(), lambda r: r), 10),
        lambda: TimeLimit(make(), 10),
        lambda: TimeLimit(OrderEnforcing(CartPoleEnv()), 10),  # whose limit it does not know
        lambda: gym.make("CartPole-v1"),  # with PassiveEnvChecker
        lambda: make(render_mode="rgb_array"),
        lambda: make(sutton_barto_reward=True),
        lambda: OrderEnforcing(Sub()),
        lambda: CartPoleEnv(),
        lambda: make("Pendulum-v1"),
        changed("kinematics_integrator", "semi-implicit euler"),
        changed("tau", np.float32(0.02)),
        changed("tau", np.nan),
        changed("tau", 0.0),
        changed("torque_noise_max", 0.5, "Acrobot-v1"),
        changed("AVAIL_TORQUE", (-1.0, 0.0, 1.0), "Acrobot-v1"),
        lambda: shadowed(0),
        lambda: shadowed(1),
        lambda: shadowed(2),
    ],
)
def test_anything_unusual_is_left_alone(build: Callable[[], Any]) -> None:
    assert native([build() for _ in range(ENOUGH)]) is None
    assert native([make(), make(), build()]) is None


@pytest.mark.parametrize(
    ("env_id", "name", "value"),
    [
        ("CartPole-v1", "gravity", 9.81),
        ("CartPole-v1", "x_threshold", 2.5),
        ("MountainCar-v0", "goal_velocity", 0.01),
        ("Acrobot-v1", "dt", 0.1),
        ("Acrobot-v1", "book_or_nips", "nips"),
        ("Acrobot-v1", "AVAIL_TORQUE", [-1.0, 0.0, 2.0]),
    ],
)
def test_copies_must_share_their_constants(env_id: str, name: str, value: Any) -> None:
    assert native([changed(name, value, env_id)() for _ in range(ENOUGH)]) is not None
    assert native([make(env_id), make(env_id), changed(name, value, env_id)()]) is None


def test_copies_of_different_environments_are_left_alone() -> None:
    assert native([make(env_id) for env_id in IDS]) is None


@pytest.mark.parametrize("env_id", IDS)
def test_few_copies_are_quicker_by_themselves(env_id: str) -> None:
    least = module.KINDS[module.name_of(type(make(env_id).unwrapped))].min_copies
    assert 2 <= least <= ENOUGH
    assert native([]) is None
    assert native([make(env_id) for _ in range(least - 1)]) is None
    assert native([make(env_id) for _ in range(least)]) is not None


@pytest.mark.parametrize(
    ("env_id", "owner", "name"),
    [
        ("CartPole-v1", CartPoleEnv, "step"),
        ("MountainCar-v0", MountainCarEnv, "step"),
        ("Acrobot-v1", AcrobotEnv, "step"),
        ("Acrobot-v1", AcrobotEnv, "_dsdt"),
        ("Acrobot-v1", "gymnasium.envs.classic_control.acrobot", "rk4"),
        ("Acrobot-v1", "gymnasium.envs.classic_control.acrobot", "wrap"),
        ("Acrobot-v1", "gymnasium.envs.classic_control.acrobot", "cos"),
    ],
)
def test_another_step_is_left_alone(env_id: str, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    envs = [make(env_id) for _ in range(ENOUGH)]
    assert native(envs) is not None
    target = f"{owner}.{name}" if isinstance(owner, str) else None
    for other in (lambda *args: None, len):  # one has another source, the other none
        with monkeypatch.context() as patch:
            if target:
                patch.setattr(target, other)
            else:
                patch.setattr(owner, name, other)
            assert native(envs) is None
    assert native(envs) is not None


def test_a_wrapped_step_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inspect.getsource` would show the source of what is wrapped."""

    def step(self: Any, action: Any) -> None: ...

    step.__wrapped__ = CartPoleEnv.step  # type: ignore[attr-defined]
    monkeypatch.setattr(CartPoleEnv, "step", step)
    assert native([make() for _ in range(ENOUGH)]) is None


def test_another_version_or_machine_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = [make() for _ in range(ENOUGH)]
    with monkeypatch.context() as patch:
        patch.setattr(sources, "digest", lambda *functions: "0" * 16)
        assert native(envs) is None
    with monkeypatch.context() as patch:
        patch.setattr(module, "_same_bits", lambda: False)
        assert native(envs) is None
    assert native(envs) is not None


@pytest.mark.parametrize("name", ["sin", "cos", "float_power"])
def test_the_self_check_sees_other_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = getattr(np, name)

    def other(x: Any, *rest: Any) -> Any:
        """As NumPy's, but the last bit of every thousandth number differs in an array."""
        result = original(x, *rest)
        if np.ndim(result):
            result[7::1000] = np.nextafter(result[7::1000], 9)
        return result

    assert module._same_bits()
    monkeypatch.setattr(np, name, other)
    assert not module._same_bits.__wrapped__()
