"""Which runs are one contestant: from what was typed to the seeds of each agent on each environment."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import RlbenchError, UsageError
from ..runfolder.layout import WORKERS
from ..runfolder.pooling import TrainedSeed, count_once, note_of
from ..runfolder.reader import Reader, no_run, readers_of
from .evidence import RunEvidence, SeedEvidence, read_run, trained_seed

RunPaths = str | Path | Sequence[str | Path]


class Contestant(NamedTuple):
    """One contestant: the same agent on one or several environments."""

    label: str
    runs: tuple[RunEvidence, ...]
    seeds: dict[str, tuple[SeedEvidence, ...]]  # environment -> its seeds, of all runs, each once (see `pooling`)
    notes: tuple[str, ...]
    mixed: tuple[str, ...] = ()  # environments on which it is more than one agent, in words

    def runs_on(self, env: str) -> list[RunEvidence]:
        """The runs whose seeds count; one that only repeats seeds of others has no say in conditions and horizon."""
        counting = {seed.run for seed in self.seeds.get(env, ())}
        return [run for run in self.runs if run.env == env and run.path in counting]

    def trained_on(self, env: str) -> list[TrainedSeed]:
        """The seeds that count, for `rlbench.runfolder.pooling`."""
        by_path = {run.path: run for run in self.runs if run.env == env}
        return [trained_seed(by_path[seed.run], seed) for seed in self.seeds.get(env, ())]


def read_contestants(specs: Mapping[str, RunPaths] | Sequence[RunPaths]) -> list[Contestant]:
    """Find and read the runs of every contestant.

    Args:
        specs: one per contestant: a run folder, a folder that holds run folders, a glob pattern, several of these
            joined with commas or in a list; with ``NAME=`` in front, or as values of a mapping, to name it.

    Raises:
        UsageError: a path that is nothing of the kind, a name given twice, or a contestant without usable seeds.
    """
    return [read_contestant(label, readers) for label, readers in find_contestants(specs).items()]


def find_contestants(specs: Mapping[str, RunPaths] | Sequence[RunPaths]) -> dict[str, list[Reader]]:
    """The run folders of every contestant, by its name, unread; one that several name has one reader.

    Args and errors as for `read_contestants`.
    """
    given: list[tuple[str | None, list[Path]]] = []
    if isinstance(specs, Mapping):
        given = [(label, _paths(spec)) for label, spec in specs.items()]
    else:
        for spec in specs:
            label, rest = _split_label(spec)
            given.append((label, _paths(rest)))
    readers = {reader.folder.resolve(): reader for reader in readers_of([path for _, paths in given for path in paths])}
    found = ([readers[path.resolve()] for path in paths] for _, paths in given)
    return dict(zip(_labels(given), found, strict=True))


def _split_label(spec: RunPaths) -> tuple[str | None, RunPaths]:
    if not isinstance(spec, str) or "=" not in spec or Path(spec).exists():
        return None, spec
    label, _, rest = spec.partition("=")
    if not label.strip() or not rest.strip():
        raise UsageError(f"{spec!r} is not of the form NAME=RUN[,RUN...].")
    return label.strip(), rest


def _paths(spec: RunPaths) -> list[Path]:
    """The run folders meant by ``spec``, each once."""
    if isinstance(spec, str):
        parts: list[str | Path] = [spec] if Path(spec).exists() else [part for part in spec.split(",") if part.strip()]
    else:
        parts = [spec] if isinstance(spec, Path) else list(spec)
    found = [path for part in parts for path in _runs_in(str(part).strip())]
    if not found:
        raise UsageError("an agent without a run folder: give RUN, RUN,RUN or NAME=RUN,RUN.")
    return list({path.resolve(): path for path in found}.values())


def _runs_in(part: str) -> list[Path]:
    path = Path(part)
    if (path / "recipe.toml").is_file():
        return [path]
    if path.is_dir():
        inside = [file.parent for depth in ("*", "*/*", "*/*/*") for file in path.glob(f"{depth}/recipe.toml")]
        runs = sorted(run for run in inside if WORKERS not in run.relative_to(path).parts)
        return runs or [path]  # an empty or damaged run folder: reading it says so
    if glob.has_magic(part):
        matches = [Path(match) for match in sorted(glob.glob(part)) if Path(match).is_dir()]
        if not matches:
            raise UsageError(f"no folder matches {part}. Runs lie under runs/.")
        return [run for match in matches for run in _runs_in(str(match))]
    raise UsageError(no_run(path))


def _labels(given: list[tuple[str | None, list[Path]]]) -> list[str]:
    """One name per contestant, all different: the given one, or the shortest end of its first path that does."""
    if twice := [label for i, (label, _) in enumerate(given) if label and label in [other for other, _ in given[:i]]]:
        raise UsageError(f"the name {twice[0]!r} was given twice.")
    longest = max((len(paths[0].parts) for _, paths in given), default=1)
    for depth in (*range(1, longest + 1), 1):
        labels = [label or _short(paths, depth) for label, paths in given]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{label} ({i})" if labels.count(label) > 1 else label for i, label in enumerate(labels, 1)]


def _short(paths: list[Path], depth: int) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return str(Path(*paths[0].parts[-depth:])) + more


def read_contestant(label: str, readers: Sequence[Reader]) -> Contestant:
    """Read the runs of one contestant. Raises UsageError where none of them has usable seeds."""
    runs, notes, mixed, unusable = [], list[str](), list[str](), []
    for reader in readers:
        try:
            run = read_run(reader)
        except RlbenchError as e:
            unusable.append(f"{str(e).rstrip('.')}")
            notes.append(f"{label}: {str(e).rstrip('.')}: left out")
        else:
            runs.append(run)
            notes += [f"{label}: {problem}" for problem in run.damage]
            notes += [f"{label}: {reader.folder}: {note}" for note in run.notes]
    if not runs:
        raise UsageError(f"nothing to compare of {label}: {'; '.join(unusable)}.")
    seeds: dict[str, tuple[SeedEvidence, ...]] = {}
    for env in dict.fromkeys(run.env for run in runs):
        here = [run for run in runs if run.env == env]
        every = [(run, seed) for run in here for seed in run.seeds]
        known = [trained_seed(run, seed) for run, seed in every]
        kept, repeats = count_once(known)
        seeds[env] = tuple(every[i][1] for i in kept)
        notes += [f"{label}: {env}: {note}"] if (note := note_of(known, repeats)) else []
        mixed += _mixed(label, env, [run for run in here if any(every[i][0] is run for i in kept)])
    return Contestant(label, tuple(runs), seeds, tuple(notes), tuple(mixed))


def _mixed(label: str, env: str, runs: list[RunEvidence]) -> list[str]:
    """A note where one contestant is more than one agent on an environment."""
    if len(agents := sorted({run.agent for run in runs})) > 1:
        return [f"{label}: {env}: pools different agents ({', '.join(agents)})"]
    keys = sorted({key for run in runs for key in run.settings})
    differing = [key for key in keys if len({run.settings.get(key) for run in runs}) > 1]
    return [f"{label}: {env}: pools different settings ({', '.join(differing)})"] if differing else []
