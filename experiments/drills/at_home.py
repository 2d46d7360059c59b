"""Cells of a sweep beside the same runs made here, by `rlbench train` as it is: records equal but for the clock."""

import csv
import tempfile
from pathlib import Path

from rlbench.process import mkl
from rlbench.recipe import Recipe
from rlbench.runfolder.reader import Reader
from rlbench.sweep.folder import open_sweep
from rlbench.training import train as training

TABLES = ("episodes.csv", "evaluations.csv")
CLOCK = "wall_seconds"


def differing(sweep: Path) -> list[str]:
    """The cells of a finished sweep that are not as at home, each with what differs."""
    mkl.choose()  # as every command does
    found = []
    opened = open_sweep(sweep)
    states = opened.states()
    with tempfile.TemporaryDirectory() as scratch:
        for cell in opened.cells:
            if states[cell.name].state != "done":
                found.append(f"{cell.name}: {states[cell.name].state}: {states[cell.name].message}")
                continue
            folder, home = opened.folder_of(cell), Path(scratch) / cell.name
            training.train(recipe=Recipe.from_content(Reader(folder).model().content(), cell.name), out=home)
            found += [f"{cell.name}: {name}" for name in TABLES if rows(folder / name) != rows(home / name)]
    return found


def rows(table: Path) -> list[dict[str, str]]:
    """A table's rows, without the clock."""
    with table.open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key != CLOCK} for row in csv.DictReader(file)]
