"""Observations checked against their space: every number that an environment returns, at every depth.

Below `nested` and `spaces`, which put the parts together. Each function here makes a checker for one space once; it
then takes one value and gives it as NumPy stores it, or raises `Unfit`. What is stored is what was returned: a value
that the stored form cannot hold is an error, never wrapped and never cut short.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

EXACT = 2**24  # whole numbers up to here survive float32
F32 = np.dtype(np.float32)
_F64 = np.dtype(np.float64)
_LARGEST = float(np.finfo(np.float32).max)
_SQUARE = 1e76  # of numbers whose squares add up to less, none is too large for float32

_iinfo: Any = np.iinfo

Check = Callable[[Any], Any]


class Unfit(ValueError):
    """What an environment returned is not what it declared. The text is for its author."""


class TooLarge(list[float]):
    """Finite numbers that float32 cannot hold, as they came; what is stored in their place is infinite."""


def as_array(value: Any, name: str) -> np.ndarray:
    """``value`` as an array of numbers; ``name`` says what it is.

    Raises:
        Unfit: it is none.
    """
    if isinstance(value, torch.Tensor):  # also one that needs gradients or lies on another device
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise Unfit(f"{name} has masked entries where numbers are due")
    try:
        found = np.asarray(value)
    except Exception as e:
        raise Unfit(f"{name} cannot be read as an array of numbers: {str(e).splitlines()[0] if str(e) else e!r}") from e
    if found.dtype.kind not in "biuf":
        raise Unfit(f"{name} is {kind(value)} where numbers are due")
    return found


def kind(value: Any) -> str:
    """What ``value`` is, in a few words."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, np.ndarray) or isinstance(getattr(value, "shape", None), tuple):
        return f"an array of shape {tuple(value.shape)} and type {getattr(value, 'dtype', '?')}"
    text = repr(value)
    if isinstance(value, (int, float, complex, str, np.generic)) and len(text) <= 60:
        return f"{text} ({type(value).__name__})"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (list, tuple, dict)) else "")


def _shaped(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    if value is None:
        raise Unfit(f"{name} is None where shape {shape} was declared")
    if isinstance(value, (dict, str, bytes)):
        raise Unfit(f"{name} is {kind(value)} where an array of shape {shape} was declared")
    found = as_array(value, name)
    if found.shape != shape:
        raise Unfit(f"{name} has shape {found.shape} where {shape} was declared")
    return found


def box(space: spaces.Box, name: str, too_large: TooLarge) -> Check:
    """An array of the space's shape, whose numbers float32 (or the space's own type, of whole ones) holds as they are.

    Floats beyond the declared bounds pass, as many environments return them; in a space of whole numbers, what is none
    or lies beyond the range of its type does not. Of floats the last bits beyond float32 are lost, as they must be.
    """
    return _floats(space, name, too_large) if space.dtype.kind == "f" else _whole_numbers(space, name)


def _floats(space: spaces.Box, name: str, too_large: TooLarge) -> Check:
    shape, array = space.shape, np.ndarray

    def check(obs: Any) -> Any:
        if type(obs) is array and obs.shape == shape:
            if obs.dtype is F32:
                return obs
            if obs.dtype is _F64 and np.vdot(obs, obs) < _SQUARE:
                return obs
        found = _shaped(obs, shape, name)
        with np.errstate(all="ignore"):  # in float16, the bound is infinity
            beyond = np.isfinite(found) & (np.abs(found) > _LARGEST)
            if beyond.any():
                too_large.extend(found[beyond].astype(np.float64).ravel().tolist())
            return found.astype(F32)

    return check


def _whole_numbers(space: spaces.Box, name: str) -> Check:
    shape, dtype, array = space.shape, space.dtype, np.ndarray
    low, high = (0, 1) if dtype.kind == "b" else (int(_iinfo(dtype).min), int(_iinfo(dtype).max))
    small, few = high <= EXACT, 0 < math.prod(shape) <= 64

    def check(obs: Any) -> Any:
        if type(obs) is array and obs.dtype is dtype and obs.shape == shape:
            if small:
                return obs
            if few and max(numbers := obs.ravel().tolist()) <= EXACT and min(numbers) >= -EXACT:
                return obs
        found = _shaped(obs, shape, name)
        if not found.size:
            return found.astype(dtype)
        if found.dtype.kind == "f":
            if not np.isfinite(found).all():
                raise Unfit(f"{name} is not finite: {array_text(found)}")
            odd = found[found != np.rint(found)]
            if odd.size:
                raise Unfit(f"{name} holds {odd.flat[0]!s} where whole numbers ({dtype}) were declared")
        least, most = int(found.min()), int(found.max())
        if least < low or most > high:
            worst = least if least < low else most
            raise Unfit(f"{name} holds {worst} where {dtype} reaches from {low} to {high}")
        found = found.astype(dtype)
        if (least < -EXACT or most > EXACT) and any(int(np.float32(n)) != n for n in found.ravel().tolist()):
            raise Unfit(
                f"{name} holds {most if most > EXACT else least}, and beyond {EXACT} not every whole number can be "
                "stored (float32): scale it, or declare a Box of floats"
            )
        return found

    return check


def board(space: spaces.Box, name: str) -> Check:
    """Whole numbers of a Box whose bounds are its own, each as its place between them: 0 is the lower, 1 the upper."""
    whole = _whole_numbers(space, name)
    low = space.low.astype(np.float64)
    width = np.maximum(space.high.astype(np.float64) - low, 1.0)

    def check(obs: Any) -> Any:
        found = whole(obs)
        outside = found[(found < space.low) | (found > space.high)]
        if outside.size:
            raise Unfit(f"{name} holds {outside.flat[0]!s} where {bounds(space)} was declared")
        return ((found - low) / width).astype(F32)

    return check


def bounds(space: spaces.Box) -> str:
    """The bounds of a Box in a few words."""
    return f"{space.low.min()} to {space.high.max()}"


def index(space: spaces.Discrete, name: str) -> Check:
    """A whole number of the space, counted from its start."""
    n, start = int(space.n), int(space.start)

    def check(obs: Any) -> int:
        found = (obs if type(obs) is int else whole(obs, name, str(space))) - start
        if not 0 <= found < n:
            raise Unfit(f"{name} is {found + start} where {space} was declared")
        return found

    return check


def whole(value: Any, name: str, declared: str) -> int:
    """A single whole number.

    Raises:
        Unfit: it is something else, such as an array of one number.
    """
    if isinstance(value, (int, np.integer, np.bool_)):
        return int(value)
    if value is None or isinstance(value, (str, bytes, complex)):
        raise Unfit(f"{name} is {kind(value)} where {declared} was declared")
    found = as_array(value, name)
    if found.shape != ():
        raise Unfit(f"{name} is {kind(found)} where {declared} was declared: return one number, as int(obs) makes it")
    number = found.item()
    if isinstance(number, float) and not (math.isfinite(number) and number.is_integer()):
        raise Unfit(f"{name} is {number} where {declared} was declared")
    return int(number)


def ones(space: spaces.MultiDiscrete, name: str) -> Check:
    """The places, among ``sum(nvec)`` numbers, of those that are 1: one for each number of the space."""
    sizes, start = space.nvec.astype(np.int64), np.asarray(space.start, np.int64)
    first = np.concatenate([[0], np.cumsum(sizes.ravel())[:-1]]).astype(np.int64)

    def check(obs: Any) -> np.ndarray:
        found = _shaped(obs, sizes.shape, name)
        if found.dtype.kind == "f" and not (np.isfinite(found) & (found == np.rint(found))).all():
            raise Unfit(f"{name} is {array_text(found)} where whole numbers were declared")
        at = found.astype(np.int64) - start
        if ((at < 0) | (at >= sizes)).any():
            raise Unfit(f"{name} is {array_text(found)} where {' '.join(str(space).split())} was declared")
        return first + at.ravel()

    return check


def bits(space: spaces.MultiBinary, name: str) -> Check:
    """An array of zeros and ones."""

    def check(obs: Any) -> np.ndarray:
        found = _shaped(obs, space.shape, name)
        if not ((found == 0) | (found == 1)).all():
            raise Unfit(f"{name} is {array_text(found)} where {space} was declared, zeros and ones")
        return found

    return check


def letters(space: spaces.Text, name: str) -> Check:
    """The places of the letters in the space's alphabet, and beyond the text's end the number of its letters."""
    places = {letter: float(space.character_index(letter)) for letter in space.character_set}
    length, none = space.max_length, float(len(places))

    def check(obs: Any) -> list[float]:
        if not isinstance(obs, str):
            raise Unfit(f"{name} is {kind(obs)} where a text was declared")
        if not space.min_length <= len(obs) <= length:
            raise Unfit(f"{name} has {len(obs)} letters where {space.min_length} to {length} were declared")
        strange = [letter for letter in obs if letter not in places]
        if strange:
            raise Unfit(f"{name} holds {strange[0]!r}, which is not among the letters that were declared")
        return [places[letter] for letter in obs] + [none] * (length - len(obs))

    return check


def array_text(array: np.ndarray) -> str:
    """An array in one short line."""
    return " ".join(np.array2string(array, threshold=8).split()) if array.ndim else str(array.item())
