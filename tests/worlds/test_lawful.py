"""Episodes of a law, run again and drawn by Gymnasium's own environment."""

from typing import Any

import numpy as np
import pytest
import torch

from rlbench.border.make import env_maker
from rlbench.worlds.known import IDS, world_of
from rlbench.worlds.lawful import Lawful, lawful, outcomes
from rlbench.worlds.world import World

LAWS = IDS[:4]


def choices(env: Any, rng: np.random.Generator, n: int) -> list[Any]:
    if not hasattr(env.action_space, "n"):
        return list(rng.uniform(-3, 3, (n, 1)).astype(np.float32))
    return rng.integers(env.action_space.n, size=n).tolist()  # type: ignore[no-any-return]


def made(env_id: str, **how: Any) -> tuple[Any, World]:
    maker = env_maker(env_id, how)
    world = world_of(maker)
    assert world is not None
    return maker, world


def by_hand(world: World, seed: int, actions: list[Any]) -> list[tuple[bytes, bytes, float, bool]]:
    """An episode of the law: each state, what is seen of it, and what was paid."""
    starts = world.starts(np.array([seed]))
    state, found = torch.from_numpy(starts.state), []
    for t, action in enumerate(actions):
        draw = torch.from_numpy(starts.draws[:, t]) if world.draws else None
        state, reward, ended = world.step(state, torch.from_numpy(np.asarray(action))[None], draw)
        found.append((state.numpy().tobytes(), world.obs(state).numpy().tobytes(), reward.item(), bool(ended)))
        if ended:
            break
    return found


@pytest.mark.parametrize("env_id", LAWS)
def test_a_copy_goes_by_the_law(env_id: str) -> None:
    maker, world = made(env_id)
    env, inner = lawful(maker, world), None
    inner, limit = env.unwrapped, maker.time_limit
    for seed in range(3):
        actions = choices(env, np.random.default_rng(seed), limit)
        obs, _ = env.reset(seed=seed)
        assert obs.tobytes() == world.obs(torch.from_numpy(np.array(inner.state, np.float64))[None]).numpy().tobytes()
        expected = by_hand(world, seed, actions)
        for t, action in enumerate(actions[: len(expected)]):
            obs, reward, terminated, truncated, _ = env.step(action)
            assert (inner.state.tobytes(), obs.tobytes(), reward, terminated) == expected[t]
            assert truncated == (t + 1 == limit)  # the copy's own wrappers are around it as ever


@pytest.mark.parametrize("env_id", LAWS)
def test_it_draws_where_the_law_leads(env_id: str) -> None:
    maker, world = made(env_id)
    env, other = lawful(maker, world, "rgb_array"), maker("rgb_array")
    for one in (env, other):
        one.reset(seed=1)
    first = env.render()
    assert np.array_equal(first, other.render())
    for action in choices(env, np.random.default_rng(0), 12):
        env.step(action)
        other.step(action)
    assert np.array_equal(env.render(), other.render())  # a last place makes no other picture
    assert not np.array_equal(env.render(), first)
    for one in (env, other):
        one.close()


def test_what_is_exact_is_left_as_it_is() -> None:
    for env_id in IDS[4:]:
        maker, world = made(env_id)
        env: Any = lawful(maker, world)
        while env is not env.unwrapped:
            assert type(env) is not Lawful
            env = env.env


def test_a_copy_that_would_be_made_anew_stays_lawful() -> None:
    maker, world = made("CartPole-v1")
    env = lawful(maker._replace(anew=True), world)
    for seed in (0, 1):
        env.reset(seed=seed)
        obs, *_ = env.step(1)
        assert obs.tobytes() == by_hand(world, seed, [1])[0][1]


@pytest.mark.parametrize("env_id", [*IDS, "CliffWalkingSlippery-v1"])
def test_many_at_once_come_to_what_each_comes_to(env_id: str) -> None:
    """Some are cut before they terminate; of some, more actions are given than they take."""
    maker, world = made(env_id)
    env, rng = maker(), np.random.default_rng(0)
    seeds = rng.integers(2**40, size=12).tolist()
    actions = [choices(env, rng, int(n)) for n in [0, *rng.integers(1, 70, size=11)]]
    found = outcomes(world, seeds, actions)
    for seed, taken, one in zip(seeds, actions, found, strict=True):
        steps, total = by_hand(world, seed, taken), 0.0
        for *_, reward, _ in steps:
            total += reward
        assert one == (len(steps), total, bool(steps) and steps[-1][3])
    if world.exact:
        for seed, taken, one in zip(seeds, actions, found, strict=True):
            total = 0.0
            env.reset(seed=seed)
            for action in taken[: one.steps]:
                total += float(env.step(action)[1])
            assert total == one.episode_return
    assert outcomes(world, [], []) == []
