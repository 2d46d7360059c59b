"""`compare`: from runs to numbers, and from these to a verdict. The result is plain data for tables, pages and JSON."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import UsageError
from ..numbers import exact
from ..stats.estimates import (
    REPS,
    Scores,
    aggregate,
    difference,
    holm,
    optimality_gap,
    seeds_needed,
)
from ..stats.survival import median_time, wilson
from .cell import cell
from .contestants import Contestant, RunPaths, read_contestants
from .evidence import SCORES, Score, is_changed, score_of, time_to
from .fairness import find_differences, find_warnings, same_seeds
from .results import AgentResult, Attainment, Contrast, EnvTable
from .scales import reference
from .text import text
from .verdict import judge, sentence

OVERALL = "all environments"


class Comparison(NamedTuple):
    """What `compare` found. Printed, it is the tables of `rlbench compare`; a notebook shows it as a page."""

    score: Score
    confidence: float
    labels: tuple[str, ...]
    runs: dict[str, tuple[str, ...]]  # label -> run folders
    seeds: dict[str, dict[str, tuple[int, ...]]]  # label -> environment -> the numbers of the seeds that count
    tables: tuple[EnvTable, ...]  # per environment
    overall: EnvTable | None  # over all, normalised scores; None where there is one environment
    verdicts: tuple[str, ...]  # a sentence per contestant after the first
    differences: tuple[str, ...]  # why the runs are not comparable
    warnings: tuple[str, ...]  # what else weakens the verdict
    notes: tuple[str, ...]  # what was left out or filled in, per run, and how to read the numbers

    @property
    def decisive(self) -> EnvTable:
        """The table that the verdicts are about."""
        return self.overall or self.tables[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, texts and finite numbers; None for what is not a number or infinite."""
        return dict(_plain(self))

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        count = len(self.differences) + len(self.warnings)
        beware = f" ({count} warnings)" if count > 1 else " (1 warning)" if count else ""
        return f"<comparison on {self.decisive.env}: {' '.join(self.verdicts)}{beware}>"

    def _repr_html_(self) -> str:
        return cell(self)


def compare(
    groups: Mapping[str, RunPaths] | Sequence[RunPaths],
    *,
    score: Score = "final",
    references: Mapping[str, tuple[float, float]] | None = None,
    thresholds: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    reps: int = REPS,
) -> Comparison:
    """Compare agents by their runs; the first is the baseline of all others.

    Args:
        groups: two or more contestants: see `contestants.read_contestants`. They are compared on the environments that
            all of them have.
        score: what stands for a seed: greedy return of the "final" weights; of those that did "best" in an evaluation,
            which flatters agents that vary; or "auc", mean greedy return while learning.
        references: environment -> (low, high), the scores that become 0 and 1 where several environments are averaged.
        thresholds: environment -> return that counts as reached; default: as recorded by the runs.
        confidence: of all intervals, and 1 - the chance that a verdict is wrong where there is no difference.
        reps: bootstrap draws.

    Raises:
        UsageError: fewer than two contestants, none of whose environments is the same, or one without usable seeds.
    """
    if score not in SCORES:
        raise UsageError(f"unknown score {score!r}: choose one of {', '.join(SCORES)}.")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"confidence must be at least 0.5 and below 1, not {confidence:g}.")
    if len(groups) < 2 or isinstance(groups, str):
        raise UsageError("a comparison needs two agents or more: rlbench compare RUN RUN")
    return compare_contestants(read_contestants(groups), score, references or {}, thresholds or {}, confidence, reps)


def compare_contestants(
    contestants: Sequence[Contestant],
    score: Score = "final",
    references: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    thresholds: Mapping[str, float] = MappingProxyType({}),
    confidence: float = 0.95,
    reps: int = REPS,
) -> Comparison:
    """`compare` of two or more contestants that have been read."""
    envs = _common_envs(contestants)
    for name, table in (("reference", references), ("threshold", thresholds)):
        if unknown := [env for env in table if env not in envs]:
            raise UsageError(f"a {name} for {unknown[0]!r}, which is not compared. Compared: {', '.join(envs)}.")
    same = same_seeds(contestants, envs)
    tables, notes = [], [note for group in contestants for note in group.notes]
    normalised: list[list[np.ndarray]] = [[] for _ in contestants]
    for env in envs:
        horizon = min(run.horizon for group in contestants for run in group.runs_on(env))
        scores = [_scores(group, env, score, horizon, notes) for group in contestants]
        changed = any(is_changed(run) for one in contestants for run in one.runs_on(env))
        scale = reference(env, references.get(env), changed, scores)
        scaled = [scale.normalise(x) for x in scores]
        for own, x in zip(normalised, scaled, strict=True):
            own.append(x)
        threshold, remarks = _threshold(contestants, env, thresholds.get(env))
        notes += [f"{env}: score {scale.words()}", *remarks]
        agents = []
        for group, x, y in zip(contestants, scores, scaled, strict=True):
            one = result_of(group, env, x, y, horizon, threshold, confidence, reps)
            agents.append(one._replace(episodes=() if score == "auc" else _episodes(group, env, score)))
        contrasts = _contrasts([[x] for x in scores], contestants, same, confidence, reps)
        tables.append(EnvTable(env, scale, tuple(agents), contrasts))
    overall = None
    if len(envs) > 1:
        whole = [
            AgentResult(
                label=group.label,
                seeds=sum(map(len, x)),
                scores=tuple(np.concatenate(x).tolist()),
                aggregates=aggregate(x, confidence, reps),
                optimality_gap=optimality_gap(x, confidence, reps),
                auc=None,
                attainment=None,
            )
            for group, x in zip(contestants, normalised, strict=True)
        ]
        overall = EnvTable(OVERALL, None, tuple(whole), _contrasts(normalised, contestants, same, confidence, reps))
        notes.append("over all environments every environment counts the same, and scores are normalised")
    if len(contestants) > 2:
        notes.append(
            f"{len(contestants) - 1} contestants against {contestants[0].label}: verdicts hold for all of them "
            "together (Holm); intervals are each one's own"
        )
    differences = find_differences(contestants, envs)
    care = "Not like with like, so read with care: " if differences else ""
    return Comparison(
        score=score,
        confidence=confidence,
        labels=tuple(group.label for group in contestants),
        runs={group.label: tuple(str(run.path) for run in group.runs) for group in contestants},
        seeds={g.label: {env: tuple(seed.number for seed in g.seeds[env]) for env in envs} for g in contestants},
        tables=tuple(tables),
        overall=overall,
        verdicts=tuple(care + contrast.sentence for contrast in (overall or tables[0]).contrasts),
        differences=differences,
        warnings=tuple(find_warnings(contestants, envs, same, score)),
        notes=tuple(notes),
    )


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


def _common_envs(groups: Sequence[Contestant]) -> list[str]:
    """The environments that all have, in the first one's order."""
    envs = [env for env in groups[0].seeds if all(env in group.seeds for group in groups)]
    if not envs:
        has = "; ".join(f"{group.label} has {', '.join(group.seeds)}" for group in groups)
        raise UsageError(f"no environment on which all were trained: {has}. Give runs on the same environment.")
    return envs


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


def _contrasts(
    scores: Sequence[Scores], groups: Sequence[Contestant], same: Mapping[str, bool], confidence: float, reps: int
) -> tuple[Contrast, ...]:
    """Every contestant against the first; ``scores`` per contestant and environment."""
    baseline, comparisons = scores[0], len(groups) - 1
    found = [difference(x, baseline, confidence, reps) for x in scores[1:]]
    contrasts = []
    for group, x, d, p in zip(groups[1:], scores[1:], found, holm([d.p for d in found]), strict=True):
        counts = [len(y) for y in x], [len(y) for y in baseline]
        seeds = 2 * len(x) / sum(1 / n for n in (*counts[0], *counts[1]))
        more = max(1.0, seeds_needed(d, seeds, 1 - (1 - confidence) / comparisons) - seeds)
        outcome = judge(d, p, x, baseline, same=same[group.label], confidence=confidence, comparisons=comparisons)
        words = sentence(
            outcome, group.label, groups[0].label, d, counts, more, normalised=len(x) > 1, comparisons=comparisons
        )
        contrasts.append(Contrast(group.label, groups[0].label, d, p, more, outcome, words))
    return tuple(contrasts)


def _plain(value: Any) -> Any:
    """Named tuples as dicts, tuples as lists, and what JSON has no number for as None."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(inner) for key, inner in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
