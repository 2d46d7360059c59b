"""What a run folder holds, read without running any code that it names."""

import tomllib
from pathlib import Path

from ..errors import RunFolderError, UsageError
from ..process.places import shown
from ..recipe import Recipe
from ..recipe.registry import table_name


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a run, without running any code that it names.

    Raises:
        UsageError: ``folder`` is no run folder.
        RunFolderError: its recipe.toml is damaged.
    """
    path = folder / "recipe.toml"
    if not path.is_file():
        why = "it holds no recipe.toml" if folder.is_dir() else "there is no such folder"
        inside = f" It holds runs, though: {shown(folder)}/*" if any(folder.glob("*/recipe.toml")) else ""
        raise UsageError(f"{shown(folder)} is no run folder: {why}.{inside}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        hyper = content.pop(table_name(str(content.get("agent", "dqn"))), {})
        known = {name: value for name, value in content.items() if name in Recipe.model_fields}  # of other versions too
        return Recipe.from_content({**known, "hyper": hyper}, str(path))
    except (OSError, ValueError, UsageError) as e:
        raise RunFolderError(f"cannot read {path}: {str(e).removeprefix(f'{path}: ')}") from e
