"""Whether a run folder is what it says: episodes run again, journal beside episodes.csv, every checkpoint opened."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from ..errors import CheckpointError, EnvError, first_line
from ..runfolder import checkpoint_file, journal
from ..runfolder.journal import Entry
from ..runfolder.layout import FAULTS, under_way, worker_folders
from .episodes import Recording
from .rerun import lead_in, states, title

#: The files that `checkpoint_file.save` writes, from a run folder or a worker's; those of a save that was cut off begin
#: with a dot.
FILES = ("checkpoint.pth", "best.pth", "replay*.pth", "checkpoints/*/[!.]*.pth", f"{FAULTS}/[!.]*.pth")
FEW = 200  # episodes of a seed; of more, as many are run again unless all are asked for

Row = tuple[int, int, int, int, float]  # env, episode, env_steps, length, return
Rows = dict[int, list[Row]]  # of episodes.csv, by seed


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


def read_tables(folder: Path) -> tuple[Rows, list[str]]:
    """The rows of episodes.csv by seed, and what is wrong with the file. A last line cut short by a crash is passed
    over."""
    rows: Rows = {}
    problems = []
    for place in under_way(folder) or [folder]:
        path = place / "episodes.csv"
        try:
            text = path.read_bytes().decode("utf-8", errors="replace")
        except OSError as e:
            problems.append(f"cannot read {path}: {e.strerror}")
            continue
        lines = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        try:
            for line in lines:
                env, episode, steps, length = (
                    int(line[key]) for key in ("env", "episode", "env_steps", "episode_length")
                )
                row = env, episode, steps, length, float(line["episode_return"])
                rows.setdefault(int(line["seed"]), []).append(row)
        except (ValueError, TypeError, KeyError, csv.Error) as e:
            what = f"there is no column {e}" if isinstance(e, KeyError) else str(e)
            problems.append(f"{path} is damaged at line {lines.line_num}: {what}")
    return rows, problems


def check_seeds(
    recording: Recording, seeds: Sequence[int], rows: Rows | None, most: int | None = FEW
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
                entries.extend(journal.entries(recording.journals[seed]) if seed in recording.journals else [])
            except CheckpointError as e:  # the episodes before the damage are there
                damaged = str(e)
            chosen = spread(entries, most)
            known = {(entry.env, entry.episode): entry for entry in entries}
            wrong, led = [], 0
            for entry in chosen:
                text = _replayed(recording, env, entry)
                if text:  # it may keep something over a reset
                    with closing(recording.maker()) as fresh:
                        lead_in(fresh, known.get((entry.env, entry.episode - 1)))
                        again = _replayed(recording, fresh, entry)
                    text, led = again and text, led + (not again)
                wrong += [text] * bool(text)
            if rows is not None and not damaged:
                table, differences = _compared(seed, [_row(entry) for entry in entries], rows.get(seed, []), ended)
            problems = [damaged] * bool(damaged) + wrong + differences
            yield SeedReport(seed, len(entries), len(chosen), len(chosen) - len(wrong), table, problems, led)
    finally:
        env.close()


def check_records(folder: Path) -> list[str]:
    """What is wrong with the other files of a run: its summary, its tables, and checkpoints that are not there."""
    problems = []
    places = [folder, *worker_folders(folder)]
    for place in places:
        path = place / "summary.json"
        try:
            if path.exists() and not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
                problems.append(f"{path} is damaged: it is no table")
        except (OSError, ValueError, RecursionError) as e:
            problems.append(f"{path} is damaged: {first_line(e)}")
        for name in ("evaluations.csv", "updates.csv"):
            problems += _check_numbers(place / name)
    ended = (folder / "summary.json").exists()
    return problems + [f"there is no {place / 'checkpoint.pth'}" for place in places if ended and not _saved(place)]


def _saved(place: Path) -> bool:
    return (place / "checkpoint.pth").exists()


def _check_numbers(path: Path) -> list[str]:
    """What is wrong with a table that holds nothing but numbers; a last line cut short by a crash is passed over."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace") if path.exists() else ""
    except OSError as e:
        return [f"cannot read {path}: {e.strerror}"]
    lines = text[: text.rfind("\n") + 1].splitlines()
    width = lines[0].count(",") if lines else 0
    for number, line in enumerate(lines[1:], 2):
        try:
            if line.count(",") != width:
                raise ValueError(f"{line.count(',') + 1} columns where the first line has {width + 1}")
            for field in filter(None, line.split(",")):
                float(field)
        except ValueError as e:
            return [f"{path} is damaged at line {number}: {e}"]
    return []


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


def spread(entries: Sequence[Entry], most: int | None) -> list[Entry]:
    """At most ``most`` of them, evenly spread, the first and the last among them."""
    if most is None or len(entries) <= most:
        return list(entries)
    return [entries[i] for i in np.linspace(0, len(entries) - 1, most).round().astype(int)]


def _replayed(recording: Recording, env: gym.Env, entry: Entry) -> str:
    """What is wrong with an episode that is run again."""
    try:
        *_, end = states(env, entry)
    except EnvError as e:
        return str(e)
    wrong = journal.difference(entry, end)
    return f"episode {title(recording, entry)} gave {wrong}" if wrong else ""


def _row(entry: Entry) -> Row:
    total = float(f"{entry.episode_return:.10g}")  # as episodes.csv has it
    return entry.env, entry.episode, entry.env_steps, entry.episode_length, total


def _compared(seed: int, told: list[Row], rows: list[Row], ended: bool) -> tuple[str, list[str]]:
    """How episodes.csv compares with the journal, in a few words, and the differences that are none of a cut-off run.

    The two are written one after the other: a run that is under way, or was killed, may have brought more of one to the
    disk than of the other.
    """
    if told == rows:
        return "same", []
    shared = min(len(told), len(rows))
    if not ended and told[:shared] == rows[:shared]:
        return f"{abs(len(rows) - len(told))} {'ahead' if len(rows) > len(told) else 'behind'}", []
    missing, extra = Counter(rows) - Counter(told), Counter(told) - Counter(rows)
    names = {row[:2]: "both, and differs" for row in (*missing, *extra)}
    names |= {row[:2]: "episodes.csv alone" for row in missing if row[:2] not in {r[:2] for r in told}}
    names |= {row[:2]: "the journal alone" for row in extra if row[:2] not in {r[:2] for r in rows}}
    if not names:
        return "differs", [f"seed {seed}: journal and episodes.csv have the same episodes in another order"]
    return "differs", [
        f"episode {number} of environment copy {env} of seed {seed} is in {where}"
        for (env, number), where in sorted(names.items())
    ]
