"""Engines by name. Each is imported where it is asked for: most need a package of their own."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engines.engine import Engine
from ..errors import UsageError

NAMES = ("local", "ray", "slurm")


def brings_code(name: str, key: str) -> bool:
    """Whether a setting of an engine could bring code along: it counts only where the user typed it.

    What a Ray cluster answers is unpickled here, so its address is such a setting.
    """
    from ..on_slurm.sbatch import brings_code

    return (name, key) == ("ray", "address") or (name == "slurm" and brings_code(key))


def open_engine(name: str, place: Path, settings: Mapping[str, Any]) -> Engine:
    """The engine ``name``.

    Args:
        name: one of `NAMES`.
        place: a folder for its own files.
        settings: the file's table of that name, and what --with adds.

    Raises:
        UsageError: there is no such engine or setting, or its package is not installed.
    """
    if name == "local":
        from ..engines.local import Local

        return Local(place, settings)
    if name == "ray":
        from ..on_ray.engine import Ray

        return Ray(place, settings)
    if name == "slurm":
        from ..on_slurm.engine import Slurm

        return Slurm(place, settings)
    close = difflib.get_close_matches(name, NAMES, 1)
    hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(NAMES)}."
    raise UsageError(f"there is no engine {name!r}. {hint}")
