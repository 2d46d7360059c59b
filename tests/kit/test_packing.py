"""Transitions as rows: the buffer gets from a row what it would have got leaf by leaf."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlbench import rng
from rlbench.border.make import EnvMaker
from rlbench.replay import Replay, Rollout
from rlbench.replay.packing import Packed
from rlbench.rollout.env_batch import EnvBatch
from rlbench.types import Transition


class Numbered(gym.Env[Any, Any]):
    """Every number tells what it is: observation k of an episode, and its reward. Episodes end in either way."""

    def __init__(self, shape: tuple[int, ...], action_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = spaces.Box(-1e6, 1e6, shape), action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.base, self.t = float(self.np_random.integers(1000)), 0
        return self.obs(), {}

    def obs(self) -> Any:
        return np.full(self.observation_space.shape, self.base + self.t / 8, np.float32)

    def step(self, action: Any) -> Any:
        self.t += 1
        over = self.t == 3 + self.base % 4
        return (
            self.obs(),
            self.base + float(np.sum(action)),
            over and self.base % 2 == 0,
            over and self.base % 2 == 1,
            {},
        )


ACTIONS = {
    "discrete": spaces.Discrete(3),
    "from minus one": spaces.Discrete(3, start=-1),
    "continuous": spaces.Box(-1, 1, (2,)),
    "whole": spaces.Box(-3, 3, (2,), np.int32),
    "a matrix": spaces.Box(-1, 1, (2, 3), np.float64),
    "a number": spaces.Box(-1, 1, ()),
}


@pytest.mark.parametrize("shape", [(4,), (1,), (2, 3)])
@pytest.mark.parametrize("name", ACTIONS)
def test_a_row_is_stored_as_its_leaves_are(shape: tuple[int, ...], name: str) -> None:
    gym.register("Numbered-v0", Numbered)
    kwargs = {"shape": shape, "action_space": ACTIONS[name]}
    try:
        envs = EnvBatch(EnvMaker("Numbered-v0", kwargs, 5, (), None), [3, 4], 2)
    finally:
        del gym.registry["Numbered-v0"]
    spec = envs.spec
    rows, leaves = (Replay(spec, 40, rng.Streams([3, 4])["replay"], n_step=2) for _ in range(2))
    draws, ends = rng.Streams([3, 4])["draws"], 0
    envs.reset()
    for _ in range(30):
        if spec.num_actions is not None:
            action = draws.integers(2, spec.num_actions)
        else:
            size = int(np.prod(spec.action_shape))
            action = (draws.uniform(2 * size).view(2, 2, *spec.action_shape) * 2 - 1).float()
        transition, obs = envs.step(action)
        assert isinstance(transition, Packed)
        for leaf, column in zip((transition.obs, transition.next_obs), (-2, -1), strict=True):
            width = int(np.prod(shape))
            at = transition.row.shape[-1] + column * width
            assert np.array_equal(transition.row[..., at : at + width].reshape(leaf.shape), leaf.numpy())
        rows.add(transition)
        leaves.add(Transition(*transition))
        ends += len(envs.finished)
        if not envs.finished:
            assert torch.equal(obs, transition.next_obs)
    assert ends > 4
    for key, value in rows.state_dict().items():
        other = leaves.state_dict()[key]
        assert value == other if isinstance(value, int) else all(map(torch.equal, value, other))
    one, two = rows.sample(50), leaves.sample(50)
    assert all(map(torch.equal, one, two))


@pytest.mark.parametrize("cut_at", [None, 4, 10])
@pytest.mark.parametrize("name", ACTIONS)
def test_a_rollout_gets_from_rows_what_it_gets_from_their_leaves(name: str, cut_at: int | None) -> None:
    gym.register("Numbered-v0", Numbered)
    try:
        envs = EnvBatch(
            EnvMaker("Numbered-v0", {"shape": (2, 3), "action_space": ACTIONS[name]}, 5, (), None), [3, 4], 2
        )
    finally:
        del gym.registry["Numbered-v0"]
    spec, steps, draws = envs.spec, 11, rng.Streams([3, 4])["draws"]
    rows, leaves, mixed, read = (Rollout(spec, steps, {"value": ()}) for _ in range(4))
    where = np.array([[True, False], [False, True]])
    envs.reset()
    for again in range(3):
        for t in range(steps):
            if spec.num_actions is not None:
                action = draws.integers(2, spec.num_actions)
            else:
                size = int(np.prod(spec.action_shape))
                action = (draws.uniform(2 * size).view(2, 2, *spec.action_shape) * 2 - 1).float()
            transition, _ = envs.step(action, {"value": draws.uniform(2).float()})
            assert isinstance(transition, Packed)
            plain = Transition(*transition)
            plain.extras = transition.extras
            rows.add(transition)
            leaves.add(plain)
            mixed.add(plain if t % 3 else transition)
            read.add(transition)
            assert torch.equal(read.truncated[:, t], transition.truncated)  # read at every step, half filled
            if t == cut_at:
                for rollout in (rows, leaves, mixed, read):
                    rollout.cut(where)
            if t == 4:  # a state in the middle of a rollout
                one, other = rows.state_dict(), leaves.state_dict()
                assert one.pop("filled") == other.pop("filled") == 5
                assert all(torch.equal(x, y) for key in other for x, y in zip(one[key], other[key], strict=True))
        streams = [rng.Streams([3, 4])["replay"] for _ in range(4)]
        assert leaves.truncated.any()
        for rollout, stream in zip((rows, mixed, read), streams[1:], strict=True):
            for x in ("obs", "action", "reward", "terminated", "truncated"):
                assert torch.equal(getattr(rollout, x), getattr(leaves, x)), (again, x)
            assert torch.equal(rollout.next_obs(), leaves.next_obs())
            assert torch.equal(rollout.extras["value"], leaves.extras["value"])
            dealt = list(leaves.minibatches(3, streams[0]))
            streams[0].position = 0
            assert all(map(torch.equal, *([part.obs for part in x] for x in (rollout.minibatches(3, stream), dealt))))
        for rollout in (rows, leaves, mixed, read):
            rollout.clear()


@pytest.mark.parametrize("way", ["replaced", "made"])
def test_a_transition_with_another_reward_is_stored_with_it(way: str) -> None:
    gym.register("Numbered-v0", Numbered)
    try:
        maker = EnvMaker("Numbered-v0", {"shape": (4,), "action_space": spaces.Discrete(3)}, 5, (), None)
        envs = EnvBatch(maker, [3, 4], 2)
    finally:
        del gym.registry["Numbered-v0"]
    envs.reset()
    transition, _ = envs.step(torch.ones(2, 2, dtype=torch.int64))
    assert isinstance(transition, Packed)
    clipped = transition.reward.clamp(0, 1)
    assert not torch.equal(clipped, transition.reward)
    if way == "replaced":
        other = transition._replace(reward=clipped)
        assert type(other) is Transition
    else:
        other = type(transition)(*transition[:2], clipped, *transition[3:])
    replay = Replay(envs.spec, 10, rng.Streams([3, 4])["replay"])
    replay.add(other)
    batch = replay.sample(20)
    assert set(batch.reward.flatten().tolist()) <= set(clipped.flatten().tolist())
    assert set(batch.next_obs.flatten().tolist()) <= set(transition.next_obs.flatten().tolist())


def test_no_page_is_given_out_twice() -> None:
    gym.register("Numbered-v0", Numbered)
    try:
        maker = EnvMaker("Numbered-v0", {"shape": (1000,), "action_space": spaces.Discrete(2)}, 0, (), None)
        envs = EnvBatch(maker, [0])
    finally:
        del gym.registry["Numbered-v0"]
    envs.reset()
    kept = [envs.step(torch.zeros(1, 1, dtype=torch.int64))[0] for _ in range(40)]
    frozen = [tuple(leaf.clone() for leaf in transition) for transition in kept]
    for _ in range(40):
        envs.step(torch.ones(1, 1, dtype=torch.int64))
    for transition, before in zip(kept, frozen, strict=True):
        assert all(map(torch.equal, transition, before))
