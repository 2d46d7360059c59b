"""What a run knows of itself goes into a checkpoint and comes back; its agent keeps its weights while others play."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from test_promises import assert_same, recipe

from rlbench.agent_state import snapshot
from rlbench.recipe.eval_cost import Cost
from rlbench.record.scoreboard import Scoreboard
from rlbench.record.watcher import Watcher
from rlbench.rollout.env_batch import Episode
from rlbench.training.finish import figures
from rlbench.training.learned import Learned
from rlbench.training.milestones import stop
from rlbench.training.session import Session
from rlbench.training.state import RunState
from rlbench.training.stopped_seeds import Narrowed, leave_out


def in_mid_run() -> RunState:
    """With no field as it is at the beginning."""
    scores = Scoreboard([3, 4], 9.0, "evaluation")
    scores.episode(Episode(0, 0, 0, 5.0, 5, True, 1, [0] * 5), 5)
    scores.evaluation(np.array([10.0, 2.0]), 6, [3, 3])
    scores.stop(0, "solved", 6)
    learned = Learned()
    learned.add({"loss": torch.tensor([0.5, 2.5])})
    return RunState(
        scores,
        learned=learned,
        env_steps=7,
        train_seconds=1.5,
        metrics={"loss": torch.tensor([1.0, 2.0])},
        best={"w": torch.ones(2)},
        ended={"w": torch.zeros(2)},
        evaluated_at=6,
        cost=Cost(1, 0.5, 0.25, 3.0),
        pending=(6, True),
        debug={"watched": {"told": {"dead|layer 1": 0.8}}},
        inexact=[4],
    )


def test_every_field_goes_into_a_checkpoint_and_comes_back() -> None:
    before, fresh = in_mid_run(), RunState(Scoreboard([3, 4], 9.0, "evaluation"))
    known = {field.name for field in dataclasses.fields(RunState)} - {"scores", "learned"}
    untouched = {name for name in known if repr(getattr(before, name)) == repr(getattr(fresh, name))}
    assert untouched == set()  # or the test below says nothing of it
    fresh.restore(before.env_steps, before.capture())
    for name in known:
        assert_same(getattr(fresh, name), getattr(before, name))
    assert_same(fresh.scores.state_dict(), before.scores.state_dict())
    assert_same(fresh.learned.means(), {"loss": torch.tensor([0.5, 2.5], dtype=torch.float64)})
    assert fresh.training == before.training == [1]


def test_what_earlier_versions_kept_is_enough() -> None:
    content, fresh = in_mid_run().capture(), RunState(Scoreboard([3, 4], 9.0, "evaluation"))
    fresh.restore(
        7,
        {name: value for name, value in content.items() if name not in ("eval_cost", "metrics", "learned", "pending")},
    )
    assert (fresh.cost, fresh.metrics, fresh.pending, bool(fresh.learned)) == (Cost(), {}, None, False)
    assert fresh.best is not None


def test_when_something_is_due() -> None:
    state = RunState(Scoreboard([0], None, "evaluation"), env_steps=12)
    assert [state.due(every, 9) for every in (0, 2, 5, 12, 13)] == [False, True, True, True, False]


@pytest.mark.parametrize("narrowed", [False, True])
def test_figures_leave_the_weights_of_the_agent_as_they_were(narrowed: bool, tmp_path: Path) -> None:
    session = Session(recipe(seeds=3, total_steps=200, final_eval_episodes=2), Watcher(), alone=False)
    session.start(tmp_path)
    run = session.now
    run.state.best = snapshot(run.agent.state_dict())
    run.scores.best_at = [1, 2, 3]  # none of them at the end: both kinds of weights play
    for tensor in (x for x in run.state.best["q_net"].values() if isinstance(x, torch.Tensor)):
        tensor.mul_(3.0)
    if narrowed:
        stop(run, {0: "solved"})
        leave_out(run)
    agent, held = run.agent, snapshot(run.agent.state_dict())
    assert isinstance(agent, Narrowed) is narrowed
    found = figures(run, session.evaluations, [200, 200, 200])
    assert found.final.shape == found.best.shape == (3,)
    assert found.final_episodes == found.best_episodes == [2, 2, 2]
    assert run.agent is agent
    assert_same(snapshot(agent.state_dict()), held)
    run.recorder.close()
    session.close()
