"""`compare`: from runs to numbers, and from these to a verdict. The result is plain data for tables, pages and JSON."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import UsageError
from ..stats.estimates import (
    REPS,
    Scores,
    aggregate,
    difference,
    holm,
    optimality_gap,
    seeds_needed,
)
from .cell import cell
from .contestants import Contestant, RunPaths, read_contestants
from .evidence import SCORES, Score
from .fairness import find_differences, find_warnings, same_seeds
from .measures import measure
from .results import AgentResult, Contrast, EnvTable
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
    baseline: str = "",
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
        baseline: name of the contestant that is to be the first one.

    Raises:
        UsageError: fewer than two contestants, none of whose environments is the same, one without usable seeds, or
            none of the baseline's name.
    """
    if score not in SCORES:
        raise UsageError(f"unknown score {score!r}: choose one of {', '.join(SCORES)}.")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"confidence must be at least 0.5 and below 1, not {confidence:g}.")
    if len(groups) < 2 or isinstance(groups, str):
        raise UsageError("a comparison needs two agents or more: rlbench compare RUN RUN")
    contestants = read_contestants(groups)
    if baseline:
        names = [one.label for one in contestants]
        if baseline not in names:
            raise UsageError(f"the baseline {baseline!r} is none of those compared: {', '.join(names)}.")
        contestants.sort(key=lambda one: one.label != baseline)
    return compare_contestants(contestants, score, references or {}, thresholds or {}, confidence, reps)


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
        found = measure(
            env, contestants, score, given=references.get(env), threshold=thresholds.get(env), confidence=confidence,
            reps=reps,
        )  # fmt: skip
        notes += found.notes
        scores = [np.array(agent.scores) for agent in found.table.agents]
        for own, x in zip(normalised, found.normalised, strict=True):
            own.append(x)
        contrasts = _contrasts([[x] for x in scores], contestants, same, confidence, reps)
        tables.append(found.table._replace(contrasts=contrasts))
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


def _common_envs(groups: Sequence[Contestant]) -> list[str]:
    """The environments that all have, in the first one's order."""
    envs = [env for env in groups[0].seeds if all(env in group.seeds for group in groups)]
    if not envs:
        has = "; ".join(f"{group.label} has {', '.join(group.seeds)}" for group in groups)
        raise UsageError(f"no environment on which all were trained: {has}. Give runs on the same environment.")
    return envs


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
