"""Nested states looked into: their tensors by path, and where two of them differ first."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..agent_state import same
from ..seed_axis import Shared


def leaves(state: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in a state, ("q_net.layers.0.weight", tensor) each; what is `Shared` by what it holds."""
    if isinstance(state, Shared):
        yield from leaves(state.value, where)
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, f"{where}.{key}" if where else str(key))
    elif isinstance(state, (list, tuple)):
        for i, value in enumerate(state):
            yield from leaves(value, f"{where}[{i}]")
    else:
        yield where, state


def numbers(state: Any) -> dict[str, Tensor]:
    """The tensors of a state that hold floating-point numbers, by path."""
    return {where: x for where, x in leaves(state) if isinstance(x, Tensor) and x.is_floating_point() and x.numel()}


def weights(state: Any) -> dict[str, Tensor]:
    """Of `numbers`, those that look as if they had been drawn: several, no two alike."""
    return {where: x for where, x in numbers(state).items() if x.numel() > 3 and len(x.unique()) > 0.9 * x.numel()}


def difference(expected: Any, came: Any) -> str:
    """Where two states differ first, and how; "" where they are the same to the last bit."""
    if same(expected, came):
        return ""
    ours, theirs = dict(leaves(expected)), dict(leaves(came))
    if odd := sorted(ours.keys() ^ theirs.keys()):
        return f"{odd[0]} is in one of the two alone"
    for where, value in ours.items():
        other = theirs[where]
        if same(value, other):
            continue
        if not (isinstance(value, Tensor) and isinstance(other, Tensor)):
            return f"{where} is {_short(other)}, expected {_short(value)}"
        if value.shape != other.shape:
            return f"{where} has shape {tuple(other.shape)}, expected {tuple(value.shape)}"
        apart = (value != other) & ~((value != value) & (other != other))
        most = (value.double() - other.double()).abs().nan_to_num(torch.inf).max()
        return f"{where} differs in {int(apart.sum()):,} of {value.numel():,} numbers, by up to {float(most):.2g}"
    return "they differ in form"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def pair_of(state: dict[str, Any]) -> tuple[str, str] | None:
    """The keys of a network and of the target that follows it."""
    for target in (name for name in state if "target" in name.lower()):
        shapes = [x.shape for x in numbers(state[target]).values()]
        for online, whole in state.items():
            alike = [x.shape for x in numbers(whole).values()] == shapes
            if shapes and "target" not in online.lower() and alike:
                return online, target
    return None
