"""The end of a run: scores of the final and the best weights on fresh episodes, summary.json and the curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RlbenchError
from ..files import write_json
from ..record.summary import summarise
from ..record.watcher import Watcher
from ..rollout.evaluation import FINAL_ROUND
from .milestones import mean_of
from .narrow import all_seeds
from .trials import Paused

if TYPE_CHECKING:
    from .session import Session


def finish(session: "Session") -> dict[str, Any]:
    """Evaluate the final and the best weights on fresh episodes, unless a signal came or comes; write summary.json.

    The agent holds afterwards what it held before.

    Returns:
        What summary.json holds.
    """
    r, scores, agent = session.recipe, session.scores, session.agent
    if agent.replay is not None and not agent.updates:
        session.watcher.note("no update was due in so few steps: these are the weights that training began with.")
    updates = agent.updates  # before the best weights, of fewer updates, are put in its place
    ends = [session.env_steps if at is None else at for at in scores.stopped_at]
    final, best = np.array(scores.evaluated), np.array(scores.best)
    counts, best_counts = list(scores.evaluated_episodes), list(scores.best_episodes)
    if r.final_eval_episodes and not session.stopping:
        with all_seeds(session) as whole:
            held = session.own_state()
            try:
                ((final, counts), (best, best_counts)) = _scored(session, ends)
            except Paused:
                pass
            finally:
                whole.load_state_dict(held)
    summary = summarise(
        r,
        scores,
        ends,
        updates=updates,
        wall_seconds=session.recorder.wall_seconds,
        train_seconds=session.train_seconds,
        final=final,
        best=best,
        episodes=(counts, best_counts),
        interrupted=session.stopping,
        inexact=session.inexact,
        device=str(session.parts.device),
    )
    write_json(session.folder / "summary.json", summary, sync=True)
    if not session.stopping:
        session.trials.done()
    return summary


Score = tuple[np.ndarray, list[int]]  # (S,) mean greedy return, and how many episodes it rests on


def _scored(session: "Session", ends: Sequence[int]) -> tuple[Score, Score]:
    """Of the final and of the best weights. Raises Paused."""
    at = session.scores.best_at
    final, counts = _score(session, session.agent_state(), ends)
    same = [best_at == end for best_at, end in zip(at, ends, strict=True)]
    if session.best is None or all(same):
        return (final, counts), (final, counts)
    best, best_counts = _score(session, session.best, ends, [s for s, is_final in enumerate(same) if is_final])
    chosen = [counts[s] if is_final else best_counts[s] for s, is_final in enumerate(same)]
    return (final, counts), (np.where(same, final, best), chosen)


def _score(session: "Session", state: dict[str, Any], ends: Sequence[int], skip: Sequence[int] = ()) -> Score:
    """Of the weights in ``state``, over the episodes of the final figures."""
    r = session.recipe
    session.agent.load_state_dict(state)
    returns, _ = session.trials(r.final_eval_episodes, FINAL_ROUND, [int(r.eval_share * end) for end in ends], skip)
    for what in session.evaluator.broken.values():
        session.watcher.note(f"in the final evaluation: {what}: this seed has no final score.")
    return mean_of(returns), np.isfinite(returns).sum(1).tolist()


def draw(folder: Path, watcher: Watcher) -> None:
    """Draw curve.png; a curve that cannot be drawn spoils no run."""
    from ..plots.learning import plot_runs  # slow to import

    try:
        plot_runs([folder], folder / "curve.png")
    except RlbenchError as e:
        watcher.note(str(e))
