"""What a sweep is made of: the cells of a file, each with a name that a person can read. Imports nothing heavy.

A key of an agent's table varies the cells of that agent alone: with agents dqn and ppo, a grid over ppo.clip leaves one
cell of dqn where ppo has several.
"""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from ..user_code.refs import parse
from .file import SettingPath, SweepFile, dotted

LONGEST = 150  # letters of a name; file systems take 255 bytes
APART = ("env", "seed")  # keys that make no other contestant
SOURCE = (("recipe",), ("env",), ("agent",))  # keys that say which recipe is the base of all others


class Names(NamedTuple):
    """What a file leaves to recipes: found out by loading them, and kept in the sweep folder.

    Attributes:
        recipes: per base recipe, environment and agent as the file has them, in JSON: [environment, agent].
        envs: environments, as the file has them: their names.
        agents: tables that belong to agents; those of others are left out of a cell.
    """

    recipes: dict[str, tuple[str, str]]
    envs: dict[str, str]
    agents: tuple[str, ...]


class Cell(NamedTuple):
    """One run of a sweep.

    Attributes:
        name: of its folder: environment, agent and what varies.
        label: the contestant that it belongs to: its name without environment and first seed.
        env: the environment's name.
        settings: dotted key -> value, all that the file says of it, the base included.
    """

    name: str
    label: str
    env: str
    settings: dict[str, Any]


def source_key(settings: Mapping[SettingPath, Any]) -> str:
    """Of `Names.recipes`: the recipe, environment and agent that a cell names, as far as it does."""
    return json.dumps([settings.get(key) for key in SOURCE], default=str)  # TOML has dates, which none of these is


def combinations(file: SweepFile) -> Iterator[tuple[str, dict[SettingPath, Any], dict[SettingPath, Any]]]:
    """Every cell as the file has it: its name if it gives one, what varies in it, and all its settings."""
    if file.grid or file.zip:
        rows = [dict(zip(file.zip, row, strict=True)) for row in zip(*file.zip.values(), strict=True)] or [{}]
        for values in itertools.product(*file.grid.values()):
            varied = dict(zip(file.grid, values, strict=True))
            for row in rows:
                own = {**varied, **row}
                yield "", own, {**file.base, **own}
    for name, cell in zip(file.named, file.cells, strict=True):
        yield name, cell, {**file.base, **cell}


def cells_of(file: SweepFile, names: Names) -> tuple[Cell, ...]:
    """The cells, in the order of the file.

    Raises:
        UsageError: two of them have one name.
    """
    cells: dict[str, Cell] = {}
    given: set[str] = set()
    full = _ambiguous(file)
    texts = _Texts()
    known: dict[tuple[Any, ...], tuple[str, str]] = {}
    for name, varied, settings in combinations(file):
        source = tuple(settings.get(key) for key in SOURCE)
        if (found := known.get(source)) is None:
            env, agent = names.recipes[source_key(settings)]
            found = known[source] = names.envs.get(env, env), agent.rpartition(":")[2]
        env, table = found
        others = [path for path in settings if len(path) > 1 and path[0] != table and path[0] in names.agents]
        for path in others:
            del settings[path]
        parts = [table]
        label = [table]
        for path, value in varied.items():
            if path in (("env",), ("agent",)) or path in others:
                continue
            part = f"{dotted(path) if path in full else path[-1]}={texts.of(value)}"
            parts.append(part)
            if path[0] not in APART:
                label.append(part)
        own = name or _short("_".join((texts.of(env), *parts)))
        cell = Cell(own, name or " ".join(label), env, {dotted(path): value for path, value in settings.items()})
        if (same := cells.get(own)) is not None:
            if not name and own not in given and same.settings == cell.settings and others:
                continue  # what varies is another agent's
            how = "Give one of them another name" if name else "Leave one out, or give it a name in [[cell]]"
            raise UsageError(f"{file.name}: two cells have the name {own!r}. {how}.")
        if name:
            given.add(own)
            if name != texts.of(name) or name.startswith("."):
                raise UsageError(f"{file.name}: [[cell]] name: {name!r} is no name of a folder; letters, digits, ._+=-")
        cells[own] = cell
    return tuple(cells.values())


def digest(cell: Cell) -> str:
    """What a cell is, by its settings: the same for the same run."""
    text = json.dumps(cell.settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def axes(file: SweepFile) -> list[tuple[str, int]]:
    """What varies in grid and zip, and over how many values."""
    return [(dotted(path), len(values)) for path, values in (*file.grid.items(), *file.zip.items())]


def _ambiguous(file: SweepFile) -> set[SettingPath]:
    """Keys that vary and whose last part would not tell them from another one's."""
    varying = {*file.grid, *file.zip, *(path for cell in file.cells for path in cell)}
    ends = Counter(path[-1] for path in varying if len(path) > 1)
    heads = {path[-1] for path in varying if len(path) == 1}
    agents = {str(value).rpartition(":")[2] for value in _agents(file)}
    return {
        path
        for path in varying
        if len(path) > 1 and path[0] not in agents and (ends[path[-1]] > 1 or path[-1] in heads)
    }


def _agents(file: SweepFile) -> Sequence[Any]:
    key = ("agent",)
    listed = [*file.grid.get(key, ()), *file.zip.get(key, ()), *(cell[key] for cell in file.cells if key in cell)]
    return [*listed, *([file.base[key]] if key in file.base else [])]


class _Texts:
    """Values as parts of names; the same value is asked for very often."""

    def __init__(self) -> None:
        self._known: dict[tuple[type, Any], str] = {}

    def of(self, value: Any) -> str:
        try:
            found = self._known.get((type(value), value))
        except TypeError:  # a list
            return self._make(value)
        if found is None:
            found = self._known[type(value), value] = self._make(value)
        return found

    def _make(self, value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            return "x".join(map(self._make, value)) or "none"
        if isinstance(value, str):
            value = parse(value).name or value
        return re.sub(r"[^\w.+=-]+", "-", str(value)).strip("-") or "none"


def _short(name: str) -> str:
    if len(name.encode()) <= LONGEST:
        return name
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
