"""The laws of classic control in torch, against Gymnasium's own."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from conftest import slow

from rlbench.border.make import env_maker
from rlbench.worlds.known import world_of
from rlbench.worlds.world import World

Policy = Callable[[Any, np.random.Generator], Any]
#: One unit is the last place of this, or of a number that is larger: they add up what cancels. A link that turns fast
#: makes most of a turn in a step.
SCALES = {
    "CartPole-v1": [1, 1, 1, 1],
    "MountainCar-v0": [1.2, 0.07],
    "Acrobot-v1": [2 * np.pi, 2 * np.pi, 4 * np.pi, 9 * np.pi],
    "Pendulum-v1": [np.pi, 7.999],
}
IDS = list(SCALES)


def at_random(env: Any, rng: np.random.Generator) -> Any:
    if not hasattr(env.action_space, "n"):
        return rng.uniform(-3, 3, 1).astype(np.float32)  # some are beyond the bounds
    return int(rng.integers(env.action_space.n))


def upright(env: Any, rng: np.random.Generator) -> int:
    """Keeps a pole up to the end of its episode, most of the time."""
    return int(env.state[2] + env.state[3] > 0) if rng.random() < 0.9 else int(rng.integers(2))


def along(env: Any, rng: np.random.Generator) -> int:
    """Pushes a car, or a link, where it goes anyway."""
    return 2 if env.state[-1] > 0 else 0


def around(env: Any, rng: np.random.Generator) -> Any:
    """Turns a pendulum in one direction for good."""
    return np.array([2], np.float32)


EPISODES = [
    ("CartPole-v1", at_random, 60),
    ("CartPole-v1", upright, 6),
    ("MountainCar-v0", at_random, 6),
    ("MountainCar-v0", along, 10),
    ("Acrobot-v1", at_random, 3),
    ("Acrobot-v1", along, 6),
    ("Pendulum-v1", at_random, 10),
    ("Pendulum-v1", around, 3),
    slow("CartPole-v1", upright, 100),
    slow("MountainCar-v0", along, 200),
    slow("Acrobot-v1", along, 100),
    slow("Pendulum-v1", at_random, 300),
]


class Steps(NamedTuple):
    """What Gymnasium makes of states and actions, a row each."""

    before: np.ndarray
    action: np.ndarray
    after: np.ndarray
    obs: np.ndarray
    reward: np.ndarray
    ended: np.ndarray


def world(env_id: str, **kwargs: Any) -> World:
    found = world_of(env_maker(env_id, kwargs))
    assert found is not None
    return found


def bare(env_id: str, **kwargs: Any) -> Any:
    return env_maker(env_id, kwargs)().unwrapped


def each_step(env: Any, policy: Policy, episodes: int, longest: int) -> Iterator[tuple[Any, ...]]:
    rng = np.random.default_rng(0)
    for seed in range(episodes):
        env.reset(seed=seed)
        for _ in range(longest):
            action, before = policy(env, rng), np.array(env.state, np.float64)
            obs, reward, terminated, *_ = env.step(action)
            yield before, action, np.array(env.state, np.float64), obs, float(reward), terminated
            if terminated:
                break


def steps(env: Any, policy: Policy, episodes: int, longest: int = 500) -> Steps:
    return Steps(*map(np.array, zip(*each_step(env, policy, episodes, longest), strict=True)))


def unit(env_id: str, of: Steps) -> np.ndarray:
    """What is one unit in the last place."""
    return np.spacing(np.maximum(np.maximum(np.abs(of.before), np.abs(of.after)), SCALES[env_id]))


def agrees(env_id: str, law: World, of: Steps) -> None:
    state, reward, terminated = law.step(torch.from_numpy(of.before), torch.from_numpy(of.action))
    assert (np.abs(state.numpy() - of.after) <= unit(env_id, of)).all()
    if env_id == "CartPole-v1":  # where a cart and a pole are does not depend on sine or cosine
        assert (state.numpy()[:, ::2] == of.after[:, ::2]).all()
    assert (terminated.numpy() == of.ended).all()
    if (
        env_id == "Pendulum-v1"
    ):  # what the torque costs, 0.004 at most, is a number of float32, and so is its last place
        allowed = np.spacing(np.abs(of.reward)) + np.spacing(np.float32(0.004))
        assert (np.abs(reward.numpy() - of.reward) <= allowed).all()
        assert (reward.numpy() == of.reward).mean() > 0.99
    else:
        assert (reward.numpy() == of.reward).all()
    obs = law.obs(state).numpy()
    assert (np.abs(obs - of.obs) <= np.spacing(np.maximum(np.abs(of.obs), np.float32(1e-6)))).all()
    assert (obs == of.obs).mean() > 0.999


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_begin_as_gymnasiums(env_id: str) -> None:
    law, env = world(env_id), bare(env_id)
    seeds = np.concatenate([np.arange(100), np.random.default_rng(0).integers(2**63, size=200), [2**32 - 1, 2**32]])
    starts = law.starts(seeds)
    assert starts.state.shape == (302, law.size)
    assert starts.draws.shape == (302, law.draws)
    for seed, state in zip(seeds.tolist(), starts.state, strict=True):
        obs, _ = env.reset(seed=seed)
        assert state.tobytes() == np.asarray(env.state, np.float64).tobytes()
        shown = law.obs(torch.from_numpy(state)[None]).numpy()
        # Acrobot takes the sine of a start in float32: it is rounded twice
        assert (np.abs(shown - obs) <= (np.spacing(np.abs(obs)) if env_id == "Acrobot-v1" else 0)).all()


@pytest.mark.parametrize(("env_id", "policy", "episodes"), EPISODES)
def test_each_step_is_gymnasiums_to_the_last_place(env_id: str, policy: Policy, episodes: int) -> None:
    of = steps(bare(env_id), policy, episodes)
    agrees(env_id, world(env_id), of)
    assert of.ended.any() == (env_id == "CartPole-v1" or policy is along)


@pytest.mark.parametrize(
    ("env_id", "policy", "kwargs"),
    [("MountainCar-v0", along, {"goal_velocity": 0.05}), ("Pendulum-v1", at_random, {"g": 9.81})],
)
def test_constants_are_those_of_the_environment(env_id: str, policy: Policy, kwargs: dict[str, Any]) -> None:
    of = steps(bare(env_id, **kwargs), policy, 5)
    agrees(env_id, world(env_id, **kwargs), of)
    with pytest.raises(AssertionError):
        agrees(env_id, world(env_id), of)


def test_a_link_that_turns_many_times_in_a_step_is_wrapped_as_there() -> None:
    """States that no episode comes to, some of them more than four turns away from where the angle belongs."""
    env, rng, rows = bare("Acrobot-v1"), np.random.default_rng(0), []
    env.reset(seed=0)
    top = np.array([np.pi, np.pi, 4 * np.pi, 9 * np.pi])
    for _ in range(2000):
        env.state = before = rng.choice([-1, 1], 4) * top * np.append(rng.random(2), rng.choice([1.0, 0.5], 2))
        action = int(rng.integers(3))
        obs, reward, ended, *_ = env.step(action)
        rows.append((before, action, env.state, obs, reward, ended))
    of = Steps(*map(np.array, zip(*rows, strict=True)))
    state, _, terminated = world("Acrobot-v1").step(torch.from_numpy(of.before), torch.from_numpy(of.action))
    off = np.abs(state.numpy() - of.after)[:, :2]
    assert np.minimum(off, np.abs(off - 2 * np.pi)).max() < 1e-10  # where it differs by a turn, it stands at the seam
    assert (off > 1).mean() < 0.001
    assert (terminated.numpy() == of.ended).all()


@pytest.mark.parametrize(
    ("env_id", "states"),
    [
        ("MountainCar-v0", [[-1.2, -0.07], [-1.19, -0.07], [0.6, 0.07], [0.5, 0.0], [0.45, 0.07], [-1.2, 0.0]]),
        ("CartPole-v1", [[2.4, 0, 0, 0], [2.4, 1e-9, 0, 0], [-2.4, -1, 0, 0], [0, 0, 0.2094395, 1], [0, 0, -0.2, -3]]),
        ("Acrobot-v1", [[np.pi, -np.pi, 12.5, -28.2], [3.1, 0.1, 0, 0], [-3.1, 0.0, -1, 2], [0, 0, 0, 0]]),
        ("Pendulum-v1", [[np.pi, 8], [-np.pi, -8], [0, 0], [100.0, 7.99], [-3.2, 0.1], [-1000.0, -8]]),
    ],
)
def test_at_the_edges(env_id: str, states: list[list[float]]) -> None:
    env, rows = bare(env_id), []
    actions = (
        [np.array([u], np.float32) for u in (-5, -0.0, 1.3)] if env_id == "Pendulum-v1" else range(env.action_space.n)
    )
    for before in states:
        for action in actions:
            env.reset(seed=0)
            env.state = tuple(before) if env_id == "MountainCar-v0" else np.array(before)
            obs, reward, ended, *_ = env.step(action)
            rows.append((np.array(before), action, np.array(env.state), obs, float(reward), ended))
    agrees(env_id, world(env_id), Steps(*map(np.array, zip(*rows, strict=True))))
