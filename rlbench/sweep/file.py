"""Reads a sweep file: what is common to all cells, what varies, and what a cell takes. Imports nothing heavy.

    [base]
    env = "CartPole-v1"
    seeds = 5
    [grid]
    agent = ["dqn", "ppo"]
    gamma = ...

`grid` is every combination, `zip` goes through its lists side by side, a `[[cell]]` is one cell more.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UsageError, first_line

SettingPath = tuple[str, ...]  # ("dqn", "gamma")
TABLES = ("base", "grid", "zip", "cell", "resources", "local", "ray", "slurm")
RESOURCES = ("cpus", "gpus", "memory", "time_limit")


class SweepFile(NamedTuple):
    """A sweep file, taken apart; keys are paths.

    Attributes:
        name: of the file, for messages.
        text: its content.
        base: of all cells.
        grid: lists, of which every combination is a cell.
        zip: lists of one length, which go side by side.
        cells: further cells.
        named: their names, "" where the file gives none.
        resources: what a cell takes: cpus, gpus, memory (bytes, or a text such as "4 GiB"), time_limit ("2h").
        engines: settings by the name of the engine.
    """

    name: str
    text: str
    base: dict[SettingPath, Any]
    grid: dict[SettingPath, list[Any]]
    zip: dict[SettingPath, list[Any]]
    cells: tuple[dict[SettingPath, Any], ...]
    named: tuple[str, ...]
    resources: dict[str, Any]
    engines: dict[str, dict[str, Any]]


def read_file(path: Path, name: str = "") -> SweepFile:
    """Read a sweep file.

    Raises:
        UsageError: there is none, or it is no sweep; names the file and the key.
    """
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"there is no sweep file {name}. `rlbench sweep --help` shows what one looks like.") from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder, and no sweep was begun in it. Give the sweep file.") from None
    except (OSError, ValueError) as e:
        raise UsageError(f"cannot read {name}: {first_line(e)}.") from e
    return parse_file(text, name)


def parse_file(text: str, name: str) -> SweepFile:
    """As `read_file`, of a file's content."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{name} is no valid TOML: {first_line(e)}.") from e
    for key in content:
        if key not in TABLES:
            close = difflib.get_close_matches(key, TABLES, 1)
            hint = f"Did you mean [{close[0]}]?" if close else f"A key of all runs goes into [base]: {_tables()}."
            raise UsageError(f"{name}: unknown table {key!r}. {hint}")
    tables = {key: _table(content, key, name) for key in TABLES if key != "cell"}
    cells = content.get("cell", [])
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise UsageError(f"{name}: cell: each cell is a table of its own, [[cell]].")
    lists = {}
    for key in ("grid", "zip"):
        lists[key] = _flat(tables[key])
        for at, values in lists[key].items():
            if not isinstance(values, list):
                raise UsageError(f"{name}: [{key}] {dotted(at)}: must be a list of values; [base] has single ones.")
            if not values:
                raise UsageError(f"{name}: [{key}] {dotted(at)}: the list is empty, which leaves no cell.")
            if key == "grid" and (two := _one_value(values)):
                raise UsageError(f"{name}: [grid] {dotted(at)}: {two[0]} and {two[1]} are one value. Leave one out.")
    lengths = {dotted(at): len(values) for at, values in lists["zip"].items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        raise UsageError(f"{name}: [zip] goes through its lists side by side, and they differ in length: {said}.")
    if both := [dotted(at) for at in lists["zip"] if at in lists["grid"]]:
        raise UsageError(f"{name}: {both[0]} varies in [grid] and in [zip]. Take one of them.")
    for key in tables["resources"]:
        if key not in RESOURCES:
            close = difflib.get_close_matches(key, RESOURCES, 1)
            hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(RESOURCES)}."
            raise UsageError(f"{name}: [resources] knows no {key!r}. {hint}")
    if not (lists["grid"] or lists["zip"] or cells):
        raise UsageError(f"{name}: nothing varies. Add [grid], [zip] or [[cell]]; one run alone is `rlbench train`.")
    for cell in cells:
        if not isinstance(cell.get("name", ""), str):
            raise UsageError(f"{name}: [[cell]] name: must be a text, got {cell['name']!r}")
    return SweepFile(
        name=name,
        text=text,
        base=_flat(tables["base"]),
        grid=lists["grid"],
        zip=lists["zip"],
        cells=tuple(_flat({key: value for key, value in cell.items() if key != "name"}) for cell in cells),
        named=tuple(cell.get("name", "") for cell in cells),
        resources=tables["resources"],
        engines={engine: tables[engine] for engine in ("local", "ray", "slurm")},
    )


def dotted(path: SettingPath) -> str:
    """A key as it is told: dqn.gamma."""
    return ".".join(path)


def _table(content: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    table = content.get(key, {})
    if not isinstance(table, dict):
        raise UsageError(f"{name}: {key}: must be a table, [{key}], not {table!r}")
    return table


def _flat(table: Mapping[str, Any], above: SettingPath = ()) -> dict[SettingPath, Any]:
    """The values of nested tables by their paths; "dqn.gamma" in quotes means the same as without them."""
    found: dict[SettingPath, Any] = {}
    for key, value in table.items():
        path = (*above, *key.split("."))
        if isinstance(value, dict) and value:
            found |= _flat(value, path)
        else:
            found[path] = value
    return found


def _one_value(values: list[Any]) -> tuple[Any, Any] | None:
    """Two numbers of a list that are the same, written differently: 1 and 1.0."""
    known: dict[float, Any] = {}
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            before = known.setdefault(value, value)
            if type(before) is not type(value):
                return before, value
    return None


def _tables() -> str:
    return ", ".join(f"[[{key}]]" if key == "cell" else f"[{key}]" for key in TABLES)
