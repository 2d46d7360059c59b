"""The laws of classic control in torch, against Gymnasium's own."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import slow

from rlbench.border.make import env_maker
from rlbench.worlds.known import why_none, world_of
from rlbench.worlds.world import World

Policy = Callable[[Any, np.random.Generator], int]


def at_random(env: Any, rng: np.random.Generator) -> int:
    return int(rng.integers(env.action_space.n))


def upright(env: Any, rng: np.random.Generator) -> int:
    """Keeps a pole up to the end of its episode, most of the time."""
    return int(env.state[2] + env.state[3] > 0) if rng.random() < 0.9 else int(rng.integers(2))


IDS = ["CartPole-v1"]
EPISODES = [
    ("CartPole-v1", at_random, 60),
    ("CartPole-v1", upright, 6),
    slow("CartPole-v1", upright, 100),
]


def world(env_id: str, **kwargs: Any) -> World:
    found = world_of(env_maker(env_id, kwargs))
    assert found is not None
    return found


def bare(env_id: str, **kwargs: Any) -> Any:
    return env_maker(env_id, kwargs)().unwrapped


def steps(env: Any, policy: Policy, episodes: int, longest: int = 500) -> Iterator[tuple[Any, ...]]:
    """Of whole episodes: the state, an action, and what Gymnasium makes of them."""
    rng = np.random.default_rng(0)
    for seed in range(episodes):
        env.reset(seed=seed)
        for _ in range(longest):
            action, before = policy(env, rng), np.array(env.state, np.float64)
            obs, reward, terminated, *_ = env.step(action)
            yield before, action, np.array(env.state, np.float64), obs, float(reward), terminated
            if terminated:
                break


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
        assert law.obs(torch.from_numpy(state)[None]).numpy().tobytes() == obs.tobytes()


@pytest.mark.parametrize(("env_id", "policy", "episodes"), EPISODES)
def test_each_step_is_gymnasiums_to_the_last_place(env_id: str, policy: Policy, episodes: int) -> None:
    """Within one unit in the last place of the larger of a number and what it was before: their difference is added."""
    law = world(env_id)
    before, action, after, obs, reward, ended = map(np.array, zip(*steps(bare(env_id), policy, episodes), strict=True))
    state, found, terminated = law.step(torch.from_numpy(before), torch.from_numpy(action))
    unit = np.spacing(np.maximum(np.abs(before), np.abs(after)))
    assert (np.abs(state.numpy() - after) <= unit).all()
    assert (found.numpy() == reward).all()
    assert (terminated.numpy() == ended).all()
    assert ended.sum() > 0
    assert (np.abs(law.obs(state).numpy() - obs) <= np.spacing(np.abs(obs))).all()


@pytest.mark.parametrize("env_id", IDS)
def test_copies_together_are_each_alone(env_id: str) -> None:
    law = world(env_id)
    state = torch.from_numpy(law.starts(np.arange(37)).state)
    alone = [state[i : i + 1] for i in range(37)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        action = torch.randint(2, (37,), generator=generator)
        state, _, terminated = law.step(state, action)
        each = [law.step(one, action[i : i + 1]) for i, one in enumerate(alone)]
        alone = [one for one, _, _ in each]
        assert torch.equal(state, torch.cat(alone))
        assert torch.equal(terminated, torch.cat([ended for *_, ended in each]))
        assert torch.equal(law.obs(state), torch.cat([law.obs(one) for one in alone]))


def test_what_is_given_is_not_written_to() -> None:
    law = world("CartPole-v1")
    state, action = torch.from_numpy(law.starts(np.arange(5)).state), torch.ones(5, dtype=torch.int64)
    kept = state.clone()
    law.step(state, action)
    assert torch.equal(state, kept)


def test_other_settings_are_refused() -> None:
    assert "sutton_barto_reward is True" in why_none(env_maker("CartPole-v1", {"sutton_barto_reward": True}))
    assert why_none(env_maker("CartPole-v0")) == ""
