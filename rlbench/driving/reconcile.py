"""What of a sweep is left to do: the cells of the file beside what their folders hold already."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..process.places import shown
from ..recipe import Recipe
from ..runfolder.reader import Reader
from ..sweep.folder import ABOUT, CELLS, FILE, PLAIN, is_sweep, open_sweep, state_of
from ..sweep.index import CellState, Index
from ..sweep.plan import Cell
from .prepare import Recipes

#: Keys of a recipe that change no result, and may be others from one attempt to the next.
FREE = {"track", "workers", "device", "video_every", "debug_every", "on_nan", "replay"} | {
    "checkpoint_every", "checkpoint_minutes", "keep_checkpoints",
}  # fmt: skip


def check_folder(out: Path, cells: tuple[Cell, ...], name: str) -> None:
    """See that ``out`` is free for this sweep, or holds it already.

    Raises:
        UsageError: it holds something else; ``name`` is the sweep file's.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{shown(out)} is a file. Give a folder: --out DIR")
    inside = set(os.listdir(out))
    if not is_sweep(out):
        if ABOUT in inside or not inside - {".lock", PLAIN}:
            return
        if not {FILE, CELLS} <= inside:  # else a sweep that has lost a file, which is written anew
            raise UsageError(f"{shown(out)} holds other things than a sweep. Give another folder: --out DIR")
    there = set(os.listdir(out / CELLS)) if (out / CELLS).is_dir() else set()
    if there and not there & {cell.name for cell in cells}:
        before = open_sweep(out)
        raise UsageError(
            f"{shown(out)} holds another sweep, of {len(before.cells):,} cells such as {before.cells[0].name}; none of "
            f"them is in {name}. Give another folder: --out DIR"
        )


def reconciled(out: Path, index: Index, recipes: Recipes) -> tuple[dict[str, CellState], list[str]]:
    """How it stands with every cell of the file, and notes.

    A cell whose file now asks for more steps than it has done goes on; one of which anything else has changed is an
    error, as its name would stand for two things.

    Raises:
        UsageError: a cell was run with other settings.
    """
    known = index.read()
    there = set(os.listdir(out / CELLS)) if (out / CELLS).is_dir() else set()
    states: dict[str, CellState] = {}
    notes: list[str] = []
    for cell in recipes.cells:
        state = known.get(cell.name, CellState())
        mark = recipes.mark(cell)
        if cell.name not in there:
            state = CellState()
        else:
            folder, before = out / CELLS / cell.name, state
            if state.state != "done":
                state = state_of(folder, state)
            # Of one that was to go on, and never did, the folder says that it is done.
            unsure = state.digest != mark or state.state == "done" != before.state
            if unsure and (folder / "recipe.toml").is_file():
                state = _compared(state, folder, recipes.recipe(cell), _files(recipes, cell), notes)
        states[cell.name] = state._replace(digest=mark)
    if dropped := there - states.keys():
        count = "1 run" if len(dropped) == 1 else f"{len(dropped):,} runs"
        notes.append(f"{count} in {shown(out / CELLS)} no longer in {recipes.file.name}: left as they are")
    return states, notes


def _files(recipes: Recipes, cell: Cell) -> str:
    """The files that say what a cell is."""
    source = str(cell.settings.get("recipe", ""))
    return f"{recipes.file.name} with {source}" if source.endswith(".toml") else recipes.file.name


def _compared(state: CellState, folder: Path, recipe: Recipe, name: str, notes: list[str]) -> CellState:
    """The state of a cell whose settings the index does not know, by the recipe that its folder holds."""
    before, now = _flat(Reader(folder).recipe.value), _flat(tomllib.loads(recipe.to_toml()))
    for key in sorted(before.keys() | now.keys()):
        if key in FREE or key == "total_steps" or now.get(key) in (before.get(key), "auto"):  # which a run settles
            continue
        raise UsageError(
            f"{name}: cell {folder.name} was run with {key} = {before.get(key)!r}, and the file now says "
            f"{now.get(key)!r}. Give the sweep another folder, --out DIR, or remove {shown(folder)} to run it anew."
        )
    steps = before.get("total_steps", 0)
    if state.state == "done" and recipe.total_steps > steps:
        return state._replace(state="stopped", total_steps=recipe.total_steps)
    if state.state == "done" and recipe.total_steps < steps:
        notes.append(f"cell {folder.name} has done {steps:,} steps, more than {name} asks for: left as it is")
    return state


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found
