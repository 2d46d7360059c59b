"""What is due between two steps of a run: evaluations, films, stop rules, and the check of its numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..agent_state import UnlikeError, merge, snapshot
from ..errors import AgentError, RlbenchError
from .faults import broken_seeds, left_out

if TYPE_CHECKING:
    from .session import Session


def reach(session: "Session", before: int, *, finished: bool, last: bool) -> None:
    """Do what is due at the step that a session has just recorded; may be done again where it was cut off.

    Args:
        session: at this step.
        before: its env steps before it.
        finished: whether an episode ended in it.
        last: whether the run ends with it.

    Raises:
        Paused: a signal came in the middle of an evaluation.
        AgentError: a loss is not finite, and that is to stop the run.
        NotFiniteError: likewise, a number of an environment that evaluates.
    """
    r = session.recipe
    if (session.due(r.eval_every, before) or last) and session.evaluated_at != session.env_steps:
        evaluate(session)
    if session.due(r.video_every, before):
        film(session)
    if finished or session.evaluated_at == session.env_steps:
        stop_rules(session)
    if session.envs.broken or session.due(r.log_every, before) or last:
        check_numbers(session)


def evaluate(session: "Session", only: list[bool] | None = None) -> None:
    """A greedy evaluation of the seeds that still train (or ``only`` some); keeps each seed's best weights."""
    r, scores = session.recipe, session.scores
    playing = only or [why is None for why in scores.stopped]
    skip = [s for s, plays in enumerate(playing) if not plays]
    since = min(session.env_steps, r.eval_every or session.env_steps)
    bounds = [int(r.eval_share * since)] * r.seeds
    returns, lengths = session.trials(r.eval_episodes, session.env_steps, bounds, skip)
    session.recorder.evaluation(session.env_steps, returns, lengths)
    _show(session)
    improved = scores.evaluation(mean_of(returns), session.env_steps, np.isfinite(returns).sum(1).tolist())
    if any(improved):
        state = session.own_state()
        session.best = state if session.best is None else merged(session, state, session.best, improved)
    if only is None:
        session.evaluated_at = session.env_steps
    if session.evaluator.broken:
        stop(session, dict.fromkeys(left_out(session), "not finite"))
    session.watcher.evaluated(session)


def mean_of(returns: np.ndarray) -> np.ndarray:
    """(S,) mean of the episodes that each seed has played, (S, episodes) with NaN for the others; NaN for none."""
    counts = np.isfinite(returns).sum(1)
    means = np.full(len(returns), np.nan)
    for s, count in enumerate(counts.tolist()):
        if count:
            means[s] = returns[s, :count].mean()
    return means


def film(session: "Session") -> None:
    """Film an episode of the seed that did best in an evaluation so far; a film that fails spoils no run."""
    if session.clips is None:
        return
    best = max(session.training, key=lambda s: session.scores.best[s])  # -inf before its first evaluation
    try:
        path, title = session.clips.film(session.agent, best, session.env_steps, session.folder)
    except RlbenchError as e:
        session.watcher.note(f"{e} No more films are made.")
        session.clips.close()
        session.clips = None
        return
    session.recorder.tracker.video(path, title, session.env_steps)


def stop_rules(session: "Session") -> None:
    """Stop the seeds that have solved the environment, if asked, or had all their episodes."""
    r, reasons = session.recipe, {}
    for s in session.training:
        if r.stop_when_solved and session.scores.solved[s] is not None:
            reasons[s] = "solved"
        elif 0 < r.max_episodes <= session.scores.episodes[s]:
            reasons[s] = "max_episodes"
    if reasons and session.evaluated_at != session.env_steps:
        evaluate(session, only=[s in reasons for s in range(r.seeds)])
    stop(session, {s: why for s, why in reasons.items() if s in session.training})


def stop(session: "Session", reasons: dict[int, str]) -> None:
    """Train no more the seeds at these positions; their weights stay as they are now."""
    if not reasons:
        return
    for s, why in reasons.items():
        session.scores.stop(s, why, session.env_steps)
        session.envs.stop(s)
    session.to_narrow = True
    state = session.own_state()
    stopping = [s in reasons for s in range(session.recipe.seeds)]
    session.ended = state if session.ended is None else merged(session, state, session.ended, stopping)


def check_numbers(session: "Session") -> None:
    """Deal with seeds whose numbers are not finite any more, as ``on_nan`` says.

    Raises:
        AgentError: a loss is not finite, and that is to stop the run.
    """
    check_metrics(session)
    stop(session, dict.fromkeys(broken_seeds(session), "not finite"))


def check_metrics(session: "Session") -> None:
    """Raises AgentError where ``update`` gave something else than named numbers, one for each seed."""
    agent, metrics = session.recipe.agent, session.metrics
    if not isinstance(metrics, dict):
        raise AgentError(f"{agent}: update gave a {type(metrics).__name__}, expected a dict of named Tensors, or {{}}.")
    for name, value in metrics.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape != (session.recipe.seeds,):
            raise AgentError(
                f"{agent}: update gave a metric {name!r} of shape {shape}, expected one number for "
                f"each seed: a Tensor of shape ({session.recipe.seeds},)."
            )


def diagnostics(session: "Session") -> dict[str, Any]:
    """What the agent says of itself: its tensors, without gradients."""
    said = session.agent.diagnostics()
    if not isinstance(said, dict):
        raise AgentError(f"{session.recipe.agent}: diagnostics gave a {type(said).__name__}, expected a dict.")
    return {str(name): x.detach() for name, x in said.items() if isinstance(x, Tensor)}


def _show(session: "Session") -> None:
    """Give the tracker histograms of what the agent shows of itself."""
    seeds = session.recipe.seed_numbers
    found = {
        name: x.float().cpu().numpy() for name, x in diagnostics(session).items() if x.ndim > 1 and len(x) == len(seeds)
    }
    named = {f"learning/{name}": {seeds[s]: x[s].ravel() for s in session.training} for name, x in found.items()}
    session.recorder.tracker.histograms(named, session.env_steps)


def merged(session: "Session", new: dict[str, Any], old: dict[str, Any], mask: list[bool]) -> dict[str, Any]:
    """As `merge`. Raises AgentError where the agent's state has changed its shape."""
    try:
        return dict(merge(new, old, mask))
    except UnlikeError as e:
        raise AgentError(
            f"{session.recipe.agent}: in its state_dict {e}. Shapes are to stay the same: pad to a fixed length."
        ) from e


def snapshot_of(session: "Session") -> dict[str, Any]:
    """A snapshot of what the agent holds.

    Raises:
        AgentError: its state is no dict.
    """
    state = session.agent.state_dict()
    if not isinstance(state, dict):
        raise AgentError(
            f"{session.recipe.agent}: state_dict gave a {type(state).__name__}, expected a dict of tensors, numbers, "
            "texts, lists and dicts."
        )
    return dict(snapshot(state))
