"""All runs under a folder, quickly: an index in SQLite that can be rebuilt from the folders at any time.

The run folders are the record. A row of the index holds what was read of one of them, under the sizes and times of its
files; where these have changed, or the row is missing or damaged, the folder is read again. Whatever is wrong with the
index file, the answer is the same, only later.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError
from ..process.places import shown
from .documents import finite
from .facts import FILES, Facts, read_facts, status_of
from .layout import worker_folders
from .reader import Reader

NAME = ".rlbench-index.sqlite"
VERSION = 3  # of the rows: an index of another one is made anew
PATIENCE = 2.0  # seconds for another process to end its writing; after that we do without
_INNER = frozenset({"workers", "tb", "journal", "checkpoints"})  # of a run folder: no other run lies in there

_TABLE = "CREATE TABLE runs (path BLOB PRIMARY KEY, state TEXT, facts TEXT, crc INTEGER)"

_Rows = dict[str, tuple[str, Facts]]  # path from the root -> (state of the files, what was read of them)


class Found(NamedTuple):
    """One run."""

    path: Path  # the root as it was given, and on from there
    facts: Facts
    status: str  # running, finished, interrupted, crashed or damaged


def find_runs(root: Path | str, *, rebuild: bool = False) -> list[Found]:
    """All runs under a folder, at any depth, in the order of their paths.

    Args:
        root: a folder of runs, or a run folder itself.
        rebuild: read every run folder anew.

    Raises:
        UsageError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(
            f"there is no folder {shown(root)}. Name one that holds runs, or train one: rlbench train --env CartPole-v1"
        )
    place = None if (root / "recipe.toml").exists() else index_place(root)
    if place is not None and place.is_symlink():  # to a file that is not ours to write to
        place = None
    if place is not None and rebuild:
        _remove(place)
    known = _load(place) if place is not None else {}
    rows: _Rows = {}
    for name, state in _scan(root):
        row = known.get(name)
        rows[name] = row if row is not None and row[0] == state else (state, read_facts(_reader(root / name)))
    changed = {name: row for name, row in rows.items() if known.get(name) is not row}
    gone = known.keys() - rows.keys()
    if place is not None and (changed or gone):
        _store(place, changed, gone)
    return [Found(root / name, rows[name][1], status_of(_reader(root / name), rows[name][1])) for name in sorted(rows)]


def _reader(run: Path) -> Reader:
    """Files by their names alone, as the index outlasts the folder that the user stands in."""
    return Reader(run, "")


def index_place(root: Path) -> Path:
    """Where the index of a folder lies: in it, or in the user's cache where it cannot be written."""
    if os.access(root, os.W_OK):
        return root / NAME
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlbench"
    return cache / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.sqlite"


def _scan(root: Path) -> Iterator[tuple[str, str]]:
    """Every run folder as its path from ``root``, with the state of its files. Links to folders are not followed."""
    pending = [""]
    while pending:
        name = pending.pop()
        try:
            with os.scandir(os.path.join(root, name)) as entries:
                found = {entry.name: entry for entry in entries}
            is_run = "recipe.toml" in found
            if is_run:
                state = [_state(file, found[file].stat()) for file in FILES if file in found]
                if "summary.json" not in found:
                    for place in worker_folders(root / name):
                        paths = [place / file for file in FILES[3:]]
                        state += [_state(f"{place.name}/{path.name}", path.stat()) for path in paths if path.exists()]
                yield name or ".", " ".join(state)
            for entry in found.values():
                if entry.is_dir(follow_symlinks=False) and not (is_run and entry.name in _INNER):
                    pending.append(os.path.join(name, entry.name))
        except OSError:  # gone meanwhile, or not ours to read
            continue


def _state(name: str, stat: os.stat_result) -> str:
    return f"{name}:{stat.st_mtime_ns}:{stat.st_size}"


@contextlib.contextmanager
def _opened(place: Path) -> Iterator[sqlite3.Connection]:
    """The index, made if it is not there. Raises sqlite3.DatabaseError where it is none of ours, or damaged."""
    with contextlib.closing(sqlite3.connect(place, timeout=PATIENCE, isolation_level=None)) as index:
        # No journal file, which could outlive the index it belongs to. A crash while writing may damage the index.
        index.execute("PRAGMA journal_mode = MEMORY")
        index.execute("PRAGMA synchronous = OFF")
        if not _form(index):
            index.execute("BEGIN IMMEDIATE")
            if not _form(index):  # of two that find nothing, one makes it
                index.execute(_TABLE)
                index.execute(f"PRAGMA user_version = {VERSION}")
            index.execute("COMMIT")
        if _form(index) != [(VERSION, _TABLE)]:  # a view or a trigger of somebody else's could go on for ever
            raise sqlite3.DatabaseError("no index of this version")
        yield index


def _form(index: sqlite3.Connection) -> list[tuple[int, str]]:
    """What there is in the database: the version, and the statement that made it."""
    (version,) = index.execute("PRAGMA user_version").fetchone()
    return [(version, sql) for (sql,) in index.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]


def _load(place: Path) -> _Rows:
    """The rows that are whole. An index that is damaged is removed."""
    rows: _Rows = {}
    if not place.exists():
        return rows
    try:
        with _opened(place) as index:
            for path, state, facts, crc in index.execute("SELECT path, state, facts, crc FROM runs"):
                if crc == _crc(path, state, facts):
                    rows[os.fsdecode(path)] = state, _facts(facts)
    except sqlite3.OperationalError:  # another process is writing
        pass
    except (sqlite3.DatabaseError, AttributeError, TypeError, ValueError, RecursionError):
        _remove(place)
    return rows


def _store(place: Path, changed: _Rows, gone: set[str]) -> None:
    """Write rows; without success where the disk is full or another process writes for long, which costs only time."""
    made = [
        (path, state, facts, _crc(path, state, facts))
        for path, state, facts in (
            (os.fsencode(name), state, json.dumps(list(facts))) for name, (state, facts) in changed.items()
        )
    ]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _opened(place) as index:
            index.execute("BEGIN IMMEDIATE")
            index.executemany("DELETE FROM runs WHERE path = ?", [(os.fsencode(name),) for name in gone])
            index.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", made)
            index.execute("COMMIT")
    except sqlite3.OperationalError:
        pass
    except sqlite3.DatabaseError:
        _remove(place)
    except OSError:
        pass


def _facts(text: str) -> Facts:
    """Raises TypeError or ValueError where it is none of ours."""
    facts = Facts(*json.loads(text))
    texts = (facts.env, facts.agent, facts.stopped, facts.damage)
    counts = (facts.seeds, facts.steps, facts.budget)
    others = (facts.seconds, facts.score, facts.best, facts.started, facts.episodes)
    if not (
        all(isinstance(text, str) for text in texts)
        and all(type(n) is int for n in counts)
        and all(x is None or finite(x) is not None for x in others)
    ):
        raise ValueError("no row of ours")
    return facts


def _crc(path: bytes, state: str, facts: str) -> int:
    return zlib.crc32(b"\0".join((path, state.encode("utf-8", "surrogateescape"), facts.encode())))


def _remove(place: Path) -> None:
    with contextlib.suppress(OSError):
        place.unlink(missing_ok=True)
