"""Job arrays on disk: which cells were handed to Slurm together, under which number, and which have been told of since.

    PLACE/0001/cells.json      cells and attempts, in the order of the array; written before Slurm is asked
    PLACE/0001/3.json          the order of the cell with index 3
    PLACE/0001/1234_submission.sh   submitit's, and with it the number of the array
    PLACE/ends/0001-3.json     what the job of that cell told in the end
    PLACE/ends/0001-3.told     it was passed on

A driver that dies at any moment finds them again. One that died between sbatch and the naming of submission.sh leaves
jobs whose number nobody knows: they find nothing to do, as submitit lays that down afterwards, and end after a minute.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..cells.order import Order
from ..files import write_json, write_text


class InSlurm(NamedTuple):
    """A cell in Slurm's hands."""

    cell: str
    attempt: int
    array: str  # name of the folder
    number: str  # Slurm's, of the array
    place: int  # in it, from 0
    alone: bool  # a job by itself: an array of one is none

    @property
    def job(self) -> str:
        """As scancel has it."""
        return self.number if self.alone else f"{self.number}_{self.place}"


class JobArrays:
    """All arrays below ``place`` that have cells of which nothing has been passed on yet."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.ends = place / "ends"

    def begin(self, orders: Sequence[Order]) -> Path:
        """A folder for an array of these cells, with their orders in it."""
        self.ends.mkdir(parents=True, exist_ok=True)
        known = [int(path.name) for path in self.place.iterdir() if path.name.isdigit()]
        array = self.place / f"{max(known, default=0) + 1:04}"
        array.mkdir()
        for index, order in enumerate(orders):
            write_text(array / f"{index}.json", order.to_json() + "\n")
        write_json(array / "cells.json", {"cells": [[order.cell, order.attempt] for order in orders]})
        return array

    def end_of(self, array: str, index: int) -> Path:
        """Where the job of a cell tells its end."""
        return self.ends / f"{array}-{index}.json"

    def handed(self, array: Path) -> list[InSlurm]:
        """Cells of an array that have not been told of; none where Slurm never gave it a number."""
        number = next((found[1] for path in array.iterdir() if (found := _NUMBERED.fullmatch(path.name))), None)
        try:
            cells = json.loads((array / "cells.json").read_text(encoding="utf-8"))["cells"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        if number is None:
            return []
        return [
            InSlurm(cell, attempt, array.name, number, index, len(cells) == 1)
            for index, (cell, attempt) in enumerate(cells)
            if not self._told(array.name, index).exists()
        ]

    def all(self) -> Iterator[InSlurm]:
        """Of all arrays. Those that nothing is to be heard of any more are removed."""
        if not self.place.is_dir():
            return
        for array in sorted(path for path in self.place.iterdir() if path.name.isdigit()):
            if handed := self.handed(array):
                yield from handed
            else:
                self._remove(array)

    def told(self, one: InSlurm) -> None:
        """Note that the end of a cell was passed on."""
        with contextlib.suppress(OSError):  # on a full disk it is passed on again later, which harms nothing
            self._told(one.array, one.place).touch()

    def drop(self, array: Path) -> None:
        """Forget an array that Slurm did not take."""
        self._remove(array)

    def _told(self, array: str, index: int) -> Path:
        return self.ends / f"{array}-{index}.told"

    def _remove(self, array: Path) -> None:
        shutil.rmtree(array, ignore_errors=True)
        for path in self.ends.glob(f"{array.name}-*"):
            path.unlink(missing_ok=True)


_NUMBERED = re.compile(r"(\d+)_submission\.sh")
