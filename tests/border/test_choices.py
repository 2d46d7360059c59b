"""Actions that are several choices at once, MultiDiscrete and MultiBinary: what an agent is told, what gets through."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_spec
from foreign import batch
from gymnasium import spaces
from rlbench.agents.dqn import DQN, DQNConfig
from rlbench.agents.random import Random

from rlbench import AgentConfig, Replay, Transition, UsageError
from rlbench.border.calls import lent
from rlbench.border.make import env_maker
from rlbench.border.spaces import action_codec
from rlbench.errors import AgentError
from rlbench.replay import Rollout
from rlbench.rng import Streams

PAIR = spaces.MultiDiscrete([3, 2], start=[5, -1])
MATRIX = spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[0, 1], [-2, 7]], dtype=np.int32)
SWITCHES = spaces.MultiBinary((2, 2))


@pytest.mark.parametrize(
    ("space", "sizes", "index", "taken"),
    [
        (PAIR, (3, 2), [2, 0], [7, -1]),
        (MATRIX, (2, 3, 4, 1), [1, 2, 3, 0], [[1, 3], [1, 7]]),
        (spaces.MultiBinary(3), (2, 2, 2), [1, 0, 1], [1, 0, 1]),
        (SWITCHES, (2, 2, 2, 2), [1, 0, 0, 1], [[1, 0], [0, 1]]),
    ],
)
def test_indices_reach_the_environment_as_its_space_has_them(space: Any, sizes: Any, index: Any, taken: Any) -> None:
    got: list[Any] = []

    def step(env: Any, action: Any) -> Any:
        got.append(action)
        action += 0  # it may be written to
        return 0.0, 1.0, False, False, {}

    envs = batch(actions=space, step=step)
    spec = envs.spec
    assert (spec.num_actions, spec.action_sizes, spec.action_shape) == (None, sizes, (len(sizes),))
    assert (spec.action_low, spec.action_high, spec.action_dtype) == (None, None, torch.int64)
    action = torch.tensor([[index, [0] * len(sizes)]])
    t, _ = envs.step(action)
    assert torch.equal(t.action, action)
    assert t.action.dtype == torch.int64
    assert got[0].tolist() == taken
    assert got[0].dtype == space.dtype
    assert all(space.contains(one) for one in got)
    codec = action_codec(space, "test")
    assert codec.chosen(got[0]).tolist() == index
    assert [space.contains(lent(np.array(taken, "i4"), space)), lent(taken, space).dtype] == [True, space.dtype]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ([[[3, 0], [0, 0]]], r"the actions \[3, 0, 0, 0\] of torch.int64, expected integers from 0 to 2, 1"),
        ([[[0, 0], [0, -1]]], "expected integers from 0 to 2, 1"),
        ([[[0.0, 0.0], [0.0, 0.0]]], "of torch.float32, expected integers"),
        ([[0, 0]], r"of shape \(1, 2\), expected \(1, 2, 2\)"),
        ([[[0], [0]]], r"of shape \(1, 2, 1\), expected \(1, 2, 2\)"),
    ],
)
def test_what_is_no_such_choice_is_refused(action: Any, said: str) -> None:
    envs = batch(actions=PAIR)
    with pytest.raises(AgentError, match=said):
        envs.step(torch.tensor(action))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.MultiDiscrete([2**30, 2]), "has actions of 1,073,741,826 kinds"),
        (spaces.Tuple([spaces.Discrete(2)]), "rlbench knows Discrete, MultiDiscrete, MultiBinary and Box. Put a --wr"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(space: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        batch(actions=space)
    assert "\n" not in str(error.value)


def test_dqn_says_in_one_line_why_not() -> None:
    with pytest.raises(UsageError, match=r"takes 4 choices at once, of 2, 3, 4, 1\. Choose another --agent") as error:
        DQN(batch(actions=MATRIX).spec, DQNConfig(), Streams([0]))
    assert "\n" not in str(error.value)


def test_the_random_agent_takes_each_as_often_and_evaluates_from_another_stream() -> None:
    spec = batch(actions=MATRIX).spec
    agent = Random(spec, AgentConfig(), Streams([0]))
    drawn = agent.act(torch.zeros(1, 6000, 1), explore=True)
    assert (drawn.shape, drawn.dtype) == ((1, 6000, 4), torch.int64)
    for i, size in enumerate((2, 3, 4, 1)):
        counts = np.bincount(drawn[0, :, i].numpy(), minlength=size)
        assert len(counts) == size
        assert (np.abs(counts - 6000 / size) < 5 * np.sqrt(6000 / size)).all() or size == 1
    assert abs(np.corrcoef(drawn[0, :, 1].numpy(), drawn[0, :, 2].numpy())[0, 1]) < 0.06  # each by itself
    again = Random(spec, AgentConfig(), Streams([0]))
    again.act(torch.zeros(1, 9, 1), explore=False)
    assert torch.equal(again.act(torch.zeros(1, 6000, 1), explore=True), drawn)
    wide = Random(spec._replace(num_seeds=2), AgentConfig(), Streams([3, 0]))
    assert torch.equal(wide.act(torch.zeros(2, 6000, 1), explore=True)[1:], drawn)


def test_replay_and_rollouts_give_back_indices() -> None:
    spec = make_spec(num_actions=None, action_sizes=(3, 300), action_shape=(2,), num_seeds=2, num_envs=2)
    replay, rollout = Replay(spec, 8, Streams([0, 1])["replay"]), Rollout(spec, 3)
    kept = []
    for n in range(3):
        action = torch.tensor([[[n, 299 - n], [0, 256]], [[2, n], [1, 100 + n]]])
        kept.append(action)
        zero, flags = torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool)
        t = Transition(torch.zeros(2, 2, 4), action, zero, torch.zeros(2, 2, 4), flags, flags)
        replay.add(t)
        rollout.add(t)
    got = replay.sample(64).action
    assert (got.shape, got.dtype) == ((2, 64, 2), torch.int64)
    for s in range(2):
        assert {tuple(a.tolist()) for a in got[s]} == {tuple(a.tolist()) for step in kept for a in step[s]}
    assert rollout.action.dtype == torch.int64
    assert torch.equal(rollout.action, torch.stack(kept, 1))
    with pytest.raises(ValueError, match="cannot be packed into float32"):
        Replay(spec._replace(action_sizes=(2**25, 2)), 8, Streams([0, 1])["replay"])


def test_a_journal_keeps_them_in_few_bytes() -> None:
    kinds = [action_codec(space, "test").packed.str for space in (PAIR, MATRIX, SWITCHES)]
    assert kinds == ["<i2", "<i2", "|u1"]
    assert action_codec(spaces.MultiDiscrete([256, 2]), "test").packed == np.uint8
    assert action_codec(spaces.MultiDiscrete([257, 2]), "test").packed.str == "<i2"
    assert action_codec(spaces.MultiDiscrete([2**20 - 2, 2]), "test").packed.str == "<i4"


@pytest.mark.parametrize(
    ("env_id", "limit", "kwargs", "said"),
    [
        ("CartPole-v1", 0, {}, 500),
        ("CartPole-v1", 30, {}, 30),
        ("CartPole-v1", 800, {}, 500),
        ("rlbench/TMaze-v0", 0, {"length": 5}, 30),
        ("rlbench/Catch-v0", 0, {}, 1000),  # rlbench's own, where nobody says one
    ],
)
def test_the_spec_says_after_how_many_steps_an_episode_is_cut(env_id: str, limit: int, kwargs: Any, said: int) -> None:
    from rlbench.recipe import Recipe
    from rlbench.recipe.build import build, make_envs

    assert env_maker(env_id, kwargs, limit).time_limit == said
    recipe = Recipe(env=env_id, env_kwargs=kwargs, max_episode_steps=limit, agent="random", seeds=2)
    parts = build(recipe, [0, 1], "cpu")
    assert parts.spec.time_limit == make_envs(parts, recipe).spec.time_limit == said
    assert make_spec().time_limit is None


def test_of_several_time_limits_the_first_to_come_counts() -> None:
    from rlbench.border.wrappers import find_wraps

    for longer, said in ((800, 500), (20, 20)):
        wraps = find_wraps([f"gymnasium.wrappers:TimeLimit(max_episode_steps={longer})"], ())
        assert env_maker("CartPole-v1", wraps=wraps).time_limit == said
