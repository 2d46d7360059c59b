"""Who is timed side by side, of files: they are opened, and imported is nothing that an ONNX file does without.

A run's policies are `lineup_run`'s.
"""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import NoRun, UsageError
from ..policyfile.metadata import Metadata, Port
from ..policyfile.opened import KINDS, open_policy
from ..process import mkl
from ..process.places import shown
from .asked import Asking, drawn
from .latency import Entrant


class Lineup(NamedTuple):
    """Candidates, what they are asked with, and what is said of them. ``gated`` are those that a gate is about, unless
    its user says which."""

    entrants: list[Entrant]
    asking: Asking
    what: str
    gated: list[str]
    notes: list[str]


def are_files(paths: Sequence[Path]) -> bool:
    """Whether exported files were named, and not runs or checkpoints. Raises UsageError."""
    found = [path.suffix.lower() in KINDS and not path.is_dir() for path in paths]
    for path, is_file in zip(paths, found, strict=True):
        if not path.exists():
            raise NoRun(f"there is no {shown(path)}")
        if not is_file and not path.is_dir() and path.suffix != ".pth":
            raise NoRun(
                f"{shown(path)} is nothing that is timed: name a run, a checkpoint, .pth, or {', '.join(KINDS)}"
            )
    if any(found) and not all(found):
        raise UsageError("runs and exported files cannot be timed together: give one run, or files alone")
    return all(found)


def of_files(paths: Sequence[Path]) -> Lineup:
    """Exported files; they take the same observations.

    Raises:
        PolicyFileError: one cannot be opened.
        UsageError: they take different ones.
    """
    opened = [open_policy(path).metadata for path in paths]
    first = opened[0]
    for path, metadata in zip(paths, opened, strict=True):
        if (metadata.obs, _masks(metadata)) != (first.obs, _masks(first)):
            raise UsageError(
                f"{shown(path)} takes other observations than {shown(paths[0])}: time them one after the other"
            )
    names = [path.name for path in paths]
    labels = [shown(path) if names.count(path.name) > 1 else path.name for path in paths]
    entrants = [of_file(label, path) for label, path in zip(labels, paths, strict=True)]
    return Lineup(entrants, drawn(first), what(first), labels, [])


def machine() -> str:
    """The processor and what runs on it."""
    return f"{mkl.cpu()}, Python {platform.python_version()}"


def of_file(label: str, path: Path) -> Entrant:
    """An exported file under its name in the table."""
    return Entrant(label, path, path.stat().st_size, "file")


def _masks(metadata: Metadata) -> list[Port]:
    return [port for port in metadata.inputs if port.role == "mask"]


def what(metadata: Metadata) -> str:
    """Agent, environment and seeds in a line."""
    seeds = f"seed {metadata.seeds[0]}" if len(metadata.seeds) == 1 else f"{len(metadata.seeds)} seeds"
    return f"{metadata.agent.rpartition(':')[2]} on {metadata.env}, {seeds}"
