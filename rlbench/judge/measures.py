"""What contestants reached on one environment: the scores of their seeds, and the numbers made of these."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UsageError
from ..numbers import exact
from ..stats.estimates import REPS, aggregate, optimality_gap
from ..stats.survival import median_time, wilson
from .contestants import Contestant
from .evidence import Score, is_changed, score_of, time_to
from .results import AgentResult, Attainment, EnvTable
from .scales import reference


class EnvMeasure(NamedTuple):
    """One environment."""

    table: EnvTable  # without contrasts
    normalised: tuple[np.ndarray, ...]  # (n,) of each contestant's seeds, on the environment's scale
    notes: tuple[str, ...]


def measure(
    env: str,
    contestants: Sequence[Contestant],
    score: Score = "final",
    *,
    given: tuple[float, float] | None = None,
    threshold: float | None = None,
    confidence: float = 0.95,
    reps: int = REPS,
) -> EnvMeasure:
    """What each contestant reached.

    Args:
        env: an environment that all of them have.
        contestants: one or more.
        score: what stands for a seed, as of `comparison.compare`.
        given: scores that become 0 and 1; None: as of `scales.reference`.
        threshold: return that counts as reached; None: as recorded by the runs.
        confidence: of all intervals.
        reps: bootstrap draws.

    Raises:
        UsageError: a contestant has no score of this kind there.
    """
    notes: list[str] = []
    horizon = min(run.horizon for group in contestants for run in group.runs_on(env))
    scores = [_scores(group, env, score, horizon, notes) for group in contestants]
    changed = any(is_changed(run) for one in contestants for run in one.runs_on(env))
    scale = reference(env, given, changed, scores)
    scaled = tuple(scale.normalise(x) for x in scores)
    level, remarks = _threshold(contestants, env, threshold)
    agents = []
    for group, x, y in zip(contestants, scores, scaled, strict=True):
        one = result_of(group, env, x, y, horizon, level, confidence, reps)
        gap = one.optimality_gap if scale.known else None
        rests = () if score == "auc" else _episodes(group, env, score)
        agents.append(one._replace(optimality_gap=gap, episodes=rests))
    notes += [f"{env}: {scale.words()}", *remarks]
    return EnvMeasure(EnvTable(env, scale, tuple(agents), ()), scaled, tuple(notes))


def result_of(
    contestant: Contestant,
    env: str,
    scores: np.ndarray,
    normalised: np.ndarray,
    horizon: float,
    threshold: float | None,
    confidence: float,
    reps: int = REPS,
) -> AgentResult:
    """What one contestant reached on an environment.

    Args:
        contestant: who.
        env: where.
        scores: (n,) of its seeds.
        normalised: (n,) likewise, on the environment's scale.
        horizon: env steps that all have trained for.
        threshold: a return that counts as solved, if there is one.
        confidence: of the intervals.
        reps: of the bootstrap.
    """
    area = np.array([score_of(seed, "auc", horizon) for seed in contestant.seeds[env]])
    return AgentResult(
        label=contestant.label,
        seeds=len(scores),
        scores=tuple(scores.tolist()),
        aggregates=aggregate([scores], confidence, reps),
        optimality_gap=optimality_gap([normalised], confidence, reps),
        auc=None if np.isnan(area).any() else aggregate([area], confidence, reps).iqm,
        attainment=None if threshold is None else _attainment(contestant, env, threshold, confidence),
    )


def _scores(group: Contestant, env: str, score: Score, horizon: float, notes: list[str]) -> np.ndarray:
    """What stands for each of a contestant's seeds; those without an evaluation have no area under the curve."""
    every = np.array([score_of(seed, score, horizon) for seed in group.seeds[env]])
    known = every[~np.isnan(every)]
    if len(known) == 0:
        raise UsageError(
            f"{group.label} has no evaluation of {env} in the first {horizon:,.0f} steps, hence no area under the "
            "curve. Compare final scores instead: --score final"
        )
    if len(known) < len(every):
        without = f"{len(every) - len(known)} of {len(every)} seeds without an evaluation are left out"
        notes.append(f"{group.label}: {env}: {without}")
    return known


def _episodes(group: Contestant, env: str, score: Score) -> tuple[int, ...]:
    counts = tuple(seed.episodes[score == "best"] for seed in group.seeds[env])
    return counts if all(counts) else ()


def _threshold(groups: Sequence[Contestant], env: str, given: float | None) -> tuple[float | None, list[str]]:
    """The return that counts as reached, and a note where the runs do not agree on it."""
    if given is not None:
        return given, []
    known = [run.solved_at for group in groups for run in group.runs_on(env) if run.solved_at is not None]
    differ = (
        [f"{env}: runs count different returns as solved; here it is {exact(known[0])}"] if len(set(known)) > 1 else []
    )
    return (known[0] if known else None), differ


def _attainment(group: Contestant, env: str, threshold: float, confidence: float) -> Attainment:
    times, reached = zip(*(time_to(seed, threshold) for seed in group.seeds[env]), strict=True)
    share = wilson(sum(reached), len(reached), confidence)
    return Attainment(threshold, sum(reached), len(reached), share, median_time(times, reached))
