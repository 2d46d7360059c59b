"""cells.csv: a row whenever the state of a cell changes, by the one driver; the last row of a cell counts.

It can be made again from the run folders at any time. Imports nothing heavy.
"""

import contextlib
import csv
import io
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from ..files import write_text

FILE = "cells.csv"
Phase = Literal["waiting", "queued", "running", "done", "failed", "stopped"]
_PHASES = frozenset(get_args(Phase))


class CellState(NamedTuple):
    """How it stands with a cell.

    Attributes:
        state: "waiting": it has not begun; "queued": it waits in the engine's own queue; "stopped": it goes on with the
            next `rlbench sweep`.
        attempt: 1, 2, ...; 0: none yet.
        env_steps: per seed, so far.
        total_steps: per seed.
        rate: env steps a second over all seeds.
        returns: per seed, see `rlbench.cells.attempt.Attempt`.
        seconds: that its attempts have taken.
        message: why it failed or stopped.
        peak: most bytes of memory of its process; 0: not known.
        digest: of the settings that it was run with.
        where: the machine.
    """

    state: Phase = "waiting"
    attempt: int = 0
    env_steps: int = 0
    total_steps: int = 0
    rate: float = 0.0
    returns: tuple[float, ...] = ()
    seconds: float = 0.0
    message: str = ""
    peak: int = 0
    digest: str = ""
    where: str = ""


WAITING = CellState()
_HEADER = ("cell", *CellState._fields)


class Index:
    """The file, read as it grows, and written to by the driver.

    Args:
        folder: of the sweep.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.states: dict[str, CellState] = {}
        self._at = self._inode = 0
        self._file: io.TextIOWrapper | None = None

    def read(self) -> dict[str, CellState]:
        """The newest state of every cell that has a row; rows that are damaged count as not there."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != self._inode or stat.st_size < self._at:  # written anew
                    self._inode, self._at, self.states = stat.st_ino, 0, {}
                if stat.st_size == self._at:
                    return self.states
                file.seek(self._at)
                data = file.read()
        except OSError:
            self._at, self.states = 0, {}
            return self.states
        whole = data[: data.rfind(b"\n") + 1]  # a half row may become a whole one
        self._at += len(whole)
        for line in whole.decode(errors="replace").split("\n"):
            row = _cut(line)
            if (state := _state(row)) is not None:
                self.states[row[0]] = state
        return self.states

    def begin(self, states: dict[str, CellState]) -> None:
        """Write the file anew with ``states`` alone, and stay ready to add to it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows((cell, *_row(state)) for cell, state in states.items())
        self.end()
        write_text(self.path, text.getvalue())
        self.states = dict(states)
        self._file = self.path.open("a", encoding="utf-8", newline="")

    def put(self, changed: Iterable[tuple[str, CellState]]) -> None:
        """Add rows.

        Raises:
            OSError: they cannot be written; the states are known all the same.
        """
        rows = list(changed)
        self.states.update(rows)
        assert self._file is not None
        writer = csv.writer(self._file, lineterminator="\n")
        writer.writerows((cell, *_row(state)) for cell, state in rows)
        self._file.flush()
        stat = os.fstat(self._file.fileno())
        self._inode, self._at = stat.st_ino, stat.st_size

    def end(self) -> None:
        """Write no more."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def all_done(folder: Path) -> bool:
    """Whether every cell in the index of a sweep folder is done; False where there is none."""
    states = Index(folder).read()
    return bool(states) and all(state.state == "done" for state in states.values())


def _cut(line: str) -> list[str]:
    """The parts of a row, each of which is one line: a quotation mark in a damaged one takes no other with it."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _row(state: CellState) -> list[object]:
    returns = ";".join(f"{x:.6g}" for x in state.returns)
    message = " ".join(state.message.split())
    return list(state._replace(returns=returns, message=message, rate=round(state.rate, 1)))  # type: ignore[arg-type]


def _state(row: list[str]) -> CellState | None:
    if len(row) != len(_HEADER) or row[1] not in _PHASES:
        return None
    try:
        _, state, attempt, steps, total, rate, returns, seconds, message, peak, digest, where = row
        numbers = tuple(map(float, returns.split(";"))) if returns else ()
        known = CellState(
            cast(Phase, state), int(attempt), int(steps), int(total), float(rate), numbers, float(seconds), message,
            int(peak), digest, where,
        )  # fmt: skip
    except ValueError:
        return None
    return known if math.isfinite(known.rate) and math.isfinite(known.seconds) else None
