"""The end of a run: scores of the final and the best weights on fresh episodes, summary.json and the curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..agent import Agent
from ..errors import RlbenchError
from ..files import write_json
from ..recipe.registry import BUILT_IN
from ..record.summary import summarise
from ..record.watcher import Watcher
from ..rollout.evaluation import FINAL_ROUND
from .evaluations import Evaluations, Paused, mean_of
from .stopped_seeds import all_seeds
from .underway import Underway

LEARNING = BUILT_IN.keys() - {"random"}  # these count their updates; agents of others need not


class Figures(NamedTuple):
    """What the seeds of a run score in the end: mean greedy returns, and how many episodes each of them rests on."""

    final: np.ndarray  # (S,) of the final weights
    best: np.ndarray  # (S,) of those that did best in an evaluation
    final_episodes: list[int]
    best_episodes: list[int]


def finish(run: Underway, evaluations: Evaluations) -> dict[str, Any]:
    """Evaluate the final and the best weights on fresh episodes, unless a signal came or comes; write summary.json.

    Returns:
        What summary.json holds.
    """
    state, agent = run.state, run.agent
    if (agent.replay is not None or run.recipe.agent in LEARNING) and not agent.updates:
        run.watcher.note("no update was due in these steps: these are the weights that training began with.")
    updates = agent.updates  # before the best weights, of fewer updates, are put in its place
    ends = [state.env_steps if at is None else at for at in state.scores.stopped_at]
    found = figures(run, evaluations, ends)
    summary = summarise(
        run.recipe,
        state.scores,
        ends,
        updates=updates,
        wall_seconds=run.recorder.wall_seconds,
        train_seconds=state.train_seconds,
        final=found.final,
        best=found.best,
        episodes=(found.final_episodes, found.best_episodes),
        interrupted=run.stopping,
        inexact=state.inexact,
        device=str(run.parts.device),
    )
    write_json(run.folder / "summary.json", summary, sync=True)
    if not run.stopping:
        evaluations.done()
    return summary


def figures(run: Underway, evaluations: Evaluations, ends: Sequence[int]) -> Figures:
    """The final and the best weights on fresh episodes; where a signal came or comes, what was known before.

    The agent of the run holds afterwards what it held before, whatever happens meanwhile.

    Args:
        run: at its end.
        evaluations: plays its evaluations.
        ends: env steps that each seed took.
    """
    scores, parts = run.scores, run.parts
    known = Figures(
        np.array(scores.evaluated), np.array(scores.best), list(scores.evaluated_episodes), list(scores.best_episodes)
    )
    if not run.recipe.final_eval_episodes or run.stopping:
        return known
    agent = all_seeds(parts.agent, parts.made, parts.streams, run.recipe.seed_numbers)
    held = run.own_state() if agent is parts.agent else None
    try:
        return _scored(run, evaluations, agent, ends)
    except Paused:
        return known
    finally:
        if held is not None:
            agent.load_state_dict(held)


def _scored(run: Underway, evaluations: Evaluations, agent: Agent, ends: Sequence[int]) -> Figures:
    """With ``agent`` holding the final weights, and then the best ones. Raises Paused."""
    at, best_state = run.scores.best_at, run.state.best
    final, counts = _score(run, evaluations, agent, run.agent_state(), ends)
    same = [best_at == end for best_at, end in zip(at, ends, strict=True)]
    if best_state is None or all(same):
        return Figures(final, final, counts, counts)
    skip = [s for s, is_final in enumerate(same) if is_final]
    best, best_counts = _score(run, evaluations, agent, best_state, ends, skip)
    chosen = [counts[s] if is_final else best_counts[s] for s, is_final in enumerate(same)]
    return Figures(final, np.where(same, final, best), counts, chosen)


def _score(
    run: Underway,
    evaluations: Evaluations,
    agent: Agent,
    weights: dict[str, Any],
    ends: Sequence[int],
    skip: Sequence[int] = (),
) -> tuple[np.ndarray, list[int]]:
    """Mean greedy returns (S,) of ``weights`` over the episodes of the final figures, and how many these are."""
    r = run.recipe
    agent.load_state_dict(weights)
    bounds = [int(r.eval_share * end) for end in ends]
    returns, _ = evaluations(agent, r.final_eval_episodes, FINAL_ROUND, bounds, skip)
    for what in run.evaluator.broken.values():
        run.watcher.note(f"in the final evaluation: {what}: this seed has no final score.")
    return mean_of(returns), np.isfinite(returns).sum(1).tolist()


def draw(folder: Path, watcher: Watcher) -> None:
    """Draw curve.png; a curve that cannot be drawn spoils no run."""
    from ..plots.learning import plot_runs  # slow to import

    try:
        plot_runs([folder], folder / "curve.png")
    except RlbenchError as e:
        watcher.remark(str(e))
