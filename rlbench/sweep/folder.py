"""A sweep folder: what lies where, the sweep that it holds, and how it stands with every cell. Imports nothing heavy.

sweep.toml         the sweep file, as last run
sweep.json         what it left to recipes, and who made it
cells.csv          the index: see `index`
cells/NAME/        the run folder of a cell, with attempt.json and log.txt of its own
engine/            files of an engine
plain.toml         of an ablation alone: its recipe without the switches
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from ..cells.attempt import Attempt, final_returns, read_attempt
from ..errors import RunFolderError, UsageError
from ..process.places import shown
from ..runfolder.documents import ended
from ..runfolder.lock import holder
from ..runfolder.reader import Reader
from ..user_code.commands import command
from .file import SweepFile, parse_file
from .index import CellState, Index
from .plan import Cell, Names, cells_of

PLAIN = "plain.toml"
FILE, ABOUT, CELLS, ENGINE = "sweep.toml", "sweep.json", "cells", "engine"
FORMAT = 1
SILENT = 60.0  # seconds without a word after which a process on another machine is taken for dead


def is_sweep(path: str | Path) -> bool:
    """Whether ``path`` is the folder of a sweep."""
    return (Path(path) / ABOUT).is_file()


def what_is_lost(path: Path) -> str:
    """Of a sweep's folder that has lost the file by which it is known: that, and how it goes on; "": of no such one."""
    if is_sweep(path) or not ((path / FILE).is_file() and (path / CELLS).is_dir()):
        return ""
    again = command("sweep", path / FILE, "--out", path)
    return (
        f"{shown(path / ABOUT)} is missing; the runs are there. It is written anew, and the sweep goes on, by: {again}"
    )


def open_sweep(path: str | Path) -> "SweepFolder":
    """The sweep in a folder, to look at.

    Raises:
        UsageError: there is none.
        RunFolderError: its files are damaged.
    """
    path = Path(path)
    if lost := what_is_lost(path):
        raise UsageError(lost)
    if not is_sweep(path):
        raise UsageError(f"{shown(path)} holds no sweep. Begin one with: rlbench sweep FILE.toml --out DIR")
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise RunFolderError(f"{shown(path / ABOUT)} is of another version of rlbench: format {about['format']}.")
        kept = about["names"]
        recipes = {key: (str(env), str(agent)) for key, (env, agent) in kept["recipes"].items()}
        names = Names(recipes, dict(kept["envs"]), tuple(kept["agents"]))
        file = parse_file((path / FILE).read_text(encoding="utf-8-sig"), shown(path / FILE))
        cells = cells_of(file, names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise RunFolderError(
            f"{shown(path)} is damaged: {type(e).__name__}: {e}. Run its sweep file again: it writes these files anew, "
            "and keeps all runs."
        ) from e
    return SweepFolder(path, file, cells, about)


class SweepFolder:
    """A sweep that is only looked at.

    Attributes:
        path: of the folder.
        file: the sweep file as last run.
        cells: of the file, in its order. Folders of cells that it no longer has are left alone.
        about: what sweep.json holds.
    """

    def __init__(self, path: Path, file: SweepFile, cells: tuple[Cell, ...], about: dict[str, Any]) -> None:
        self.path, self.file, self.cells, self.about = path, file, cells, about
        self._index = Index(path)

    def folder_of(self, cell: Cell) -> Path:
        """The run folder of a cell, which need not be there."""
        return self.path / CELLS / cell.name

    def states(self) -> dict[str, CellState]:
        """How it stands with every cell, by name, in the file's order; of those at work, as they told last."""
        known = self._index.read()
        if unknown := tuple(cell for cell in self.cells if cell.name not in known):  # it is lost, or damaged
            known = {**known, **rebuilt(self.path, unknown)}
        driven = bool(self.driver())
        states: dict[str, CellState] = {}
        for cell in self.cells:
            state = known.get(cell.name)
            if state is None:
                state = CellState()
            elif state.state in ("running", "queued"):
                state = _live(self.folder_of(cell), state, driven=driven)
            states[cell.name] = state
        return states

    def driver(self) -> str:
        """The number of the process that drives the sweep, as text; "" where none does, or on another machine."""
        return holder(self.path)


def rebuilt(path: Path, cells: tuple[Cell, ...]) -> dict[str, CellState]:
    """The states of cells by their run folders alone."""
    try:
        there = set(os.listdir(path / CELLS))
    except OSError:
        there = set()
    return {cell.name: state_of(path / CELLS / cell.name) for cell in cells if cell.name in there}


def state_of(folder: Path, before: CellState | None = None) -> CellState:
    """The state of one cell by its run folder; ``before`` is what else is known of it."""
    attempt = read_attempt(folder)
    if attempt is None:
        summary = Reader(folder).summary.value
        if not ended(summary):
            queued = before is not None and before.state == "queued"
            return (before or CellState())._replace(state="waiting" if queued else "stopped")
        steps = int(summary.get("env_steps") or 0)
        returns = final_returns(summary)
        return (before or CellState())._replace(state="done", env_steps=steps, total_steps=steps, returns=returns)
    state = _taken(attempt, before or CellState())
    if attempt.state != "running":
        return state
    alive = bool(holder(folder)) or time.time() - _changed(folder) < SILENT
    return state if alive else state._replace(state="stopped", message="its process died")


def _live(folder: Path, state: CellState, *, driven: bool) -> CellState:
    """Of a cell that the index calls running or queued: what it says itself."""
    if not driven:
        return state_of(folder, state)
    attempt = read_attempt(folder)
    if attempt is None:
        return state
    if state.state == "queued" and (attempt.attempt != state.attempt or attempt.state == "stopped"):  # of before
        return state
    return _taken(attempt, state)._replace(state="running")


def _taken(attempt: Attempt, before: CellState) -> CellState:
    """A state, with what an attempt says of itself; ``before`` is of the attempts before it."""
    ahead = before.state in ("running", "queued")  # of the attempt that is counted: its time is not in there yet
    included = before.attempt - ahead >= attempt.attempt
    state = "failed" if attempt.state == "refused" else attempt.state
    return before._replace(
        state=state,
        attempt=attempt.attempt,
        env_steps=attempt.env_steps,
        total_steps=attempt.total_steps,
        rate=attempt.rate,
        returns=attempt.returns,
        seconds=max(before.seconds, attempt.seconds) if included else before.seconds + attempt.seconds,
        message=attempt.message,
        peak=max(attempt.peak, before.peak),
        where=attempt.host,
    )


def _changed(folder: Path) -> float:
    try:
        return (folder / "attempt.json").stat().st_mtime
    except OSError:
        return 0.0
