"""Who is timed side by side: exported files, or a run's live agent and its policy in every format."""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import NoRun, RlbenchError, UsageError
from ..policyfile.metadata import Metadata, Port
from ..policyfile.opened import KINDS, open_policy
from ..process import mkl
from ..process.places import shown
from ..runfolder.reader import no_run
from ..trained.load import load
from .asked import Asking, drawn, fitting
from .export import describe, parts_of, write
from .formats import SUFFIXES
from .latency import Entrant
from .live import LivePolicy
from .observed import observed
from .policy import contract
from .quantize import quantize


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
    found = [path.suffix in KINDS and not path.is_dir() for path in paths]
    for path, is_file in zip(paths, found, strict=True):
        if not path.exists():
            raise NoRun(f"there is no {shown(path)}")
        if not is_file and not path.is_dir() and path.suffix != ".pth":
            raise NoRun(f"{no_run(path)} Exported policies end with {', '.join(KINDS)}.")
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
    entrants = [_file(label, path) for label, path in zip(labels, paths, strict=True)]
    return Lineup(entrants, drawn(first), _what(first), labels, [])


def of_run(
    path: Path, folder: Path, seed: Any, agent: str | None, imports: Sequence[str], look: Callable[[str], None]
) -> Lineup:
    """A run's live agent, and its policy as ONNX, quantised ONNX, TorchScript and pt2.

    Args:
        path: of a run or a checkpoint.
        folder: where the files go. They are for the measurement: nothing is proved of them.
        seed: whose, or "best" or "all".
        agent: where its code is, if it is a user's own.
        imports: modules for its environment.
        look: told how far it is.

    Raises:
        RlbenchError: it cannot be opened, or no file can be made of it.
    """
    trained = load(path, seed=seed, agent=agent, imports=imports, device="cpu")
    agreed = contract(trained)
    look("looking at recorded episodes")
    width = sum(int(np.prod(port.shape)) * np.dtype(port.dtype).itemsize for port in agreed.inputs)
    seen = observed(trained, agreed.obs, fitting(width))
    asking = Asking(dict(seen.inputs), f"{len(seen):,} observations of {seen.source}")
    whose = trained.seeds[0] if len(trained.seeds) == 1 else "all"
    more = {"seed": whose, "agent": agent, "imports": list(imports), "space": agreed.obs.model_dump(mode="json")}
    size = sum(part.stat().st_size for part in parts_of(trained.path))
    entrants, notes = [Entrant("live", path, size, "live", more)], list(trained.notes)
    live = LivePolicy(trained, agreed.obs)
    for kind, suffix in SUFFIXES.items():
        file = folder / f"policy{suffix}"
        look(f"writing {kind}")
        try:
            written = write(trained, kind, agreed, live)
            content = written.to_bytes(describe(trained, agreed, written.inputs, written.outputs, kind))
        except RlbenchError as e:
            notes.append(f"{kind} is left out: {e}")
            continue
        _put(file, content)
        entrants.append(_file(kind, file))
        if kind == "onnx":
            try:
                _put(folder / "int8.onnx", quantize(content, seen.inputs).content)
                entrants.append(_file("int8", folder / "int8.onnx"))
            except RlbenchError as e:
                notes.append(f"int8 is left out: {e}")
    if len(trained.seeds) > 1:
        notes.append(f"live is {len(trained.seeds)} seeds that act side by side, without the vote that the files hold")
    gated = [one.label for one in entrants if one.label == "onnx"] or [one.label for one in entrants[:1]]
    return Lineup(entrants, asking, _what(describe(trained, agreed, [], [], "onnx")), gated, notes)


def machine() -> str:
    """The processor and what runs on it."""
    return f"{mkl.cpu()}, Python {platform.python_version()}"


def _file(label: str, path: Path) -> Entrant:
    return Entrant(label, path, path.stat().st_size, "file")


def _put(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def _masks(metadata: Metadata) -> list[Port]:
    return [port for port in metadata.inputs if port.role == "mask"]


def _what(metadata: Metadata) -> str:
    seeds = f"seed {metadata.seeds[0]}" if len(metadata.seeds) == 1 else f"{len(metadata.seeds)} seeds"
    return f"{metadata.agent.rpartition(':')[2]} on {metadata.env}, {seeds}"
