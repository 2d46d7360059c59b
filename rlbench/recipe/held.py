"""Bytes that tensors and arrays take, wherever they are held: in a state, in a buffer, anywhere in an object."""

from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from ..seed_axis import Shared

_LEAVES = (str, bytes, int, float, bool, type, ModuleType, FunctionType, MethodType, torch.device, torch.dtype)


def tensors(value: Any, seen: set[int] | None = None) -> Iterator[tuple[int, bool]]:
    """(bytes, whether they lie in the host's memory) of all tensors in a state; what two share counts once."""
    seen = set() if seen is None else seen
    if isinstance(value, Shared):
        value = [value.value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from tensors(inner, seen)
    elif isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        if storage.data_ptr() not in seen or not value.numel():
            seen.add(storage.data_ptr())
            yield storage.nbytes(), value.device.type == "cpu"


def held(replay: Any) -> int:
    """Bytes of a buffer: as it says, or else of its arrays."""
    known = getattr(replay, "nbytes", None)
    if isinstance(known, int):
        return known
    arrays = getattr(replay, "__dict__", {}).values()
    own = [x for x in arrays if isinstance(x, torch.Tensor) or (isinstance(x, np.ndarray) and x.base is None)]
    return sum(int(x.nbytes) for x in own)


def lying_on(device: torch.device, value: Any, seen: set[int]) -> Iterator[int]:
    """Bytes of each memory on ``device`` that is reached from ``value``, through whatever holds it.

    Args:
        device: cuda stands for every card.
        value: anything.
        seen: what was counted already; what is counted now is added.
    """
    rest, alive = [value], []
    while rest:
        held = rest.pop()
        if held is None or isinstance(held, _LEAVES) or id(held) in seen:
            continue
        seen.add(id(held))
        alive.append(held)  # or the next one might have its id
        if isinstance(held, torch.Tensor):
            if held.device.type == device.type and device.index in (None, held.device.index):
                storage = held.untyped_storage()
                if storage.nbytes() and -storage.data_ptr() not in seen:
                    seen.add(-storage.data_ptr())
                    yield storage.nbytes()
            rest.append(held.grad if held.is_leaf else None)
        elif isinstance(held, dict):
            rest += held.values()
        elif isinstance(held, list | tuple | set | frozenset):
            rest += held
        rest += getattr(held, "__dict__", {}).values()
        slots = (name for cls in type(held).__mro__ for name in getattr(cls, "__slots__", ()))
        rest += [getattr(held, name, None) for name in slots if isinstance(name, str) and not name.startswith("__")]
