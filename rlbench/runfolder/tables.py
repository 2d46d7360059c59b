"""episodes.csv, evaluations.csv, updates.csv and debug.csv: their columns, and the one parser of their lines.

It reads whole tables, the last row alone, or line by line what another process appends. A table is sound up to its
first damaged line; a last line without its newline is still being written, or was cut short by a crash, and does not
count. Cheap to import: no NumPy, to which a column is an array all the same (`numpy.asarray` copies nothing).
"""

import contextlib
import heapq
import math
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import RunFolderError
from ..files import replacing
from .documents import Read, unreadable

_WHOLE, _REAL = "q", "d"  # typecodes of an `array`

#: Column -> what its values are; all must be there.
COLUMNS: dict[str, dict[str, str]] = {
    "episodes.csv": {
        "seed": _WHOLE, "env": _WHOLE, "episode": _WHOLE, "env_steps": _WHOLE, "episode_return": _REAL,
        "episode_length": _WHOLE, "wall_seconds": _REAL,
    },
    "evaluations.csv": {
        "seed": _WHOLE, "env_steps": _WHOLE, "episodes": _WHOLE, "mean_return": _REAL, "std_return": _REAL,
        "min_return": _REAL, "max_return": _REAL, "mean_length": _REAL, "wall_seconds": _REAL,
    },
    "updates.csv": {"seed": _WHOLE, "env_steps": _WHOLE, "updates": _WHOLE},
    "debug.csv": {"seed": _WHOLE, "env_steps": _WHOLE, "updates": _WHOLE},
}  # fmt: skip
_METRICS = ("updates.csv", "debug.csv")  # have columns besides: numbers that need not be finite, or nothing
_TAIL = 4096  # bytes; far more than a line

Columns = dict[str, "array[Any]"]  # of one seed, in the order of the file
Table = dict[int, Columns]  # by seed
Row = dict[str, Any]


class Damaged(Exception):
    """A line is not what it should be; the text says why."""


class Lines:
    """Makes rows of the lines of one table, from its header on.

    Args:
        table: the file's name.
    """

    def __init__(self, table: str) -> None:
        self.count = 0  # lines so far
        self.names: tuple[str, ...] = ()  # of a row's values, once the header is known
        self._known, self._metrics = COLUMNS[table], table in _METRICS
        self._width = 0
        self._parsers: list[tuple[int, Callable[[str], Any]]] = []
        self._checked: list[tuple[int, bool]] = []  # positions among the values, and whether they are whole numbers
        self._steps: dict[int, int] = {}  # of each seed's newest row

    def row(self, line: bytes) -> list[Any]:
        """The values of a line, in the order of ``names``; none of the header.

        Raises:
            Damaged: it is no row of the table.
        """
        self.count += 1
        fields = line.decode("utf-8", errors="replace").rstrip("\r\n").split(",")
        if self.count == 1:
            self._begin(fields)
            return []
        if len(fields) != self._width:
            raise Damaged(f"{len(fields)} fields instead of {self._width}")
        try:
            row = [parse(fields[i]) for i, parse in self._parsers]
        except ValueError as e:
            raise Damaged(str(e)) from None
        for i, whole in self._checked:
            value = row[i]
            if not (0 <= value < 2**63 if whole else math.isfinite(value)):
                raise Damaged(f"{self.names[i]} is {value}" if whole else "a number that is not finite")
        seed, steps = row[0], row[1]
        if steps < self._steps.get(seed, 0):
            raise Damaged(f"env_steps of seed {seed} goes back")
        self._steps[seed] = steps
        return row

    def _begin(self, header: list[str]) -> None:
        if missing := [name for name in self._known if name not in header]:
            raise Damaged(f"there is no column {missing[0]!r}")
        first = ("seed", "env_steps")
        kinds = {name: self._known[name] for name in (*first, *(name for name in self._known if name not in first))}
        if self._metrics:
            kinds |= {name: "" for name in header if name not in kinds}
        self.names, self._width = tuple(kinds), len(header)
        parsers: dict[str, Callable[[str], Any]] = {_WHOLE: int, _REAL: float, "": _metric}
        self._parsers = [(header.index(name), parsers[kind]) for name, kind in kinds.items()]
        self._checked = [(i, kind == _WHOLE) for i, kind in enumerate(kinds.values()) if kind]


def _metric(text: str) -> float:
    return float(text) if text else math.nan


def damage(name: str, line: int | str, why: object) -> str:
    """The problem of a table that is called ``name``."""
    return f"{name} is damaged at line {line}: {why}"


def read_table(path: Path, name: str) -> Read[Table]:
    """The rows of a table up to its first damaged line, by seed; ``name`` is what the file is called."""
    lines, table = Lines(path.name), Table()
    kinds = COLUMNS[path.name]
    appends: dict[int, list[Callable[[Any], None]]] = {}
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                row = lines.row(line)
                if not row:
                    continue
                if (into := appends.get(row[0])) is None:
                    columns = table[row[0]] = {name: array(kinds.get(name, _REAL)) for name in lines.names}
                    into = appends[row[0]] = [column.append for column in columns.values()]
                for append, value in zip(into, row, strict=True):
                    append(value)
    except FileNotFoundError:
        return Read({})
    except OSError as e:
        return Read(table, unreadable(name, e))
    except Damaged as e:
        return Read(table, damage(name, lines.count, e))
    return Read(table)


def read_last(path: Path, name: str) -> Read[Row]:
    """The last row of a table, quickly, whatever is before it; nothing where there is none yet."""
    lines = Lines(path.name)
    try:
        with path.open("rb") as file:
            header = file.readline()
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, len(header)))
            rows = file.read().split(b"\n")[:-1]
        if not header.endswith(b"\n"):
            return Read({})
        lines.row(header)
        return Read(dict(zip(lines.names, lines.row(rows[-1]), strict=True)) if rows else {})
    except FileNotFoundError:
        return Read({})
    except OSError as e:
        return Read({}, unreadable(name, e))
    except Damaged as e:
        return Read({}, damage(name, 1, e) if lines.count == 1 else f"{name} is damaged at its last line: {e}")


class Restarted(Exception):
    """The file was cut back, as a resumed run does it: what was read before may not be true any more."""


class Tail:
    """Reads what has come to a table since the last time.

    Args:
        path: need not be there yet.
        name: what the file is called.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.lines = Lines(path.name)
        self._at = 0
        self._last = b""  # the line that ends at ``_at``

    def read(self) -> Iterator[Row]:
        """The new rows. A last line without its newline is left for the next time.

        Raises:
            Restarted: what was read is not there any more.
            RunFolderError: the file is damaged, or cannot be read; names the line.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._at - len(self._last))
                if file.read(len(self._last)) != self._last:
                    raise Restarted
                for line in file:  # one by one: a long run has millions
                    if not line.endswith(b"\n"):
                        return
                    self._at, self._last = self._at + len(line), line
                    if row := self.lines.row(line):
                        yield dict(zip(self.lines.names, row, strict=True))
        except FileNotFoundError:
            if self._at:
                raise Restarted from None
        except OSError as e:
            raise RunFolderError(f"{unreadable(self.name, e)}.") from e
        except Damaged as e:
            raise self.damaged(e) from e

    def damaged(self, why: object) -> RunFolderError:
        """The error for the line that was read last."""
        return RunFolderError(f"{damage(self.name, self.lines.count, why)}.")


def join_tables(parts: Sequence[Path], whole: Path) -> None:
    """One CSV file from those of several groups of seeds, in the order in which one process would have written it.

    Each is in the order of env steps, and the parts come in the order of their seeds; they may have millions of rows.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open(encoding="utf-8")) for path in parts]
        header = next(filter(None, [next(file, "") for file in files]), "")
        at = header.rstrip("\n").split(",").index("env_steps") if header else 0
        rows = heapq.merge(*files, key=lambda line: int(line.split(",", at + 1)[at]))
        with replacing(whole) as temporary, temporary.open("w", encoding="utf-8") as out:
            out.write(header)
            out.writelines(rows)
