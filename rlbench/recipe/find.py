"""Finds recipes and reads their TOML: those that come with rlbench by name, those of a user's own by path."""

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .registry import table_name

ENVS = "envs"  # the folder beside those of agents, of what belongs to environments
SPACES = "spaces"  # likewise, of search spaces


def recipe_names() -> dict[str, list[str]]:
    """The recipes that come with rlbench: agent -> names."""
    names: dict[str, list[str]] = {}
    for folder in _recipes().iterdir():
        files = [f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")] if folder.is_dir() else []
        if files and folder.name not in (ENVS, SPACES):
            names[folder.name] = sorted(files)
    return dict(sorted(names.items()))


def env_settings(env: str) -> dict[str, Any]:
    """Run keys of an environment that rlbench knows, its budget and how it is evaluated; {} of any other."""
    name = f"{env.replace('/', '-')}.toml"
    file = _recipes() / ENVS / name
    return _parse(file, f"{ENVS}/{name}") if file.is_file() else {}


def _recipes() -> Traversable:
    return resources.files("rlbench.experiments")


def _read(source: str | Path | None, env: str | None, agent: str | None) -> tuple[str, dict[str, Any]]:
    """Name and content of the recipe that is meant."""
    name = agent or "dqn"
    if source is None:
        if env is None:
            raise UsageError("name an environment (--env ID) or a recipe (--recipe NAME). See `rlbench list recipes`.")
        for choice in (env.replace("/", "-"), "default"):
            file = _recipes() / table_name(name) / f"{choice}.toml"
            if ":" not in name and file.is_file():
                return f"recipe {name}/{choice}", _parse(file, f"recipe {name}/{choice}")
        return f"the defaults of {name}", {"agent": name, "env": env}
    text = str(source)
    if not text.endswith(".toml"):
        for full in dict.fromkeys((f"{table_name(name)}/{text}", f"dqn/{text}", text)):
            file = _recipes() / f"{full}.toml"
            if file.is_file():  # in the folder of its agent
                return f"recipe {full}", {"agent": full.partition("/")[0], **_parse(file, f"recipe {full}")}
        known = ", ".join(f"{a}/{n}" for a, names in recipe_names().items() for n in names)
        raise UsageError(f"unknown recipe {text!r}. Known: {known}; a file of your own ends in .toml.")
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"there is no recipe file {path}.")
    return text, _parse(path, text)


def _parse(file: Traversable, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as e:  # ValueError: of TOML, of UTF-8, of integers with thousands of digits
        raise UsageError(f"{where} is no valid TOML: {e}") from e
    except OSError as e:
        raise UsageError(f"cannot read {where}: {e}") from e
