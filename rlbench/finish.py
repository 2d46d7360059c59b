"""The end of a run: scores of the final and the best weights on fresh episodes, summary.json and the curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RlbenchError
from .record import write_json
from .summary import summarise
from .watcher import Watcher

if TYPE_CHECKING:
    from .session import Session

FINAL_ROUND = 0  # evaluation episodes of the final figures; rounds during training are env steps, and never 0


def finish(session: "Session", *, interrupted: bool) -> dict[str, Any]:
    """Evaluate the final and the best weights on fresh episodes unless interrupted; write summary.json.

    Returns:
        What it holds.
    """
    r, scores, agent = session.recipe, session.scores, session.agent
    if agent.replay is not None and not agent.updates:
        session.watcher.note("no update was due in so few steps: these are the weights that training began with.")
    updates = agent.updates  # before the best weights, of fewer updates, are put in its place
    ends = [session.env_steps if at is None else at for at in scores.stopped_at]
    final, best = np.array(scores.evaluated), np.array(scores.best)
    if r.final_eval_episodes and not interrupted:
        final = best = _returns(session, session.agent_state())
        same = [at == end for at, end in zip(scores.best_at, ends, strict=True)]
        if session.best is not None and not all(same):
            skip = [s for s, is_final in enumerate(same) if is_final]
            best = np.where(same, final, _returns(session, session.best, skip))
    summary = summarise(
        r,
        scores,
        ends,
        updates=updates,
        wall_seconds=session.recorder.wall_seconds,
        train_seconds=session.train_seconds,
        final=final,
        best=best,
        interrupted=interrupted,
        inexact=session.inexact,
        device=str(session.parts.device),
    )
    write_json(session.folder / "summary.json", summary)
    return summary


def _returns(session: "Session", state: dict[str, Any], skip: Sequence[int] = ()) -> np.ndarray:
    """Mean greedy return (S,) of the weights in ``state`` over the final figures' episodes."""
    session.agent.load_state_dict(state)
    episodes = session.recipe.final_eval_episodes
    returns, _ = session.evaluator(session.agent, episodes, round=FINAL_ROUND, skip=skip)
    return np.asarray(returns.mean(1))


def draw(folder: Path, watcher: Watcher) -> None:
    """Draw curve.png; a curve that cannot be drawn spoils no run."""
    from .plot import plot_runs  # slow to import

    try:
        plot_runs([folder], folder / "curve.png")
    except RlbenchError as e:
        watcher.note(str(e))
