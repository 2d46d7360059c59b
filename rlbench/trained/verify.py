"""Whether a run folder is what it says: episodes run again, journal beside episodes.csv, every checkpoint opened."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

import gymnasium as gym
import numpy as np

from ..errors import CheckpointError, EnvError
from ..runfolder import checkpoint_file, journal
from ..runfolder.journal import Entry, Moment
from ..runfolder.layout import DEBUG, FAULTS, worker_folders
from ..runfolder.reader import Reader
from ..runfolder.tables import Columns, Table
from ..worlds.lawful import outcomes
from ..worlds.world import World
from .recording import Recording
from .rerun import lead_in, states, title

#: The files that `checkpoint_file.save` writes, from a run folder or a worker's; those of a save that was cut off begin
#: with a dot.
FILES = ("checkpoint.pth", "best.pth", "replay*.pth", "checkpoints/*/[!.]*.pth", f"{FAULTS}/[!.]*.pth")
FEW = 200  # episodes of a seed; of more, as many are run again unless all are asked for

EpisodeRow = tuple[int, int, int, int, float]  # env, episode, env_steps, length, return
T = TypeVar("T")


class SeedReport(NamedTuple):
    """What was found out about a seed.

    ``table`` is how episodes.csv compares with its journal, in a few words; ``led`` counts the episodes that agree only
    after the one before them, as the environment keeps something over a reset.
    """

    seed: int
    episodes: int
    replayed: int
    agree: int
    table: str
    problems: list[str]
    led: int = 0


def read_tables(reader: Reader) -> tuple[Table, list[str]]:
    """The rows of episodes.csv by seed, and what is wrong with the file."""
    paths = [place / "episodes.csv" for place in reader.places]
    problems = [f"there is no {reader.called(path)}" for path in paths if not path.exists()]
    reads = [reader.table_at(path.parent, path.name) for path in paths]
    rows = {seed: columns for read in reads for seed, columns in read.value.items()}
    return rows, problems + [read.problem for read in reads if read.problem]


def check_seeds(
    recording: Recording, seeds: Sequence[int], rows: Table | None, most: int | None = FEW
) -> Iterator[SeedReport]:
    """Run recorded episodes again, and compare the journal with episodes.csv.

    Args:
        recording: of the run.
        seeds: which.
        rows: from `read_tables`; None where they cannot be compared.
        most: episodes per seed that are run again, spread evenly, the first and the last among them; None: all.
    """
    ended = (recording.folder / "summary.json").exists()
    env = recording.maker()
    try:
        for seed in seeds:
            entries: list[Entry] = []
            damaged, differences, table = "", list[str](), "not compared"
            try:
                entries.extend(recording.journals[seed].entries() if seed in recording.journals else [])
            except CheckpointError as e:  # the episodes before the damage are there
                damaged = str(e)
            chosen = spread(entries, most)
            known = {(entry.env, entry.episode): entry for entry in entries}
            wrong, led = [], 0
            texts = [] if recording.world is None else _by_law(recording, recording.world, chosen)
            for k, entry in enumerate(chosen):
                text = texts[k] if texts else _replayed(recording, env, entry)
                if text:  # it may keep something over a reset
                    with closing(recording.maker()) as fresh:
                        lead_in(fresh, known.get((entry.env, entry.episode - 1)))
                        again = _replayed(recording, fresh, entry)
                    text, led = again and text, led + (not again)
                wrong += [text] * bool(text)
            if rows is not None and not damaged:
                recorded = [_row(entry) for entry in entries]
                table, differences = _compared(seed, recorded, _rows(rows.get(seed, {})), ended)
            problems = [damaged] * bool(damaged) + wrong + differences
            if seed in recording.journals:
                recording.journals[seed].close()
            yield SeedReport(seed, len(entries), len(chosen), len(chosen) - len(wrong), table, problems, led)
    finally:
        env.close()


def check_records(reader: Reader) -> list[str]:
    """What is wrong with the other files of a run: its summary, its tables, and checkpoints that are not there."""
    places = [reader.folder, *worker_folders(reader.folder)]
    readers = [reader if place == reader.folder else Reader(place) for place in places]
    problems = [read.problem for one in readers for read in (one.about, one.summary)]
    names = ("evaluations.csv", "updates.csv", DEBUG)
    tables = [reader.table_at(place, name) for place in places for name in names]
    problems += [table.problem for table in tables]
    ended = (reader.folder / "summary.json").exists()
    missing = [place / "checkpoint.pth" for place in places if ended and not (place / "checkpoint.pth").exists()]
    return [*filter(None, problems), *(f"there is no {reader.called(path)}" for path in missing)]


def check_files(folder: Path) -> tuple[int, int, list[str]]:
    """Open every checkpoint, replay buffer and fault dump of a run, each as what it is.

    Files that somebody else put there are left alone.

    Returns:
        (how many there are, how many of them are dumps, what is wrong with them).
    """
    places = [folder, *worker_folders(folder)]
    paths = sorted(path for place in places for pattern in FILES for path in place.glob(pattern))
    problems = []
    for path in paths:
        try:
            checkpoint_file.load(path, _kind(path))
        except CheckpointError as e:
            if path.exists():  # a run under way replaces them
                problems.append(str(e))
    return len(paths), sum(_kind(path) == "dump" for path in paths), problems


def _kind(path: Path) -> str:
    if path.parent.name == FAULTS:
        return "dump"
    return "replay" if path.name.startswith("replay") else "checkpoint"


def spread(items: Sequence[T], most: int | None) -> list[T]:
    """At most ``most`` of them, evenly spread, the first and the last among them."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _replayed(recording: Recording, env: gym.Env, entry: Entry) -> str:
    """What is wrong with an episode that is run again."""
    try:
        *_, end = states(env, entry)
    except EnvError as e:
        return str(e)
    wrong = journal.difference(entry, end)
    return f"episode {title(recording, entry)} gave {wrong}" if wrong else ""


def _by_law(recording: Recording, world: World, chosen: Sequence[Entry]) -> list[str]:
    """Likewise of several, all at once, by what stepped them."""
    came = outcomes(world, [entry.reset_seed for entry in chosen], [journal.actions(entry) for entry in chosen])
    ends = [Moment(*one, True) for one in came]
    wrong = [journal.difference(entry, end) for entry, end in zip(chosen, ends, strict=True)]
    return [
        f"episode {title(recording, entry)} gave {text}" if text else ""
        for entry, text in zip(chosen, wrong, strict=True)
    ]


def _row(entry: Entry) -> EpisodeRow:
    total = float(f"{entry.episode_return:.10g}")  # as episodes.csv has it
    return entry.env, entry.episode, entry.env_steps, entry.episode_length, total


def _rows(columns: Columns) -> list[EpisodeRow]:
    names = ("env", "episode", "env_steps", "episode_length", "episode_return")
    return list(zip(*(columns[name] for name in names), strict=True)) if columns else []


def _compared(seed: int, recorded: list[EpisodeRow], rows: list[EpisodeRow], ended: bool) -> tuple[str, list[str]]:
    """How episodes.csv compares with the journal, in a few words, and the differences that are none of a cut-off run.

    The two are written one after the other: a run that is under way, or was killed, may have brought more of one to the
    disk than of the other.
    """
    if recorded == rows:
        return "same", []
    shared = min(len(recorded), len(rows))
    if not ended and recorded[:shared] == rows[:shared]:
        return f"{abs(len(rows) - len(recorded))} {'ahead' if len(rows) > len(recorded) else 'behind'}", []
    missing, extra = Counter(rows) - Counter(recorded), Counter(recorded) - Counter(rows)
    names = {row[:2]: "both, and differs" for row in (*missing, *extra)}
    names |= {row[:2]: "episodes.csv alone" for row in missing if row[:2] not in {r[:2] for r in recorded}}
    names |= {row[:2]: "the journal alone" for row in extra if row[:2] not in {r[:2] for r in rows}}
    if not names:
        return "differs", [f"seed {seed}: journal and episodes.csv have the same episodes in another order"]
    return "differs", [
        f"episode {number} of environment copy {env} of seed {seed} is in {where}"
        for (env, number), where in sorted(names.items())
    ]
