"""Spaces from plain tables, values of them, values that are wrong in one way, and how a value is written down.

Used by the environment of the drill, which is user code, and by its judge: nothing here knows what rlbench stores.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from gymnasium import spaces

Tree = list[Any]  # ["Box", low, high, shape, dtype], ["Discrete", n, start], ["Dict", {key: tree}], ...
Path = tuple[Any, ...]  # keys and indices from the outermost space to a leaf


def build(tree: Tree) -> spaces.Space[Any]:
    """The space that a table describes."""
    kind, *args = tree
    if kind == "Box":
        low, high, shape, dtype = args
        bottom, top = (np.full(shape, np.array(_number(bound), dtype)) for bound in (low, high))
        made: spaces.Space[Any] = spaces.Box(bottom, top, dtype=np.dtype(dtype).type)
        return made
    if kind == "Discrete":
        return spaces.Discrete(args[0], start=args[1])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(args[0], start=args[1])
    if kind == "MultiBinary":
        return spaces.MultiBinary(args[0])
    if kind == "Text":
        return spaces.Text(args[0], charset=args[1])
    if kind == "Dict":
        return spaces.Dict({key: build(inner) for key, inner in args[0].items()})
    if kind == "Graph":
        return spaces.Graph(build(args[0]), build(args[1]) if args[1] else None)
    if kind == "Sequence":
        return spaces.Sequence(build(args[0]))
    return {"Tuple": spaces.Tuple, "OneOf": spaces.OneOf}[kind]([build(inner) for inner in args[0]])


def _number(bound: Any) -> Any:
    """A bound: JSON knows no infinity."""
    return float(bound) if isinstance(bound, str) else bound


def draw(space: spaces.Space[Any], rng: np.random.Generator) -> Any:
    """A value of ``space``. Gymnasium's own sampler gives infinity on wide bounds."""
    if isinstance(space, spaces.Box):
        low = np.maximum(space.low.astype(float), -50.0)
        high = np.minimum(space.high.astype(float), 50.0)
        low, high = np.minimum(low, space.high), np.maximum(high, space.low)  # bounds far from zero
        drawn = rng.uniform(low, high, space.shape)
        if space.dtype.kind in "iub":
            drawn = np.clip(np.floor(drawn + rng.uniform(0, 1, space.shape)), low, high)
        return np.asarray(drawn).astype(space.dtype)
    if isinstance(space, spaces.Dict):
        return {key: draw(inner, rng) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(draw(inner, rng) for inner in space.spaces)
    space.seed(int(rng.integers(2**31)))
    return space.sample()


def leaves(space: spaces.Space[Any], at: Path = ()) -> list[tuple[Path, spaces.Space[Any]]]:
    """The parts of a space that hold no others, with where they stand."""
    if isinstance(space, spaces.Dict):
        return [leaf for key, inner in space.spaces.items() for leaf in leaves(inner, (*at, key))]
    if isinstance(space, spaces.Tuple):
        return [leaf for i, inner in enumerate(space.spaces) for leaf in leaves(inner, (*at, i))]
    return [(at, space)]


def replaced(value: Any, at: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    """``value`` with the part at ``at`` changed; the rest is shared."""
    if not at:
        return change(value)
    key, *rest = at
    if isinstance(value, dict):
        return {**value, key: replaced(value[key], rest, change)}
    parts = list(value)
    parts[key] = replaced(parts[key], rest, change)
    return tuple(parts)


def _first(value: Any, number: float) -> np.ndarray:
    """``value`` as float64 with its first number replaced."""
    changed = np.array(value, np.float64)
    changed.reshape(-1)[:1] = number
    return changed if changed.size else np.full(1, number)


def _tensor(value: Any, *, grad: bool = False) -> Any:
    import torch

    tensor = torch.as_tensor(np.asarray(value, np.float32 if grad else None))
    return tensor.requires_grad_() if grad else tensor


def _above(value: Any) -> Any:
    return np.asarray(value, np.int64) + 256


#: What may be wrong with the value of a leaf: NaN and infinity, numbers out of range, other shapes and types.
SPOILERS: dict[str, Callable[[Any], Any]] = {
    "nan": lambda v: _first(v, math.nan),
    "infinite": lambda v: _first(v, -math.inf),
    "huge": lambda v: _first(v, 1e300),
    "fraction": lambda v: _first(v, 0.5),
    "all-fractions": lambda v: np.full(np.shape(v), 0.9, np.float32),
    "negative": lambda v: _first(v, -1).astype(np.int64),
    "beyond-byte": _above,
    "far-out": lambda v: _first(v, 1e6).astype(np.int64),
    "odd-integer": lambda v: _first(v, 2**24 + 1).astype(np.int64),
    "one-more": lambda v: np.append(np.asarray(v).reshape(-1), 0),
    "one-less": lambda v: np.asarray(v).reshape(-1)[:-1],
    "scalar": lambda v: 1.0,
    "array-of-one": lambda v: np.array([v]) if np.ndim(v) == 0 else np.asarray(v)[None],
    "transposed": lambda v: np.asarray(v).T,
    "flat": lambda v: np.asarray(v).reshape(-1),
    "nothing": lambda v: None,
    "text": lambda v: "odd",
    "list": lambda v: np.asarray(v).tolist(),
    "bytes": lambda v: np.asarray(v).tobytes(),
    "tensor": _tensor,
    "tensor-with-gradient": lambda v: _tensor(v, grad=True),
    "doubles": lambda v: np.asarray(v, np.float64),
    "halves": lambda v: np.asarray(v, np.float16),
    "booleans": lambda v: np.asarray(v).astype(bool),
    "complex": lambda v: np.asarray(v).astype(complex) + 1j,
    "objects": lambda v: np.asarray(v).astype(object),
    "masked": lambda v: np.ma.masked_less(np.asarray(v), 1e9),
    "ragged": lambda v: [[1.0], [1.0, 2.0]],
    "dictionary": lambda v: {"value": v},
}


def told(value: Any) -> Any:
    """A value as JSON that loses nothing of it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return value
    if isinstance(value, Decimal | Fraction):
        return float(value)
    if type(value).__module__.startswith("torch"):
        return {"array": told(value.detach().numpy())["array"]}
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind == "O" and all(isinstance(x, int | float | np.number) for x in array.flat):
            array = array.astype(np.float64)
        if array.dtype.kind not in "biuf":
            return {"other": f"array of {array.dtype}"}
        return {"array": [array.dtype.str, list(array.shape), array.reshape(-1).tolist()]}
    if isinstance(value, dict):
        return {"dict": {str(key): told(inner) for key, inner in value.items()}}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [told(inner) for inner in value]}
    return {"other": repr(type(value))}


def untold(content: Any) -> Any:
    """The value that `told` wrote down; `NotImplemented` for what is no number, text or container of these."""
    if not isinstance(content, dict):
        return content
    ((kind, inner),) = content.items()
    if kind == "array":
        dtype, shape, numbers = inner
        return np.array(numbers, dtype).reshape(shape)
    if kind == "dict":
        return {key: untold(part) for key, part in inner.items()}
    if kind in ("tuple", "list"):
        return [tuple, list][kind == "list"](untold(part) for part in inner)
    return NotImplemented


def vector(space: spaces.Space[Any], value: Any) -> np.ndarray | None:
    """The numbers that stand for ``value`` as a flat float64 array, or None where it is no value of ``space``.

    Written without looking at how rlbench does it: one-hot for what counts, the numbers themselves for a Box, one part
    after the other for Dict and Tuple. Numbers of a Box may lie outside its bounds, as those of CartPole do at times.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or not set(space.spaces) <= set(value):
            return None
        return _joined([vector(inner, value[key]) for key, inner in space.spaces.items() if fixed(inner)])
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple | list) or len(value) != len(space.spaces):
            return None
        return _joined([vector(inner, part) for inner, part in zip(space.spaces, value, strict=True)])
    if isinstance(space, spaces.OneOf) and isinstance(value, tuple) and len(value) == 2:
        value = (np.int64(value[0]), value[1])  # written down as an array of none
    if isinstance(space, spaces.Text | spaces.OneOf):
        try:
            return np.asarray(spaces.flatten(space, value), np.float64) if space.contains(value) else None
        except Exception:
            return None
    return _numbers(space, value)


def _numbers(space: Any, value: Any) -> np.ndarray | None:
    """`vector` of a leaf made of numbers."""
    if value is NotImplemented or value is None or isinstance(value, dict | str):
        return None
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    whole = bool(np.isfinite(array).all() and (array == np.floor(array)).all())
    if isinstance(space, spaces.Discrete):
        at = array.item() - float(space.start) if array.size == 1 and whole else -1.0
        return np.eye(int(space.n))[int(at)] if 0 <= at < space.n else None
    if array.shape != space.shape or not np.isfinite(array).all():
        return None
    if isinstance(space, spaces.MultiBinary):
        return array.reshape(-1) if np.isin(array, (0, 1)).all() else None
    if isinstance(space, spaces.MultiDiscrete):
        places = array - space.start
        if not whole or (places < 0).any() or (places >= space.nvec).any():
            return None
        parts = zip(places.reshape(-1), space.nvec.reshape(-1), strict=True)
        return np.concatenate([np.eye(int(n))[int(k)] for k, n in parts])
    return array.reshape(-1) if (np.abs(array) <= np.finfo(np.float32).max).all() else None


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate([np.empty(0), *known]) if len(known) == len(parts) else None


def fixed(space: spaces.Space[Any]) -> bool:
    """Whether values of ``space`` are of one size; a Dict passes over its parts that are not."""
    if isinstance(space, spaces.Dict):
        return any(fixed(inner) for inner in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return all(fixed(inner) for inner in space.spaces)
    return not isinstance(space, spaces.Graph | spaces.Sequence)
