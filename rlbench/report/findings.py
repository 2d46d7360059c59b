"""What a report is made of: contestants, their run folders in whatever state, and the numbers about them. No HTML."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import RlbenchError, UsageError
from ..judge.comparison import Comparison, compare_contestants
from ..judge.contestants import Contestant, RunPaths, find_contestants, read_contestant
from ..judge.fairness import find_differences, find_warnings
from ..judge.measures import measure
from ..judge.results import EnvTable
from ..runfolder.documents import finite
from ..runfolder.facts import Facts, read_facts, status_of
from ..runfolder.history import History, What, read_runs
from ..runfolder.reader import Reader, no_run, resume_of

CONFIDENCE = 0.95


class Folder(NamedTuple):
    """One run folder. What cannot be read is empty."""

    reader: Reader
    facts: Facts
    status: str

    @property
    def path(self) -> Path:
        return self.reader.folder

    @property
    def recipe(self) -> dict[str, Any]:
        return self.reader.recipe.value

    @property
    def recipe_text(self) -> str:
        return self.reader.recipe_text.value or ""

    @property
    def about(self) -> dict[str, Any]:
        """run.json"""
        return self.reader.about.value

    @property
    def summary(self) -> dict[str, Any]:
        return self.reader.summary.value

    @property
    def agent(self) -> str:
        """As a user would type it: a name, or file.py:Class."""
        return str(self.recipe.get("agent", "?"))


class ContestantRuns(NamedTuple):
    """One agent, by the runs that stand for it."""

    label: str
    folders: tuple[Folder, ...]
    scored: Contestant | None  # None: no seed has a score yet
    histories: dict[What, list[History]]
    problems: tuple[str, ...]  # what could not be read


class Findings(NamedTuple):
    """Everything a report says about numbers."""

    contestants: tuple[ContestantRuns, ...]
    comparison: Comparison | None
    tables: tuple[EnvTable, ...]  # the comparison's, or one per environment without contrasts
    warnings: tuple[str, ...]  # what weakens the verdict, or cannot be told
    notes: tuple[str, ...]

    @property
    def envs(self) -> list[str]:
        """All environments, those with numbers first."""
        known = [table.env for table in self.tables if table.reference]
        named = [f.facts.env for c in self.contestants for f in c.folders if f.facts.env != "?"]
        return list(dict.fromkeys([*known, *named]))

    @property
    def folders(self) -> list[Folder]:
        return [folder for contestant in self.contestants for folder in contestant.folders]


def gather(groups: Mapping[str, RunPaths] | Sequence[RunPaths]) -> Findings:
    """Read all that can be read.

    Args:
        groups: one or more contestants, as for `rlbench.judge.contestants.read_contestants`.

    Raises:
        UsageError: a path that is no folder, or nothing in any of them that a report could show.
    """
    if not groups or isinstance(groups, str):
        raise UsageError("a report needs a run: rlbench report RUN")
    return findings_of([contestant_runs(label, readers) for label, readers in find_contestants(groups).items()])


def findings_of(contestants: Sequence[ContestantRuns], comparison: Comparison | None = None) -> Findings:
    """What there is to say of contestants that have been read.

    Args:
        contestants: one or more.
        comparison: of those that have a score, where it is known already.

    Raises:
        UsageError: there is nothing in any of them that a report could show.
    """
    if not any(c.scored or any(c.histories.values()) for c in contestants):
        why = dict.fromkeys(problem for c in contestants for problem in c.problems)
        raise UsageError(f"nothing to report: {'; '.join(why)}.")
    rated = [c for c in contestants if c.scored]
    warnings = [problem for c in contestants for problem in c.problems]
    if len(contestants) > 1:
        warnings += [f"no verdict is about {c.label}, which has no score" for c in contestants if not c.scored]
    if len(rated) > 1 and comparison is None:
        try:
            comparison = compare_contestants([c.scored for c in rated if c.scored], confidence=CONFIDENCE)
        except UsageError as e:
            warnings.append(f"There is no comparison: {e}")
    found = [c.scored for c in rated if c.scored]
    if comparison:
        tables = (*((comparison.overall,) if comparison.overall else ()), *comparison.tables)
        warnings += [*comparison.differences, *comparison.warnings]
        notes = list(comparison.notes)
    else:
        envs = list(dict.fromkeys(env for group in found for env in group.seeds))
        tables = tuple(measure(env, [g for g in found if env in g.seeds], confidence=CONFIDENCE).table for env in envs)
        if len(found) == 1:
            warnings += find_differences(found, envs)
        warnings += [text for group in found for text in find_warnings([group], list(group.seeds), {}, "final")]
        notes = [note for group in found for note in (*group.mixed, *group.notes)]
        notes += [f"{table.env}: {table.reference.words()}" for table in tables if table.reference]
    unfinished = [_unfinished(folder, c.scored) for c in contestants for folder in c.folders]
    return Findings(
        tuple(contestants),
        comparison,
        tables,
        tuple(dict.fromkeys([*filter(None, unfinished), *warnings])),
        tuple(dict.fromkeys(notes)),
    )


def of_seed(folder: Folder, key: str, seed: int) -> float | None:
    """A seed's number in a table of summary.json."""
    table = folder.summary.get(key)
    return finite(table.get(str(seed))) if isinstance(table, dict) else None


def threshold(groups: Sequence[Contestant], env: str) -> float | None:
    """The return that counts as solved, as the runs recorded it."""
    return next((run.solved_at for g in groups for run in g.runs_on(env) if run.solved_at is not None), None)


def contestant_runs(label: str, readers: Sequence[Reader]) -> ContestantRuns:
    """All that can be read of one contestant."""
    problems: list[str] = []
    group = None
    try:
        group = read_contestant(label, readers)
    except RlbenchError as e:
        problems.append(_sentence(str(e).removeprefix(f"nothing to compare of {label}: ")))
    histories: dict[What, list[History]] = {}
    for what in ("returns", "evaluations"):
        histories[what] = []
        with contextlib.suppress(RlbenchError):  # there is nothing of the kind, or what is wrong is told below
            histories[what], _ = read_runs(readers, what)
    folders = tuple(map(_folder, readers))
    for reader in readers:
        problems += reader.problems
        reader.forget_tables()
    return ContestantRuns(label, folders, group, histories, tuple(dict.fromkeys(problems)))


def _folder(reader: Reader) -> Folder:
    """Comes after whatever reads the tables: of one that was read there is no need to look for the end."""
    facts = read_facts(reader)
    return Folder(reader, facts, status_of(reader, facts) if reader.recipe_text.value is not None else "no run")


def _sentence(text: str) -> str:
    """Without "left out: " and the full stop, to stand in a list."""
    return text.removeprefix("left out: ").rstrip(".")


def _unfinished(folder: Folder, group: Contestant | None) -> str:
    """What the state of a run means for its numbers; nothing where it came to its end, and of damage, told besides."""
    path, facts = folder.path, folder.facts
    scored = group is not None and any(run.path == path for run in group.runs)
    newest = "its scores are of its newest evaluations" if scored else "it has no score yet"
    where = f"at env step {facts.steps:,} of {facts.budget:,}: {newest}"
    go_on = f"Go on: {resume_of(folder.reader)}"
    return {
        "running": f"{path} is still training, {where}",
        "interrupted": f"{path} was interrupted {where}. {go_on}",
        "crashed": f"{path} broke off {where}. {go_on}",
        "no run": _sentence(no_run(path)),
    }.get(folder.status, "")
