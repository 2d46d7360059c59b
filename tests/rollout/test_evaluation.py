"""Greedy evaluation: which episodes count, in which order, and that nothing of the training run is touched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from rlbench.agents.dqn import DQN, DQNConfig

import rlbench
from rlbench import Streams
from rlbench.agent_state import snapshot
from rlbench.border.make import EnvMaker, env_maker
from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.recipe.build import build
from rlbench.rng import episode_seed
from rlbench.rollout.env_batch import EnvBatch
from rlbench.rollout.evaluation import EvaluationPlan, Evaluator
from rlbench.rollout.loop import run


class Lottery(gymnasium.Env[Any, Any]):
    """Each episode draws its length, 1 or 30, and pays 1 a step: short episodes are poor ones. Sees its seed."""

    observation_space = spaces.Box(0, 2.0**31, (1,), np.float64)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 30 if self.np_random.random() < 0.5 else 1
        return np.array([float(seed or 0)]), {}

    def step(self, action: int) -> Any:
        self.left -= 1
        return np.array([0.0]), 1.0, self.left == 0, False, {}


def maker() -> EnvMaker:
    if "test/Lottery-v0" not in gymnasium.registry:
        gymnasium.register("test/Lottery-v0", entry_point=Lottery)
    return env_maker("test/Lottery-v0", max_episode_steps=100)


def dqn(envs: EnvBatch, seeds: list[int], **config: Any) -> tuple[DQN, Streams]:
    streams = Streams(seeds)
    return DQN(
        envs.spec, DQNConfig(hidden=(8,), batch_size=4, learning_starts=5, capacity=60, **config), streams
    ), streams


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    made = Evaluator(maker(), [3, 7])
    yield made
    made.close()


def agent(num_envs: int = 1) -> DQN:
    return dqn(EnvBatch(maker(), [3, 7], num_envs), [3, 7])[0]


def by_hand(seed: int, episodes: int, round: int) -> list[float]:
    """Lengths of the episodes that count, played one by one: copy e of 10 plays every tenth of them."""
    env, lengths = Lottery(), []
    for k in range(episodes):
        env.reset(seed=episode_seed(seed, "evaluate", k % 10, round * 1_000_000 + k // 10))
        lengths.append(float(env.left))
    return lengths


def test_a_seed_that_breaks_as_its_episodes_begin_is_left_out_and_begins_no_more() -> None:
    begun: list[int] = []

    class Breaks(Lottery):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            obs, info = super().reset(seed=seed)
            begun.append(seed or 0)
            return np.full(1, np.nan) if seed == episode_seed(7, "evaluate", 0, 0) else obs, info

    gymnasium.register("test/Breaks-v0", entry_point=Breaks)
    seeds = [3, 7, 9]
    made = Evaluator(env_maker("test/Breaks-v0", max_episode_steps=100), seeds, keep_going=True)
    returns, _ = made(dqn(EnvBatch(maker(), seeds, 1), seeds)[0], 25)
    made.close()
    del gymnasium.registry["test/Breaks-v0"]
    assert list(made.broken) == [1]
    assert np.isnan(returns[1]).all()
    assert [returns[0].tolist(), returns[2].tolist()] == [by_hand(seed, 25, 0) for seed in (3, 9)]
    assert not {episode_seed(7, "evaluate", e, 0) for e in range(1, 10)} & set(begun)


@pytest.mark.parametrize("episodes", [1, 7, 10, 33])
@pytest.mark.parametrize("round", [0, 500_000])
def test_exactly_the_episodes_fixed_beforehand_count(evaluator: Evaluator, episodes: int, round: int) -> None:
    returns, lengths = evaluator(agent(), episodes, round=round)
    assert returns.shape == lengths.shape == (2, episodes)
    for s, seed in enumerate((3, 7)):
        assert lengths[s].tolist() == by_hand(seed, episodes, round)
    np.testing.assert_array_equal(returns, lengths)  # 1 a step


def test_short_episodes_are_not_favoured(evaluator: Evaluator) -> None:
    _, lengths = evaluator(agent(), 200)
    # Half of all episodes are short; among the first 200 to finish, nearly all would be (10 copies side by side).
    assert 0.4 < (lengths == 1).mean() < 0.6
    assert set(np.unique(lengths)) == {1, 30}


def test_the_same_round_is_the_same_and_another_is_another(evaluator: Evaluator) -> None:
    one = agent()
    first = evaluator(one, 40, round=1)[1]
    other = evaluator(one, 40, round=2)[1]
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(evaluator(one, 40, round=1)[1], first)
    np.testing.assert_array_equal(Evaluator(maker(), [3, 7])(one, 40, round=1)[1], first)
    assert not np.array_equal(first[0], first[1])  # seeds play episodes of their own
    alone, _ = dqn(EnvBatch(maker(), [7]), [7])
    np.testing.assert_array_equal(Evaluator(maker(), [7])(alone, 40, round=1)[1][0], first[1])


def test_seeds_that_do_not_play_are_nan(evaluator: Evaluator) -> None:
    full, _ = evaluator(agent(), 12)
    returns, lengths = evaluator(agent(), 12, skip=[0])
    assert np.isnan(returns[0]).all()
    assert np.isnan(lengths[0]).all()
    np.testing.assert_array_equal(returns[1], full[1])
    assert np.isnan(evaluator(agent(), 3, skip=[0, 1])[0]).all()
    np.testing.assert_array_equal(evaluator(agent(), 12)[0], full)  # and next time they play again


def test_no_episodes_is_an_error(evaluator: Evaluator) -> None:
    with pytest.raises(ValueError, match="at least one"):
        evaluator(agent(), 0)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_it_leaves_no_trace_in_agent_streams_or_buffer(evaluator: Evaluator, num_envs: int) -> None:
    envs = EnvBatch(maker(), [3, 7], num_envs)
    learner, streams = dqn(envs, [3, 7], epsilon_steps=10)
    for step, _ in enumerate(run(learner, envs)):
        if step == 20:
            break
    assert learner.updates > 0
    before = [snapshot(part.state_dict()) for part in (learner, streams, learner.replay, envs)]
    evaluator(learner, 13, round=20)
    after = [snapshot(part.state_dict()) for part in (learner, streams, learner.replay, envs)]
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


def test_the_greedy_action_is_played_and_not_the_exploring_one() -> None:
    probe = env_maker("rlbench/ProbeActionReward-v0")  # pays 1 for action 1 and -1 for action 0
    learner, _ = dqn(EnvBatch(probe, [0, 1]), [0, 1], epsilon_end=1.0)
    with torch.no_grad():
        *_, weight, bias = learner.q_net.parameters()  # of the last layer
        weight.zero_()
        bias.copy_(torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]))  # seed 0 is right, seed 1 is wrong
    returns, _ = Evaluator(probe, [0, 1])(learner, 20)
    assert returns.tolist() == [[1.0] * 20, [-1.0] * 20]


def test_figures_of_a_run_can_be_computed_again(tmp_path: Path) -> None:
    recipe = Recipe(
        env="CartPole-v1", device="cpu", seeds=2, seed=5, num_envs=3, total_steps=300, eval_every=150, eval_episodes=3,
        final_eval_episodes=12, eval_share=100, hyper={"hidden": (8,), "learning_starts": 30, "batch_size": 8},
    )  # fmt: skip
    done = rlbench.train(recipe=recipe, out=tmp_path / "run")
    for file, key in (("checkpoint.pth", "final_eval_return"), ("best.pth", "best_eval_return")):
        returns = rlbench.evaluate(done.folder / file, 12)
        assert returns.shape == (2, 12)
        assert dict(zip("56", returns.mean(1).tolist(), strict=True)) == done.summary[key]
    np.testing.assert_array_equal(rlbench.evaluate(done.folder / "best.pth", 12, seed=6), returns[1:])
    both, one = (rlbench.load(done.folder, seed=s) for s in ("all", 6))
    assert (both.seeds, one.seeds) == ([5, 6], [6])
    for x, y in zip(both.agent.q_net.parameters(), one.agent.q_net.parameters(), strict=True):  # type: ignore[attr-defined]
        assert torch.equal(x[1:], y)
    best = max(both.best_returns, key=lambda seed: both.best_returns[seed])
    assert rlbench.load(done.folder, seed="best").seeds == [best]
    with pytest.raises(UsageError, match=r"has no seed 7; it has 5, 6"):
        rlbench.load(done.folder, seed=7)


@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1", "FrozenLake-v1"])
def test_an_agent_that_draws_is_evaluated_alike_alone_and_among_others_and_after_others(env: str) -> None:
    """By whatever clock: how many copies play at the same time decides which draw is whose."""
    made = Recipe(env=env, agent="random", max_episode_steps=25)
    found = {}
    for seeds, times in (((3, 7), 1), ((7,), 1), ((3, 7), 2)):
        parts = build(made, seeds, "cpu")
        evaluator = Evaluator(parts.maker, seeds)
        for _ in range(times):
            parts.streams.load_state_dict({"evaluate": 0})
            found[len(seeds), times] = [x[-1].tolist() for x in evaluator(parts.agent, 23)]
        evaluator.close()
    assert found[1, 1] == found[2, 1] == found[2, 2]
    assert len(set(found[1, 1][0] + found[1, 1][1])) > 2


def test_copies_of_a_seed_wait_for_each_other_where_steps_may_take_long() -> None:
    plan = EvaluationPlan([0, 1], 13, room=2)
    assert [plan.take() for _ in range(4)] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert not plan.ready
    plan.count(1, 1, 0.0, 5)
    assert plan.take() == (1, 2)
    assert not plan.ready
    plan.count(1, 0, 0.0, 5)
    plan.drop(1)
    assert not plan.ready
    for k in range(13):
        plan.count(0, k, 0.0, 5)
        if plan.ready:
            assert plan.take() == (0, k + 2)
    assert sorted(k for s, k in plan.played if s == 0) == list(range(13))
