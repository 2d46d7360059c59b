"""The quick way from a batch of observations to arrays: all values of a leaf are checked at once, by a few operations.

It says yes only where all of them surely fit, and never what is wrong: that is found out by `leaves`, one by one.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from .metadata import Dict, Leaf, MultiBinary, Space, Tuple, representable


def fit(space: Space, values: Sequence[Any], name: str, bounded: bool, out: dict[str, np.ndarray]) -> bool:
    """Whether all ``values`` surely are of the space; if so, ``out`` has them by the names of the inputs."""
    if isinstance(space, Dict):
        keys = space.spaces.keys()
        if not all(type(value) is dict and value.keys() == keys for value in values):
            return False
        return all(
            fit(inner, [v[key] for v in values], f"{name}.{key}", bounded, out) for key, inner in space.spaces.items()
        )
    if isinstance(space, Tuple):
        parts = len(space.spaces)
        if not all(isinstance(value, list | tuple) and len(value) == parts for value in values):
            return False
        return all(
            fit(inner, [v[i] for v in values], f"{name}.{i}", bounded, out) for i, inner in enumerate(space.spaces)
        )
    array, dtype = _numbers(space, values), np.dtype(space.dtype)
    if array is None:
        return False
    low, high = space.limits if bounded or dtype.kind != "f" else representable(space.dtype)
    if not ((array >= low) & (array <= high)).all():  # NaN is within nothing
        return False
    if array.dtype.kind == "f" and dtype.kind != "f" and (array != np.rint(array)).any():
        return False
    out[name] = np.ascontiguousarray(array, dtype)
    return True


def _numbers(leaf: Leaf, values: Sequence[Any]) -> np.ndarray | None:
    """Values of a leaf as numbers (B, *shape); None unless all are surely such, and none is a bool in disguise."""
    types = set(map(type, values))
    arrays = types == {np.ndarray}
    if not arrays:
        flat: Sequence[Any] = values
        for size in leaf.shape:
            if not types <= {list, tuple} or set(map(len, flat)) != {size}:
                return None
            flat = list(chain.from_iterable(flat))
            types = set(map(type, flat))
        if not all(one in (int, float) or issubclass(one, np.integer | np.floating) for one in types):
            return None
    try:
        array = values[0][None] if arrays and len(values) == 1 else np.array(values)
    except (ValueError, OverflowError):  # of several shapes
        return None
    kinds = "iufb" if isinstance(leaf, MultiBinary) else "iuf"
    return array if array.shape == (len(values), *leaf.shape) and array.dtype.kind in kinds else None
