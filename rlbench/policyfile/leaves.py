"""Between observations as an environment, or JSON, has them and the arrays that a policy file takes.

A nested space has one input for each leaf, named by its path: "obs", or "obs.position" and "obs.pixels", or "obs.0".
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .metadata import Box, Dict, Discrete, Leaf, MultiBinary, MultiDiscrete, Port, Space, Tuple, representable
from .quick import fit

OBS = "obs"
SPARE = 1000  # values beyond those of a space that are looked at, to say what is wrong with them


class BadValue(ValueError):
    """A value that its space does not hold: what was expected, and what came."""


def leaves(space: Space, name: str = OBS) -> Iterator[tuple[str, Leaf]]:
    """The leaves of a space by the names of their inputs, in the space's order."""
    if isinstance(space, Dict):
        for key, inner in space.spaces.items():
            yield from leaves(inner, f"{name}.{key}")
    elif isinstance(space, Tuple):
        for i, inner in enumerate(space.spaces):
            yield from leaves(inner, f"{name}.{i}")
    else:
        yield name, space


def obs_ports(space: Space) -> list[Port]:
    """The inputs for observations of a space."""
    return [Port(name=name, role="obs", shape=leaf.shape, dtype=leaf.dtype) for name, leaf in leaves(space)]


def stacked(
    space: Space, observations: Sequence[Any], *, bounded: bool = True, name: str = OBS, place: str | None = None
) -> dict[str, np.ndarray]:
    """A batch as arrays (B, *shape) of the leaves' dtypes, by the names of the inputs. Every number is checked.

    Args:
        space: of each observation.
        observations: B of them, at least one, as the environment or as JSON has them: arrays or nested lists, dicts
            with every key, sequences for a Tuple.
        bounded: refuse floats beyond the bounds of a Box. Environments give such now and then, and agents learn from
            them as they are: what comes straight from one is not to be refused.
        name: that the names of the inputs begin with.
        place: what messages call the observations, each with its number; without, one alone is ``name``.

    Raises:
        BadValue: one is not of the space; the message names it, ``obs[3].position``, where there are several.
    """
    out: dict[str, np.ndarray] = {}
    if fit(space, observations, name, bounded, out):
        return out
    several = place is not None or len(observations) > 1
    places = [f"{place or name}[{i}]" if several else name for i in range(len(observations))]
    out.clear()
    _gather(space, observations, places, name, out, bounded)
    return out


def _gather(
    space: Space, values: Sequence[Any], places: Sequence[str], name: str, out: dict[str, np.ndarray], bounded: bool
) -> None:
    if isinstance(space, Dict):
        for value, place in zip(values, places, strict=True):
            if not isinstance(value, Mapping):
                raise BadValue(f"{place} is {kind(value)} where an object with {_listed(space.spaces)} is expected")
            if missing := [key for key in space.spaces if key not in value]:
                raise BadValue(f"{place} lacks {missing[0]!r}: an object with {_listed(space.spaces)} is expected")
            if extra := [key for key in value if key not in space.spaces]:
                raise BadValue(f"{place} has {str(extra[0])[:40]!r}, which is none of {_listed(space.spaces)}")
        for key, inner in space.spaces.items():
            _gather(inner, [v[key] for v in values], [f"{p}.{key}" for p in places], f"{name}.{key}", out, bounded)
    elif isinstance(space, Tuple):
        for value, place in zip(values, places, strict=True):
            if not isinstance(value, list | tuple) or len(value) != len(space.spaces):
                raise BadValue(f"{place} is {kind(value)} where {len(space.spaces)} parts in a row are expected")
        for i, inner in enumerate(space.spaces):
            _gather(inner, [v[i] for v in values], [f"{p}[{i}]" for p in places], f"{name}.{i}", out, bounded)
    else:
        out[name] = np.stack([checked(space, v, place, bounded) for v, place in zip(values, places, strict=True)])


def checked(leaf: Leaf, value: Any, place: str, bounded: bool = True) -> np.ndarray:
    """One value as an array of the leaf's shape and dtype; ``bounded`` as for `stacked`.

    Raises:
        BadValue: not that shape, no numbers, not finite, no whole numbers where these are due, or out of bounds.
    """
    shape = leaf.shape
    if _is_larger(value, most := 4 * math.prod(shape) + SPARE):  # what somebody sends to keep us busy
        raise BadValue(f"{place} holds more than {most:,} values where {due(leaf)} expected")
    if wrong := _no_number(value, len(shape) + 1, place, isinstance(leaf, MultiBinary)):
        if wrong[0] == place:
            raise BadValue(f"{place} is {kind(value)} where {due(leaf)} expected")
        raise BadValue(f"{wrong[0]} is {kind(wrong[1])} where a number is expected")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise BadValue(f"{place} has rows of different lengths where {due(leaf)} expected") from None
    if array.dtype.kind == "b" and not isinstance(leaf, MultiBinary):
        raise BadValue(f"{place} holds {kind(value)} where {due(leaf)} expected")
    if array.dtype.kind not in "iufb":
        what = "a number that is too large" if _huge(array) else kind(value)
        raise BadValue(f"{place} holds {what} where {due(leaf)} expected")
    if array.shape != shape:
        if shape == () and array.shape == (1,):
            raise BadValue(f"{place} is a list of one where {due(leaf)} expected")
        raise BadValue(f"{place} has shape {array.shape} where {due(leaf)} expected")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadValue(f"{place} holds {array[~np.isfinite(array)].flat[0]} where {due(leaf)} expected")
    if isinstance(leaf, Box):
        return _boxed(leaf, array, place, bounded or np.dtype(leaf.dtype).kind != "f")
    low, high = _range(leaf)
    if array.dtype.kind == "f" and (array != np.rint(array)).any():
        raise BadValue(f"{place} holds {_first(array, array != np.rint(array))} where {due(leaf)} expected")
    if (wrong := (array < low) | (array > high)).any():
        raise BadValue(f"{place} holds {_first(array, wrong)} where {due(leaf)} expected")
    return array.astype(leaf.dtype)


def _boxed(leaf: Box, array: np.ndarray, place: str, bounded: bool) -> np.ndarray:
    dtype = np.dtype(leaf.dtype)
    if dtype.kind in "iu" and array.dtype.kind == "f" and (array != np.rint(array)).any():
        raise BadValue(f"{place} holds {_first(array, array != np.rint(array))} where {due(leaf)} expected")
    for bound, beyond in ((leaf.low, np.less), (leaf.high, np.greater)) if bounded else ():
        if bound is not None and (wrong := beyond(array, _bound(bound, array.shape))).any():
            raise BadValue(f"{place} holds {_first(array, wrong)} where {due(leaf)} expected")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if (wrong := (array < limits.min) | (array > limits.max)).any():
            raise BadValue(f"{place} holds {_first(array, wrong)} where {due(leaf)} expected")
        return array.astype(dtype)
    low, high = representable(leaf.dtype)  # what lies just beyond would be rounded to them
    if (wrong := (array < low) | (array > high)).any():
        raise BadValue(f"{place} holds {_first(array, wrong)}, which is beyond {dtype}")
    return array.astype(dtype)


def _bound(bound: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A bound as numbers; where there is none, NaN, which nothing is beyond."""
    return np.broadcast_to(np.array(bound, dtype=np.float64), shape)


def _range(leaf: Discrete | MultiDiscrete | MultiBinary) -> tuple[Any, Any]:
    if isinstance(leaf, Discrete):
        return leaf.start, leaf.start + leaf.n - 1
    if isinstance(leaf, MultiBinary):
        return 0, 1
    start = np.array(leaf.start).reshape(leaf.shape)
    return start, start + np.array(leaf.nvec).reshape(leaf.shape) - 1


def legal(shape: tuple[int, ...], masks: Sequence[Any] | None, batch: int) -> np.ndarray:
    """Masks as (B, *shape) bool, checked. Raises leaves.BadValue."""
    if masks is None:
        return np.ones((batch, *shape), bool)
    try:
        array = np.asarray(masks)
    except ValueError:
        array = np.empty(0)
    if array.shape != (batch, *shape) or array.dtype.kind not in "biu" or not np.isin(array, (0, 1)).all():
        raise BadValue(f"action_mask is expected as {batch} x {shape} of true and false")
    array = array.astype(bool)
    if not array.reshape(batch, -1).any(1).all():
        raise BadValue("action_mask allows no action")
    return array


def expected(leaf: Leaf) -> str:
    """What a leaf holds, in words."""
    if isinstance(leaf, Discrete):
        return f"a whole number from {leaf.start} to {leaf.start + leaf.n - 1}"
    if isinstance(leaf, MultiBinary):
        return f"numbers 0 or 1 of shape {leaf.shape}"
    if isinstance(leaf, MultiDiscrete):
        return f"whole numbers of shape {leaf.shape}, each below {', '.join(map(str, leaf.nvec[:8]))} from its start"
    kind = "finite numbers" if np.dtype(leaf.dtype).kind == "f" else "whole numbers"
    one = not isinstance(leaf.low, list) and not isinstance(leaf.high, list)
    within = ""
    if one and (leaf.low is not None or leaf.high is not None):
        within = f" from {_number(leaf.low, '-inf')} to {_number(leaf.high, 'inf')}"
    elif not one:
        within = " within the bounds of the space"
    return f"{kind} of shape {leaf.shape}{within}"


def due(leaf: Leaf) -> str:
    """What a leaf holds, with its verb."""
    return f"{expected(leaf)} {'is' if isinstance(leaf, Discrete) else 'are'}"


def _number(bound: Any, none: str) -> str:
    return none if bound is None else f"{bound:g}"


def kind(value: Any) -> str:
    """What came, in a word or two."""
    names = {bool: "a bool", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return names.get(type(value), f"a {type(value).__name__}")


def _listed(keys: Mapping[str, Any]) -> str:
    names = [repr(key) for key in keys]
    return ", ".join(names[:8]) + (", ..." if names[8:] else "")


def _first(array: np.ndarray, where: np.ndarray) -> str:
    return f"{array[where].flat[0]:.10g}"


def _huge(array: np.ndarray) -> bool:
    return array.dtype.kind == "O" and all(isinstance(x, int) for x in array.flat)


def _is_larger(value: Any, most: int) -> bool:
    """Whether nested lists hold more than ``most`` values; no more of them are looked at."""
    waiting: list[Sequence[Any]] = [[value]]
    seen = 0
    while waiting:
        for one in waiting.pop():
            if isinstance(one, list | tuple):
                seen += len(one)
                if seen > most:
                    return True
                waiting.append(one)
    return False


def _no_number(value: Any, depth: int, place: str, bools: bool) -> tuple[str, Any] | None:
    """The first in nested lists that is a text, an object, null, a list too deep, or a bool where none may be, which
    NumPy would count as 0 or 1; with its place."""
    if isinstance(value, list | tuple):
        if depth == 0:
            return place, value
        found = (_no_number(one, depth - 1, f"{place}[{i}]", bools) for i, one in enumerate(value))
        return next((one for one in found if one), None)
    wrong = (
        value is None or isinstance(value, str | bytes | Mapping) or (not bools and isinstance(value, bool | np.bool_))
    )
    return (place, value) if wrong else None
