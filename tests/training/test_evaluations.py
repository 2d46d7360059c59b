"""Evaluations of a run are bounded, can be cut off at any step, and go on where they stood with the same result."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import TINY, succeeds, timeless

import rlbench
from rlbench.recipe import Recipe
from rlbench.record.watcher import Watcher
from rlbench.rollout.env_batch import EnvBatch
from rlbench.rollout.evaluation import EvaluationPlan
from rlbench.rollout.signals import Interrupted
from rlbench.training import evaluations
from rlbench.training import train as training

HYPER = {"hidden": (8,), "batch_size": 8, "learning_starts": 16, "capacity": 200, "epsilon_steps": 50}


def recipe(**keys: Any) -> Recipe:
    base: dict[str, Any] = {
        "env": "CartPole-v1", "seeds": 2, "total_steps": 240, "eval_every": 100, "eval_episodes": 12, "eval_share": 3.0,
        "final_eval_episodes": 30, "checkpoint_every": 0, "log_every": 20, "device": "cpu", "track": "none",
    }  # fmt: skip
    return Recipe(hyper=HYPER, **{**base, **keys})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> rlbench.Run:
    """The run that nobody interrupted."""
    return rlbench.train(recipe=recipe(), out=tmp_path_factory.mktemp("trials") / "whole")


def evaluating_steps(monkeypatch: pytest.MonkeyPatch, cut: int, how: Any) -> list[int]:
    """Count the steps of evaluations; at number ``cut`` something happens."""
    steps, step = [0], EnvBatch.step

    def counted(self: EnvBatch, *asked: Any) -> Any:
        if self.pausing:
            steps[0] += 1
            if steps[0] == cut:
                how()
        return step(self, *asked)

    monkeypatch.setattr(EnvBatch, "step", counted)
    return steps


class Killed(BaseException):
    """Like kill -9: nothing is done about it."""


def killed() -> None:
    raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("how", ["interrupt", "kill"])
@pytest.mark.parametrize("cut", [3, 20, 60, 100])
def test_cut_off_anywhere_the_result_is_the_same(
    how: str, cut: int, whole: rlbench.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "KEEP_SECONDS", -1.0)
    monkeypatch.setattr("rlbench.runfolder.checkpoints.SAVE_SHARE", 1e9)
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        evaluating_steps(patched, cut, (lambda: signal.raise_signal(signal.SIGINT)) if how == "interrupt" else killed)
        with pytest.raises(Interrupted if how == "interrupt" else Killed):
            rlbench.train(recipe=recipe(), out=run)
    if how == "interrupt":
        assert "interrupted" in json.loads((run / "summary.json").read_text())["stopped_because"]
    done = training.resume(run)
    timely = ("wall_seconds", "train_seconds", "env_steps_per_second")
    assert {k: v for k, v in done.summary.items() if k not in timely} == {
        k: v for k, v in whole.summary.items() if k not in timely
    }
    for name in ("episodes.csv", "evaluations.csv", "updates.csv"):
        assert timeless(run, name) == timeless(whole.folder, name)
    assert not (run / "evaluation.json").exists()


def test_what_was_played_is_not_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "KEEP_SECONDS", -1.0)
    keys = {"eval_every": 0, "eval_episodes": 1, "seeds": 1, "final_eval_episodes": 40, "eval_share": 100.0}
    with monkeypatch.context() as patched:
        steps = evaluating_steps(patched, 60, killed)
        with pytest.raises(Killed):
            rlbench.train(recipe=recipe(**keys), out=tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    (played,) = kept.values()
    assert played
    with monkeypatch.context() as patched:
        steps = evaluating_steps(patched, 10**9, killed)
        training.resume(tmp_path / "run")
    first = steps[0]
    with monkeypatch.context() as patched:
        steps = evaluating_steps(patched, 10**9, killed)
        rlbench.train(recipe=recipe(**keys), out=tmp_path / "other")
    assert first < steps[0]


def test_a_plan_is_bounded_by_the_seeds_own_first_episodes() -> None:
    plan = EvaluationPlan([0, 2], 100, [1_000, 10**9, 1_000])
    while plan.ready:
        s, k = plan.take()
        plan.count(s, k, 1.0, 20 if s == 0 else 500)
    returns, lengths = plan.numbers(3)
    assert np.isfinite(returns).sum(1).tolist() == [50, 0, 10]  # 1000 / 20; none; the fewest
    assert np.nansum(lengths, 1).tolist() == [1_000, 0, 5_000]
    alone = EvaluationPlan([0], 100, [1_000])
    while alone.ready:
        alone.count(*alone.take(), 1.0, 20)
    assert alone.wanted == {0: 50}
    assert EvaluationPlan([0], 4, [0]).wanted == {0: 4}
    assert EvaluationPlan([0], 40).wanted == {0: 40}
    dropped = EvaluationPlan([0, 1], 3)
    dropped.drop(0)
    assert [dropped.take() for _ in range(3)] == [(1, 0), (1, 1), (1, 2)]
    assert not dropped.ready


def test_the_summary_says_what_a_score_rests_on(tmp_path: Path) -> None:
    said = succeeds(
        "train", "--env", "CartPole-v1", *TINY[:-2], "--progress", "plain", "--num-envs", "1", "--set",
        "final_eval_episodes=100", "--set", "eval_share=0.25", "--out", tmp_path / "run",
    )  # fmt: skip
    assert "A seed's score rests on 10 greedy episodes." in said.splitlines(), said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["eval_episodes"] == 10
    assert summary["final_eval_episodes"] == summary["best_eval_episodes"] == {"0": 10, "1": 10}


def test_an_evaluation_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Looks(Watcher):
        def tick(self, status: Any) -> None:
            seen.append(status.evaluating)

    monkeypatch.setattr("rlbench.training.session.TICK_SECONDS", -1.0)
    rlbench.train(recipe=recipe(), out=tmp_path / "run", watcher=Looks())
    assert "evaluating: 0 of 20 episodes, in 20 environment copies" in seen
    assert any(text.startswith("evaluating: 7 of ") for text in seen)
    assert "" in seen  # in training


def test_no_more_copies_are_made_than_episodes_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    init = EnvBatch.__init__

    def counted(self: EnvBatch, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        made.append(len(self.envs))

    monkeypatch.setattr(EnvBatch, "__init__", counted)
    rlbench.train(recipe=recipe(eval_episodes=2, final_eval_episodes=3), out=tmp_path / "run")
    assert made == [2, 4, 6]


def test_the_agent_holds_afterwards_what_it_held(tmp_path: Path) -> None:
    from test_promises import assert_same

    from rlbench.agent_state import snapshot
    from rlbench.training.session import Session

    session = Session(recipe(total_steps=300), Watcher(), alone=False)
    session.start(tmp_path)
    held: list[Any] = []
    train = session._train
    session._train = lambda interrupts: (train(interrupts), held.append(snapshot(session.now.agent.state_dict())))  # type: ignore[assignment,func-returns-value,method-assign]
    session.run()
    assert_same(snapshot(session.now.agent.state_dict()), held[0])
