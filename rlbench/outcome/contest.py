"""A sweep's agents against each other: which of its cells are finished, who competes by them, and what is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..errors import UsageError
from ..judge.comparison import Comparison, compare_contestants
from ..judge.contestants import Contestant, read_contestant
from ..judge.evidence import Score
from ..judge.measures import measure
from ..judge.results import EnvTable
from ..plots.heatmap import HeatMap
from ..process.places import shown
from ..report.heat import heat_map
from ..runfolder.reader import readers_of
from ..sweep.folder import SweepFolder
from ..sweep.index import CellState
from ..sweep.standing import STATES

MOST_TOLD = 12  # lines on what is missing


class Contest(NamedTuple):
    """The cells of a sweep as contestants, by their labels; cells that differ in the first seed are one.

    Attributes:
        labels: of all contestants, the baseline first.
        envs: all environments, in the order of the plan.
        runs: label -> run folders of its finished cells; labels without any are not there.
        words: (label, environment) -> what is missing there, in a few words; pairs that are whole are not there.
        missing: the same in sentences, and what else is left out.
    """

    labels: tuple[str, ...]
    envs: tuple[str, ...]
    runs: dict[str, list[Path]]
    words: dict[tuple[str, str], str]
    missing: tuple[str, ...]


class Judged(NamedTuple):
    """What came of a contest."""

    comparison: Comparison
    heat: HeatMap


def contest_of(sweep: SweepFolder, states: Mapping[str, CellState] | None = None, baseline: str = "") -> Contest:
    """Who competes in a sweep, by the cells that are finished.

    Args:
        sweep: the sweep.
        states: of its cells; None: as they stand now.
        baseline: label of the contestant that the others are compared with; "": the first one that has finished.

    Raises:
        UsageError: there is no such contestant, or it has no finished cell.
    """
    states = sweep.states() if states is None else states
    labels = list(dict.fromkeys(cell.label for cell in sweep.cells))
    envs = tuple(dict.fromkeys(cell.env for cell in sweep.cells))
    counts: dict[tuple[str, str], Counter[str]] = {}
    runs: dict[str, list[Path]] = {}
    for cell in sweep.cells:
        state = states[cell.name].state
        counts.setdefault((cell.label, cell.env), Counter())[state] += 1
        if state == "done":
            runs.setdefault(cell.label, []).append(sweep.folder_of(cell))
    if baseline and baseline not in labels:
        raise UsageError(f"no contestant of {shown(sweep.path)} is called {baseline!r}. There is {_listed(labels)}.")
    if baseline and baseline not in runs:
        raise UsageError(f"the baseline {baseline!r} has no finished cell yet: choose another one, or wait for it.")
    first = baseline or next((label for label in labels if label in runs), labels[0])
    said = []
    if not baseline and first != labels[0]:
        said.append(f"{labels[0]} has no finished cell: the others are compared with {first}")
    words: dict[tuple[str, str], str] = {}
    for label in labels:
        for env in envs:
            count = counts.get((label, env))
            if count is None:
                words[label, env] = "not planned"
            elif count["done"] < count.total():
                others = ", ".join(f"{count[state]} {state}" for state in STATES if state != "done" and count[state])
                done = f"{count['done']} of {count.total()} cells"
                words[label, env] = done if count["done"] else others
                said.append(f"{label} on {env}: {done} done ({others})")
    planned = [(label, env) for label in labels for env in envs if (label, env) not in counts]
    for env in envs:
        if without := [label for label, other in planned if other == env]:
            has = [label for label in labels if label not in without]
            said.append(f"{env} is planned for {_listed(has)} alone, and not for {_listed(without)}")
    if len(said) > MOST_TOLD:
        said[MOST_TOLD - 1 :] = [f"and {len(said) - MOST_TOLD + 1} more of this kind"]
    order = [first, *(label for label in labels if label != first)]
    return Contest(tuple(order), envs, runs, words, tuple(said))


def judge_contest(
    contest: Contest,
    score: Score = "final",
    references: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    thresholds: Mapping[str, float] = MappingProxyType({}),
    confidence: float = 0.95,
) -> Judged:
    """Compare the contestants by what is finished; what is missing stands among the warnings.

    Args:
        contest: of `contest_of`.
        score, references, thresholds, confidence: as for `rlbench.judge.comparison.compare`.

    Raises:
        UsageError: fewer than two contestants have finished cells on one environment.
    """
    if len(contest.labels) < 2:
        raise UsageError(
            f"all cells of this sweep are of one contestant, {contest.labels[0]!r}: there is nothing to compare. Vary "
            "more than environments and seeds, or look at it: rlbench report SWEEP"
        )
    found = [
        read_contestant(label, readers_of(contest.runs[label])) for label in contest.labels if label in contest.runs
    ]
    return judge_read(contest, found, score, references, thresholds, confidence)


def judge_read(
    contest: Contest,
    found: Sequence[Contestant],
    score: Score = "final",
    references: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    thresholds: Mapping[str, float] = MappingProxyType({}),
    confidence: float = 0.95,
) -> Judged:
    """As `judge_contest`, of contestants that have been read, the baseline first."""
    compared, left_out = _sharing(found)
    if len(compared) < 2:
        done = sum(map(len, contest.runs.values()))
        raise UsageError(
            f"there is nothing to compare in this sweep yet: on no environment have two contestants finished; "
            f"{done} cell{'s are' if done != 1 else ' is'} done."
        )
    common = set.intersection(*(set(one.seeds) for one in compared))
    for name, table in (("reference", references), ("threshold", thresholds)):
        if unknown := [env for env in table if env not in contest.envs]:
            raise UsageError(
                f"a {name} for {unknown[0]!r}, which is not in this sweep. It has {_listed(contest.envs)}."
            )
    comparison = compare_contestants(
        compared,
        score,
        {env: ends for env, ends in references.items() if env in common},
        {env: level for env, level in thresholds.items() if env in common},
        confidence,
    )
    others = _others(found, comparison, score, references, confidence)
    heat = heat_map(
        (*comparison.tables, *others),
        comparison.overall,
        labels=contest.labels,
        envs=contest.envs,
        score=score,
        words=contest.words,
    )
    return Judged(comparison._replace(warnings=(*contest.missing, *left_out, *comparison.warnings)), heat)


def _sharing(found: Sequence[Contestant]) -> tuple[list[Contestant], list[str]]:
    """The contestants that have an environment in common, the first among them, and a sentence for each other one.

    While there is none, the one with the fewest environments goes.
    """
    kept, said = list(found), []
    while len(kept) > 1 and not set.intersection(*(set(one.seeds) for one in kept)):
        goes = min(kept[:0:-1], key=lambda one: (len(set(one.seeds) & set(kept[0].seeds)), len(one.seeds)))
        kept.remove(goes)
        said.append(f"no verdict is about {goes.label}: what it has finished, not all of the others have")
    return kept, said


def _others(
    found: Sequence[Contestant],
    comparison: Comparison,
    score: Score,
    references: Mapping[str, tuple[float, float]],
    confidence: float,
) -> list[EnvTable]:
    """What was reached where not all contestants were, and by those that no verdict is about: for the heat map."""
    known = {table.env: table for table in comparison.tables}
    tables = []
    for env in dict.fromkeys(env for one in found for env in one.seeds):
        given, there = references.get(env), known.get(env)
        here = [one for one in found if env in one.seeds]
        if there and there.reference:
            here = [one for one in here if one.label not in {agent.label for agent in there.agents}]
            low, high, _ = there.reference
            given = (low, high) if low < high else given
        if here:
            tables.append(measure(env, here, score, given=given, confidence=confidence).table)
    return tables


def _listed(names: Sequence[str]) -> str:
    """a, b and c; of many the first."""
    shown_names = [*names[:5], f"{len(names) - 5} more"] if len(names) > 6 else list(names)
    return " and ".join(filter(None, [", ".join(shown_names[:-1]), shown_names[-1]]))
