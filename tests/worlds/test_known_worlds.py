"""What is stepped in torch, and what is left to Gymnasium: whatever is not certain to be the same."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import registering
from gymnasium.envs.classic_control import acrobot, pendulum
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.toy_text import taxi
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from rlbench.envs.catch import Catch

from rlbench.border.make import EnvMaker, env_maker
from rlbench.border.wrappers import find_wraps
from rlbench.worlds import known
from rlbench.worlds.known import IDS, why_none, world_of


class Sub(CartPoleEnv):
    """Another class, though it steps alike."""


class Fast(CartPoleEnv):
    """With a constant of its own."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.force_mag = 20.0


class Told(CartPoleEnv):
    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], {"action_mask": np.ones(2, np.int8)}


registered = registering({"Sub-v0": Sub, "Fast-v0": Fast, "Same-v0": CartPoleEnv})


def maker(env_id: str = "CartPole-v1", wants: tuple[str, ...] = (), **kwargs: Any) -> EnvMaker:
    return env_maker(env_id, kwargs, wants=wants)


@pytest.mark.parametrize("env_id", [*IDS, "CartPole-v0", "FrozenLake8x8-v1", "CliffWalkingSlippery-v1", "Same-v0"])
def test_these_are_here(env_id: str) -> None:
    assert world_of(maker(env_id)) is not None
    assert why_none(maker(env_id)) == ""
    assert world_of(env_maker(env_id, max_episode_steps=7, anew=True)) is not None


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: maker("Sub-v0"), "has no Sub-v0 in torch. It has CartPole-v1, "),
        (lambda: maker("Fast-v0"), "has no Fast-v0 in torch"),
        (lambda: maker("Blackjack-v1"), "has no Blackjack-v1 in torch"),
        (lambda: maker("MountainCarContinuous-v0"), "has no MountainCarContinuous-v0 in torch"),
        (lambda: maker(sutton_barto_reward=True), "no CartPole-v1 in torch whose sutton_barto_reward is True."),
        (lambda: maker("Taxi-v4", fickle_passenger=True), "no Taxi-v4 in torch whose fickle_passenger is True."),
        (lambda: maker("CartPole-v1", render_mode="rgb_array"), "in torch whose render_mode is 'rgb_array'."),
        (lambda: maker("Pendulum-v1", g=0), "a constant of this Pendulum-v1"),
        (lambda: maker("Pendulum-v1", g=np.float32(9.5)), "a constant of this Pendulum-v1"),
        (lambda: maker("FrozenLake-v1", ("prob",)), "in torch does not say 'prob', which the agent wants."),
        (
            lambda: env_maker("CartPole-v1", wraps=find_wraps(["gymnasium.wrappers:ClipReward(max_reward=1)"], [])),
            "CartPole-v1 is in a wrapper, gymnasium.wrappers:ClipReward(max_reward=1)",
        ),
    ],
)  # fmt: skip
def test_anything_else_is_not(made: Any, why: str) -> None:
    assert why in why_none(made())
    assert "\n" not in why_none(made())
    assert world_of(made()) is None


def test_constants_are_read_off_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As each copy has them: they are no part of the code that is compared."""
    monkeypatch.setattr(acrobot.AcrobotEnv, "AVAIL_TORQUE", [-2.0, 0.5, 1.0])
    monkeypatch.setattr(acrobot.AcrobotEnv, "book_or_nips", "nips")
    made = maker("Acrobot-v1")
    law, env = world_of(made), made()
    assert law is not None
    env.reset(seed=0)
    state = torch.from_numpy(np.asarray(env.unwrapped.state, np.float64))[None]  # type: ignore[attr-defined]
    env.step(1)
    found, *_ = law.step(state, torch.ones(1, dtype=torch.int64))
    assert np.allclose(found[0].numpy(), env.unwrapped.state, rtol=1e-12)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("env_id", "owner", "name"),
    [
        ("CartPole-v1", CartPoleEnv, "step"),
        ("CartPole-v1", CartPoleEnv, "reset"),
        ("Acrobot-v1", acrobot, "rk4"),
        ("Acrobot-v1", acrobot, "cos"),
        ("Acrobot-v1", acrobot.AcrobotEnv, "reset"),
        ("Pendulum-v1", pendulum, "angle_normalize"),
        ("Pendulum-v1", pendulum.PendulumEnv, "_get_obs"),
        ("FrozenLake-v1", FrozenLakeEnv, "step"),
        ("Taxi-v4", taxi, "categorical_sample"),
        ("Taxi-v4", taxi.TaxiEnv, "action_mask"),
        ("rlbench/Catch-v0", Catch, "_obs"),
    ],
)
def test_other_code_is_left_alone(env_id: str, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = maker(env_id)
    assert world_of(made) is not None
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: original(*args, **kwargs))
    assert why_none(made) == f"the code of {env_id} is not the one that its law in torch was written after."


@pytest.mark.parametrize("name", ["step", "reset"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_copy_with_functions_of_its_own_is_left_alone(name: str, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = gym.make

    def patched(*args: Any, **kwargs: Any) -> Any:
        env: Any = made(*args, **kwargs)
        layer = (env, env.env, env.unwrapped)[depth]
        setattr(layer, name, getattr(layer, name))
        return env

    monkeypatch.setattr(gym, "make", patched)
    assert world_of(maker()) is None
    assert why_none(maker())


def test_a_pole_that_leans_too_far_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = gym.make

    def patched(*args: Any, **kwargs: Any) -> Any:
        env: Any = made(*args, **kwargs)
        env.unwrapped.theta_threshold_radians = 0.8
        return env

    monkeypatch.setattr(gym, "make", patched)
    assert why_none(maker()) == "this CartPole-v1 is not for its law in torch: its pole may lean beyond 45 degrees."


def test_where_numpy_draws_other_numbers_nothing_is_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    between = known.CartPole.starts

    def starts(self: Any, seeds: np.ndarray) -> Any:
        found = between(self, seeds)
        found.state[-1, 2] = np.nextafter(found.state[-1, 2], 9)
        return found

    monkeypatch.setattr(known.CartPole, "starts", starts)
    assert "begin with other numbers here" in why_none(maker())


def test_an_incomplete_table_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = gym.make

    def patched(*args: Any, **kwargs: Any) -> Any:
        env: Any = made(*args, **kwargs)
        env.unwrapped.P[3][2] = []
        return env

    monkeypatch.setattr(gym, "make", patched)
    assert "its P does not say what follows every action in every state" in why_none(maker("FrozenLake-v1"))
