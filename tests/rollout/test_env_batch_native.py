"""`EnvBatch` with environments that NumPy steps all at once: what comes of it is what single copies would give."""

import copy
from typing import Any

import pytest
import torch

from rlbench.border.make import env_maker
from rlbench.rng import Streams
from rlbench.rollout.env_batch import EnvBatch

ENVS = ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"]


def batches(env: str, seeds: int = 3, num_envs: int = 2, limit: int = 0) -> tuple[EnvBatch, EnvBatch]:
    """The same environments, stepped all at once and one by one."""
    maker = env_maker(env, {}, limit)
    fast, slow = EnvBatch(maker, range(seeds), num_envs), EnvBatch(maker, range(seeds), num_envs)
    assert fast.copies._native is not None
    slow.copies._native = None
    return fast, slow


def actions(env: str, steps: int, seeds: int = 3, num_envs: int = 2) -> list[torch.Tensor]:
    stream = Streams(list(range(seeds)))["actions"]
    return [stream.integers(num_envs, 2 if env.startswith("Cart") else 3) for _ in range(steps)]


def assert_same(one: tuple[Any, torch.Tensor], other: tuple[Any, torch.Tensor]) -> None:
    for a, b in zip((*one[0], one[1]), (*other[0], other[1]), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("limit", [0, 37])
def test_all_at_once_is_one_by_one(env: str, limit: int) -> None:
    fast, slow = batches(env, limit=limit)
    assert torch.equal(fast.reset(), slow.reset())
    ended = 0
    for t, action in enumerate(actions(env, 420)):
        assert_same(fast.step(action), slow.step(action))
        assert fast.finished == slow.finished
        ended += len(fast.finished)
        if t in (150, 300):  # one copy, then a whole seed
            for both in (fast, slow):
                both.stop(1, 0 if t == 150 else None)
    assert ended or (env != "CartPole-v1" and not limit)


@pytest.mark.parametrize("env", ENVS)
def test_an_episode_under_way_is_taken_up_again(env: str) -> None:
    fast, slow = batches(env, limit=60)
    slow.reset()
    fast.reset()
    taken = actions(env, 190)
    for action in taken[:95]:
        fast.step(action)
        slow.step(action)
    state = copy.deepcopy(fast.state_dict())
    again, _ = batches(env, limit=60)
    obs, strayed = again.load_state_dict(state)
    assert strayed == []
    assert torch.equal(obs, torch.from_numpy(slow.episodes.obs).view(obs.shape))
    for action in taken[95:]:
        expected = slow.step(action)
        assert_same(again.step(action), expected)
        assert again.finished == slow.finished  # with all the actions from before


def test_what_was_done_is_kept_no_longer_than_it_matters() -> None:
    fast, _ = batches("CartPole-v1")
    fast.reset()
    for action in actions("CartPole-v1", 5000):
        fast.step(action)
    assert len(fast.episodes.log) < 2500
    longest = max(fast.episodes.clock - began for began in fast.episodes.began)
    assert len(fast.episodes.log) >= longest
