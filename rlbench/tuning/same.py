"""Whether the run in a folder is the one that is asked for: the scores of another must not stand for it."""

import tomllib
from pathlib import Path
from typing import Any

from ..errors import RunFolderError
from ..process.places import shown
from ..recipe import Recipe
from ..recipe.problems import value_text
from ..runfolder.reader import Reader

# Where and how a run is carried out, which may change on its way. That code is the same is looked at for the whole
# search, in its study.json.
ELSEWHERE = ("device", "threads", "workers", "agent", "imports", "wrappers")


def check_same(folder: Path, recipe: Recipe) -> None:
    """Refuse a folder with the run of another recipe in it; one without a run is fine.

    Raises:
        RunFolderError: there is one, or it cannot be told; says what is there and what to do.
    """
    reader = Reader(folder)
    found, problem = reader.recipe
    away = f"Choose another --out, or move {shown(folder)} away to train it anew."
    if problem:
        raise RunFolderError(f"{shown(folder)}: {problem}. {away}")
    if not found:
        if reader.summary.value:
            raise RunFolderError(f"{shown(folder)} holds results, and no recipe.toml says of what. {away}")
        return
    there, wanted = _flat(found), _flat(tomllib.loads(recipe.to_toml()))
    for key in sorted({*there, *wanted}):
        chosen = wanted.get(key) == "auto"  # recipe.toml has what that came to where it ran
        if key not in ELSEWHERE and not chosen and there.get(key) != wanted.get(key):
            asked = f"and the one asked for is {_with(key, wanted)}"
            raise RunFolderError(f"{shown(folder)} holds a run {_with(key, there)}, {asked}. {away}")


def _with(key: str, values: dict[str, Any]) -> str:
    return f"with {key} = {value_text(values[key])}" if key in values else f"without {key}"


def _flat(table: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found
