"""Gymnasium's spaces as `policyfile.metadata` describes them: what a file takes and gives where no Gymnasium is."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from ..border.spaces import ObsCodec, space_text
from ..errors import UsageError
from ..policyfile import metadata
from ..policyfile.leaves import leaves
from ..policyfile.metadata import Space

_KINDS = "iuf"  # NumPy's, of numbers that a file can hold


def shown_space(space: spaces.Space[Any], codec: ObsCodec, without: Collection[str]) -> spaces.Space[Any]:
    """The part of an observation space that an agent sees: ``codec`` is that of ``space``, without some keys."""
    if isinstance(space, spaces.Dict) and without and len(left := [k for k in space.spaces if k not in without]) == 1:
        return spaces.Dict({left[0]: codec.space})
    return codec.space


def described(space: spaces.Space[Any], env_id: str, of: str) -> Space:
    """A space as a file tells of it.

    Args:
        space: of what an agent sees, or does.
        env_id: whose it is.
        of: what it is of: "observations", "actions".

    Raises:
        UsageError: a part of it has no form of a fixed number of numbers, or its keys give no names to inputs.
    """
    found = _described(space, env_id, of)
    names = [name for name, _ in leaves(found)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{env_id!r} has {of} with two parts of one name, {twice}: a file could not tell them apart.")
    return found


def _described(space: spaces.Space[Any], env_id: str, of: str) -> Space:
    if isinstance(space, spaces.Discrete):
        return metadata.Discrete(n=int(space.n), start=int(space.start), dtype=str(space.dtype))
    if isinstance(space, spaces.MultiDiscrete):
        start = np.asarray(space.start).ravel().tolist()
        nvec = space.nvec.ravel().tolist()
        return metadata.MultiDiscrete(shape=space.shape, nvec=nvec, start=start, dtype=str(space.dtype))
    if isinstance(space, spaces.MultiBinary):
        return metadata.MultiBinary(shape=tuple(space.shape), dtype=str(space.dtype))
    if isinstance(space, spaces.Box) and space.dtype.kind == "b":
        return metadata.MultiBinary(shape=space.shape, dtype="bool")
    if isinstance(space, spaces.Box) and space.dtype.kind in _KINDS and space.dtype.itemsize <= 8:
        low, high = _bounds(space.low), _bounds(space.high)
        return metadata.Box(shape=space.shape, dtype=str(space.dtype), low=low, high=high)
    if isinstance(space, spaces.Dict):
        if odd := [key for key in space.spaces if not isinstance(key, str)]:
            raise UsageError(f"{env_id!r} has {of} with the key {odd[0]!r}; in a file keys are texts.")
        return metadata.Dict(spaces={key: _described(inner, env_id, of) for key, inner in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return metadata.Tuple(spaces=[_described(inner, env_id, of) for inner in space.spaces])
    raise UsageError(
        f"{env_id!r} has {of} with a part of type {type(space).__name__} ({space_text(space)}), which no file can take "
        "as numbers. Put a --wrapper around it that makes a Box, Discrete, MultiDiscrete or MultiBinary of it."
    )


def _bounds(bound: np.ndarray) -> metadata.Bounds:
    """One number where all are the same, else nested lists; None where there is none."""
    numbers: list[Any] = [float(x) if np.isfinite(x) else None for x in bound.ravel().tolist()]
    if len(set(numbers)) == 1:
        return numbers[0]
    return _nested(numbers, bound.shape)


def _nested(flat: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    if len(shape) == 1:
        return list(flat)
    each = len(flat) // shape[0]
    return [_nested(flat[i * each : (i + 1) * each], shape[1:]) for i in range(shape[0])]
