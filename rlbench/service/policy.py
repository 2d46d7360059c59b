"""The policy that a service answers by: opened from bytes, tried once, compared with the one before."""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError, first_line
from ..policyfile.metadata import Box, Dict, Discrete, Metadata, MultiDiscrete, PolicyFileError, Space, Tuple
from ..policyfile.opened import PolicyFile, open_content
from ..units import byte_size

READ_AT_ONCE = 2 * 2**30  # bytes: what is larger is no policy file


def read(path: Path, name: str) -> bytes:
    """The bytes of a file that is to be served, of which only ONNX is.

    Args:
        path: where.
        name: to print.

    Raises:
        UsageError: there is none, it is no regular file, or by its name it is of another format.
        PolicyFileError: it cannot be read.
    """
    if path.suffix.lower() != ".onnx":
        kind = {".pth": "a checkpoint", ".ts": "TorchScript", ".pt": "TorchScript", ".pt2": "a pt2 file"}.get(
            path.suffix.lower()
        )
        why = f"{name} is {kind}, which can run code when it is opened" if kind else f"{name} ends with none of these"
        raise UsageError(f"only .onnx is served: {why}. Export a run: rlbench export RUN --to onnx --out policy.onnx")
    try:
        if path.exists() and not path.is_file():  # of a pipe the end may never come
            raise UsageError(f"{name} is no regular file: name one that `rlbench export` wrote")
        if path.stat().st_size > READ_AT_ONCE:
            raise PolicyFileError(f"{name} is larger than {byte_size(READ_AT_ONCE)}, which no ONNX file is")
        return path.read_bytes()
    except FileNotFoundError as e:
        raise UsageError(f"there is no file {name}") from e
    except OSError as e:
        raise PolicyFileError(f"{name} cannot be read: {e.strerror or e}") from e


def opened(content: bytes, name: str, threads: int = 1) -> PolicyFile:
    """A policy file that answers as its metadata says: it was asked once. Raises PolicyFileError."""
    file = open_content(content, Path(name), kind="onnx", threads=threads)
    said = file.metadata
    if not said.outputs or said.outputs[0].role != "action":
        raise PolicyFileError(f"{name} names no action among what it gives: export the run again")
    try:
        made = file(file.inputs([sample(said.obs)] * 2))
    except Exception as e:  # ONNX Runtime has errors of its own
        raise PolicyFileError(f"{name} does not take what its metadata says: {first_line(e)}") from e
    for port in said.outputs:
        got = made[port.name]
        if got.shape != (2, *port.shape) or got.dtype != np.dtype(port.dtype):
            raise PolicyFileError(
                f"{name} gives {port.name} as {got.dtype} {got.shape[1:]}, its metadata says {port.dtype} {port.shape}"
            )
    return file


def differs(old: Metadata, new: Metadata) -> str | None:
    """Why requests to one policy would not fit another; None where they do."""
    for what, before, after in (
        ("observations", old.obs, new.obs),
        ("actions", old.action, new.action),
        ("inputs", old.inputs, new.inputs),
    ):
        if before != after:
            return (
                f"it is of other {what} than the one that is served: {described(after)} in place of {described(before)}"
            )
    return None


def described(what: Any) -> str:
    """A space, or inputs, in a few words."""
    if isinstance(what, list):
        return ", ".join(f"{port.name} {port.shape}" for port in what)
    if isinstance(what, Dict):
        return "Dict(" + ", ".join(f"{key}: {described(inner)}" for key, inner in what.spaces.items()) + ")"
    if isinstance(what, Tuple):
        return "Tuple(" + ", ".join(map(described, what.spaces)) + ")"
    if isinstance(what, Discrete):
        return f"Discrete({what.n})" if what.start == 0 else f"Discrete({what.n}, start={what.start})"
    if isinstance(what, Box):
        bound = (
            ""
            if what.low is None and what.high is None
            else f", {_bound(what.low, '-inf')} to {_bound(what.high, 'inf')}"
        )
        return f"Box({what.shape}, {what.dtype}{bound})"
    return f"{what.type}({what.shape})"


def _bound(bound: Any, none: str) -> str:
    return none if bound is None else f"{bound:g}" if isinstance(bound, float) else str(bound)[:60]


def sample(space: Space) -> Any:
    """A value of a space, as JSON has it: zero where that is within the bounds, and else what is nearest to it."""
    if isinstance(space, Dict):
        return {key: sample(inner) for key, inner in space.spaces.items()}
    if isinstance(space, Tuple):
        return [sample(inner) for inner in space.spaces]
    if isinstance(space, Discrete):
        return space.start
    if isinstance(space, MultiDiscrete):
        return np.array(space.start).reshape(space.shape).tolist()
    low, high = space.limits
    value = np.broadcast_to(np.clip(0.0, low, high), space.shape)
    if np.dtype(space.dtype).kind != "f":
        value = np.ceil(value).astype(space.dtype)
    return value.tolist()
