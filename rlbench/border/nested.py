"""Observations that are put together of others, as flat numbers: where each part of a Dict, Tuple or OneOf goes.

Between `observations`, which checks the parts, and `spaces`. The places are those of Gymnasium's `flatten`; that checks
nothing itself, so that a part of another size or range would land where another belongs.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from . import observations
from .observations import Check, TooLarge, Unfit

Write = Callable[[np.ndarray, Any], None]  # a value into its place among the flat numbers


def writer(
    space: spaces.Space[Any], name: str, at: int, large: TooLarge, spare: Collection[str] = ()
) -> tuple[Write, int]:
    """What writes a value of ``space`` to its place among flat numbers that begins at ``at``, and where that ends.

    The places are those of Gymnasium's `flatten`. ``spare`` are keys of a Dict that may come and are not kept.
    """
    if isinstance(space, spaces.Dict):
        return _dict_writer(space, name, at, large, spare)
    if isinstance(space, spaces.Tuple):
        return _tuple_writer(space, name, at, large)
    if isinstance(space, spaces.OneOf):
        return _choice_writer(space, name, at, large)
    end = at + spaces.flatdim(space)
    if isinstance(space, spaces.Discrete):
        index = observations.index(space, name)

        def write_index(out: np.ndarray, obs: Any) -> None:
            out[at + index(obs)] = 1.0

        return write_index, end
    if isinstance(space, spaces.MultiDiscrete):
        ones = observations.ones(space, name)

        def write_ones(out: np.ndarray, obs: Any) -> None:
            out[at + ones(obs)] = 1.0

        return write_ones, end
    check: Check
    if isinstance(space, spaces.Box):
        check = observations.box(space, name, large)
    elif isinstance(space, spaces.MultiBinary):
        check = observations.bits(space, name)
    elif isinstance(space, spaces.Text):
        check = observations.letters(space, name)
    else:  # a space of a third party, which knows how to flatten itself

        def check(obs: Any) -> np.ndarray:
            flat = observations.as_array(spaces.flatten(space, obs), name)
            if flat.shape != (end - at,):
                raise Unfit(f"{name} was flattened to shape {flat.shape} where {(end - at,)} was declared")
            return flat

    def write(out: np.ndarray, obs: Any) -> None:
        out[at:end] = np.ravel(check(obs))

    return write, end


def _dict_writer(space: spaces.Dict, name: str, at: int, large: TooLarge, spare: Collection[str]) -> tuple[Write, int]:
    parts: list[tuple[str, Write]] = []
    for key, inner in space.spaces.items():
        write, at = writer(inner, f"{name}[{key!r}]", at, large)
        parts.append((key, write))
    keys = space.spaces.keys()

    def write_all(out: np.ndarray, obs: Any) -> None:
        if not isinstance(obs, Mapping):
            raise Unfit(f"{name} is {observations.kind(obs)} where a dict was declared")
        if obs.keys() != keys:
            missing, extra = [k for k in keys if k not in obs], [k for k in obs if k not in keys and k not in spare]
            if missing or extra:
                what = f"no {missing[0]!r}" if missing else f"{extra[0]!r}, which was not declared"
                raise Unfit(f"{name} has {what}; its keys are to be {', '.join(map(repr, keys))}")
        for key, write in parts:
            write(out, obs[key])

    return write_all, at


def _tuple_writer(space: spaces.Tuple, name: str, at: int, large: TooLarge) -> tuple[Write, int]:
    parts: list[Write] = []
    for number, inner in enumerate(space.spaces):
        write, at = writer(inner, f"{name}[{number}]", at, large)
        parts.append(write)

    def write_all(out: np.ndarray, obs: Any) -> None:
        if not isinstance(obs, (tuple, list, np.ndarray)) or len(obs) != len(parts):
            raise Unfit(f"{name} is {observations.kind(obs)} where a tuple of {len(parts)} was declared")
        for write, part in zip(parts, obs, strict=True):
            write(out, part)

    return write_all, at


def _choice_writer(space: spaces.OneOf, name: str, at: int, large: TooLarge) -> tuple[Write, int]:
    parts = [writer(inner, f"{name}[1]", at + 1, large) for inner in space.spaces]
    end = at + spaces.flatdim(space)

    def write_chosen(out: np.ndarray, obs: Any) -> None:
        if not isinstance(obs, (tuple, list)) or len(obs) != 2:
            raise Unfit(f"{name} is {observations.kind(obs)} where (number of the part, its value) was declared")
        which = observations.whole(obs[0], f"{name}[0]", f"one of {len(parts)} parts")
        if not 0 <= which < len(parts):
            raise Unfit(f"{name}[0] is {which} where one of {len(parts)} parts was declared")
        out[at] = which
        write, full = parts[which]
        write(out, obs[1])
        out[full:end] = out[at + 1]  # as Gymnasium fills up what is shorter

    return write_chosen, end
