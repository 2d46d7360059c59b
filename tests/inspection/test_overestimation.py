"""Values that lie above what comes: numbers worked out by hand, and agents that play where rewards are rare."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlbench import train
from rlbench.inspection.overestimation import _gap, _pair, doubtful, far_off, gap
from rlbench.inspection.values import value_stats
from rlbench.inspection.whole import Inspection, inspect
from rlbench.runfolder import checkpoint_file
from rlbench.trained.load import load


def test_an_episode_that_was_cut_goes_on_with_the_value_of_its_last_observation() -> None:
    values, returns = _pair([(3.0, 1.0), (2.0, 0.0)], 8.0, 0.5)
    assert values.tolist() == [3.0, 2.0]
    assert returns.tolist() == [3.0, 4.0]  # 1 + 0.5 * 4, and 0 + 0.5 * 8
    assert _pair([(3.0, 1.0), (2.0, 0.0)], 0.0, 0.5)[1].tolist() == [1.0, 0.0]


def episodes(n: int, value: float, *came: float) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.full(4, value), np.full(4, came[i % len(came)])) for i in range(n)]


def test_far_off_beyond_the_scatter() -> None:
    found = _gap(episodes(30, 0.8, 0.0), (0.0, 1.0))
    assert found is not None
    assert (found.episodes, found.came) == (30, 0.0)
    assert found.expected == pytest.approx(0.8)
    assert found.low < 0.8 < found.high + 0.03  # the one more that counts, in which 1 came
    assert found.off


@pytest.mark.parametrize(
    "pairs",
    [
        episodes(4, 0.8, 0.0),  # too few to tell
        episodes(30, 0.15, 0.0),  # as an untrained network says
        episodes(12, 0.3, 0.0),  # of three in ten none in twelve come, now and then
        episodes(30, 0.8, 1.0, 1.0, 0.0),  # a little too high, and no more
        episodes(30, -5.0, 0.0),  # too low
        episodes(30, 60.0, 90.0, 20.0),
    ],
)
def test_what_is_not_far_off(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = _gap(pairs, (0.0, 1.0))
    assert found is not None
    assert not found.off


def test_one_episode_tells_nothing() -> None:
    assert _gap(episodes(1, 0.8, 0.0), (0.0, 1.0)) is None


def test_from_when_on_it_is_far_off() -> None:
    assert far_off(0.0, (0.0, 0.0)) == 0.25  # no reward has come: of the size of 1, perhaps
    assert far_off(0.1, (-8.0, 1.0)) == 2.0
    assert far_off(50.0, (0.0, 1.0)) == 50.0


def doubted(value: float, came: float, known: bool = True, gamma: float | None = 0.99) -> bool:
    told = {"value": torch.full((20,), value)}
    found = value_stats(told, np.full(20, came), np.full(20, known), gamma, None)
    assert found is not None
    return doubtful(found, (0.0, 1.0))


def test_what_came_in_training_leaves_a_doubt_or_none() -> None:
    assert doubted(0.8, 0.1)
    assert doubted(0.8, 0.0, known=False)  # all episodes were cut
    assert not doubted(0.2, 0.15)
    assert not doubted(0.05, 0.0, known=False)
    assert not doubted(math.nan, 0.0)
    assert not doubted(0.8, 0.1, gamma=None)


def lake(folder: Path, **more: Any) -> Path:
    """A run that goes from hole to hole: of 300 steps."""
    small: dict[str, Any] = {"seeds": 2, "eval_every": 0, "final_eval_episodes": 0, "device": "cpu", "track": ()}
    return train(
        "FrozenLake-v1",
        agent="q_learning",
        out=folder,
        total_steps=300,
        q_learning={"initial_value": 0.0},
        **small,
        **more,
    ).folder


def with_tables(run: Path, change: Callable[[list[torch.Tensor]], None]) -> Inspection:
    """The run as it would be if the seeds' tables, (16, 4) each, were other ones."""
    content = checkpoint_file.load(run / "checkpoint.pth", "checkpoint")
    change([one["q"] for one in content["agent"]["learners"]])
    kept = {key: value for key, value in content.items() if key not in ("rlbench", "format")}
    checkpoint_file.save(run / "checkpoint.pth", "checkpoint", kept)
    return inspect(run)


def test_rare_rewards_and_values_far_above_them_are_told(tmp_path: Path) -> None:
    """The largest possible return, 100, allows them."""

    def filled(tables: list[torch.Tensor]) -> None:
        tables[0].fill_(0.9)

    found = with_tables(lake(tmp_path / "run"), filled)
    values = found.seeds[0].values
    assert values is not None
    assert values.excess is None or values.excess < 1
    told = {one.kind: one.text for one in found.findings[0]}
    assert "Q-values lie far above what comes: 0.9 is expected and" in told["bias"]
    assert "episodes that it played" in told["bias"]
    assert "bias" not in {one.kind for one in found.findings[1]}
    assert found == inspect(tmp_path / "run")  # the same episodes every time


def test_an_agent_that_reaches_what_it_expects_is_not_blamed_for_having_explored(tmp_path: Path) -> None:
    """Its episodes of training ended in holes, as it drew its actions; the greedy ones reach the goal."""
    run = lake(tmp_path / "run", env_kwargs={"is_slippery": False})

    def learned(tables: list[torch.Tensor]) -> None:
        for state, (action, left) in {0: (1, 5), 4: (1, 4), 8: (2, 3), 9: (1, 2), 13: (2, 1), 14: (2, 0)}.items():
            for table in tables:
                table[state] = 0.0
                table[state, action] = 0.99**left

    found = with_tables(run, learned)
    values = found.seeds[0].values
    assert values is not None
    assert values.gap is not None  # there was a doubt
    assert values.gap.came == pytest.approx(values.gap.expected, abs=1e-4)
    assert "bias" not in {one.kind for own in found.findings.values() for one in own}


def test_values_of_a_policy_are_of_the_one_that_draws_and_memory_is_kept(tmp_path: Path) -> None:
    small: dict[str, Any] = {"seeds": 1, "eval_every": 0, "final_eval_episodes": 0, "device": "cpu", "track": ()}
    ppo = {"hidden": [8], "rollout_steps": 64, "batch_size": 32, "memory": "gru", "memory_size": 4}
    run = train("CartPole-v1", agent="ppo", out=tmp_path / "run", total_steps=128, num_envs=1, ppo=ppo, **small).folder
    trained = load(run)
    drawn, greedy = (gap(trained.agent, trained.maker, 0, 0.99, (1.0, 1.0), explore=x) for x in (True, False))
    assert drawn is not None
    assert greedy is not None
    assert (drawn.episodes, greedy.episodes) == (32, 32)
    assert drawn.came != greedy.came
    assert not drawn.off  # it expects next to nothing as yet
