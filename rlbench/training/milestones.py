"""What is due between two steps of a run: evaluations, films, stop rules, and the check of its numbers."""

import numpy as np
from torch import Tensor

from ..errors import AgentError, DivergedError, RlbenchError
from .evaluations import Evaluations, mean_of
from .faults import diverged, dump
from .underway import Underway


def reach(run: Underway, evaluations: Evaluations, before: int, *, finished: bool, last: bool) -> None:
    """Do what is due at the step that a run has just recorded; may be done again where it was cut off.

    Args:
        run: at this step.
        evaluations: plays its evaluations.
        before: its env steps before it.
        finished: whether an episode ended in it.
        last: whether the run ends with it.

    Raises:
        Paused: a signal came in the middle of an evaluation.
        AgentError: a loss is not finite, and that is to stop the run.
        NotFiniteError: likewise, a number of an environment that evaluates.
    """
    r, state = run.recipe, run.state
    if (state.due(r.eval_every, before) or last) and state.evaluated_at != state.env_steps:
        evaluate(run, evaluations)
    if state.due(r.video_every, before):
        film(run)
    if finished or state.evaluated_at == state.env_steps:
        stop_rules(run, evaluations)
    if run.envs.broken or state.due(r.log_every, before) or last:
        check_numbers(run)


def evaluate(run: Underway, evaluations: Evaluations, only: list[bool] | None = None) -> None:
    """A greedy evaluation of the seeds that still train (or ``only`` some); keeps each seed's best weights."""
    r, state, at = run.recipe, run.state, run.env_steps
    playing = only or [why is None for why in state.scores.stopped]
    skip = [s for s, plays in enumerate(playing) if not plays]
    bounds = [int(r.eval_share * min(at, r.eval_every or at))] * r.seeds
    returns, lengths = evaluations(run.agent, r.eval_episodes, at, bounds, skip)
    run.recorder.evaluation(at, returns, lengths)
    _show(run)
    improved = state.scores.evaluation(mean_of(returns), at, np.isfinite(returns).sum(1).tolist())
    if any(improved):
        state.best = run.merged(run.own_state(), state.best, improved)
    if only is None:
        state.evaluated_at = at
    broken = {s: what for s, what in run.evaluator.broken.items() if s in state.training}
    for what in broken.values():
        run.watcher.note(f"in an evaluation at step {at:,}: {what}: left behind.")
    stop(run, dict.fromkeys(broken, "not finite"))
    run.watcher.evaluated(run)


def film(run: Underway) -> None:
    """Film an episode of the seed that did best in an evaluation so far; a film that fails spoils no run."""
    if run.clips is None:
        return
    best = max(run.state.training, key=lambda s: run.scores.best[s])  # -inf before its first evaluation
    try:
        path, title = run.clips.film(run.agent, best, run.env_steps, run.folder)
    except RlbenchError as e:
        run.watcher.note(f"{e} No more films are made.")
        run.clips.close()
        run.clips = None
        return
    run.recorder.tracker.video(path, title, run.env_steps)


def stop_rules(run: Underway, evaluations: Evaluations) -> None:
    """Stop the seeds that have solved the environment, if asked, or had all their episodes."""
    r, state, reasons = run.recipe, run.state, {}
    if not (r.stop_when_solved or r.max_episodes):
        return
    scores = state.scores
    for s, why in enumerate(scores.stopped):
        if why is not None:
            continue
        if r.stop_when_solved and scores.solved[s] is not None:
            reasons[s] = "solved"
        elif 0 < r.max_episodes <= scores.episodes[s]:
            reasons[s] = "max_episodes"
    if reasons and state.evaluated_at != state.env_steps:
        evaluate(run, evaluations, only=[s in reasons for s in range(r.seeds)])
    stop(run, {s: why for s, why in reasons.items() if s in state.training})


def stop(run: Underway, reasons: dict[int, str]) -> None:
    """Train no more the seeds at these positions; their weights stay as they are now."""
    if not reasons:
        return
    for s, why in reasons.items():
        run.scores.stop(s, why, run.env_steps)
        run.envs.stop(s)
    run.to_narrow = True
    run.state.ended = run.merged(run.own_state(), run.state.ended, [s in reasons for s in range(run.recipe.seeds)])


def check_numbers(run: Underway) -> None:
    """Deal with seeds whose metrics, rewards or observations are not finite any more, as ``on_nan`` says.

    What the agent holds is written to a dump first, and the user told where.

    Raises:
        AgentError: there are any, and that is to stop the run; or `check_metrics` finds something.
        RunFolderError: the dump cannot be written.
    """
    check_metrics(run)
    state, numbers = run.state, run.recipe.seed_numbers
    silence, infinite = run.agent.nan_is_silence, state.learned.infinite()
    found = diverged(state.metrics, state.training, nan_is_silence=silence, infinite=infinite)
    bad = {s: f"the {name} of seed {numbers[s]} is {value}" for s, (name, value) in found.items()}
    bad |= {s: what for s, what in run.envs.broken.items() if s in state.training}
    if not bad:
        return
    what = "; ".join(bad.values())
    path = dump(run.folder, state.env_steps, [numbers[s] for s in bad], run.agent_state(), state.metrics, what)
    if run.recipe.on_nan == "stop":
        raise DivergedError(f"{what}, at step {state.env_steps:,}", path)
    run.watcher.note(f"{what}, at step {state.env_steps:,}: left behind. What the agent held is in {path}.")
    stop(run, dict.fromkeys(bad, "not finite"))


def check_metrics(run: Underway) -> None:
    """Raises AgentError where ``update`` gave something else than named numbers, one for each seed."""
    agent, metrics = run.recipe.agent, run.state.metrics
    if not isinstance(metrics, dict):
        raise AgentError(f"{agent}: update gave a {type(metrics).__name__}, expected a dict of named Tensors, or {{}}.")
    for name, value in metrics.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape != (run.recipe.seeds,):
            raise AgentError(
                f"{agent}: update gave a metric {name!r} of shape {shape}, expected one number for "
                f"each seed: a Tensor of shape ({run.recipe.seeds},)."
            )


def _show(run: Underway) -> None:
    """Give the tracker histograms of what the agent shows of itself."""
    seeds = run.recipe.seed_numbers
    found = {
        name: x.float().cpu().numpy() for name, x in run.diagnostics().items() if x.ndim > 1 and len(x) == len(seeds)
    }
    named = {f"learning/{name}": {seeds[s]: x[s].ravel() for s in run.state.training} for name, x in found.items()}
    run.recorder.tracker.histograms(named, run.env_steps)
