"""The two kinds of memory that a replay buffer may lie in, and the few things that are done differently in each.

NumPy's calls cost a third of torch's where arrays are small, so that the host's memory is NumPy's. The arithmetic of a
buffer is written once, for arrays of either kind: operators, slices and what stands here.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cuda.feed import Number, sent
from ..rng import Stream
from ..types import Transition
from .packing import Packed, Twofold

ROOM = (
    0.5  # of a card's free memory, that a buffer may take unasked: gradients, graphs and random numbers come after it
)
MOST = 0.95  # likewise, where it was asked for


class Arrays(ABC):
    """Arrays in one kind of memory.

    Attributes:
        on_device: whether it is the device's, where nothing here waits and all sizes are known beforehand.
    """

    on_device: bool

    @abstractmethod
    def zeros(self, shape: Sequence[int], dtype: torch.dtype) -> Any: ...

    def room(self, shape: Sequence[int], dtype: torch.dtype) -> Any:
        """Zeros that stay: in the host's memory they take it only as they are written to."""
        return self.zeros(shape, dtype)

    @abstractmethod
    def array(self, x: np.ndarray) -> Any:
        """``x`` in this memory."""

    @abstractmethod
    def put(self, leaf: Tensor) -> Any:
        """A tensor, wherever it lies, to be copied from."""

    @abstractmethod
    def row(self, transition: Transition) -> Any:
        """The transition as one row for each copy, (S, E, width), if it lies here as such; or None."""

    @abstractmethod
    def near(self, transition: Transition) -> Transition:
        """The transition with its leaves here, if they are."""

    @abstractmethod
    def shares(self, stream: Stream, n: int) -> Any:
        """The next n numbers of a stream, (S, n)."""

    @abstractmethod
    def take(self, flat: Any, index: Any) -> Any:
        """The entries of ``flat``, (N, ...), at ``index``, of any shape, which their shape begins with."""

    @abstractmethod
    def picked(self, k: Any, *arrays: Any) -> list[Any]:
        """Element ``k``, (S, B), along the third axis of arrays (S, B, n, ...)."""

    @abstractmethod
    def along(self, x: Any, index: Any) -> Any:
        """Elements of ``x`` along its second axis; both (S, L, B)."""

    @abstractmethod
    def whole(self, x: Any) -> Any:
        """As int64, cut off towards zero."""

    @abstractmethod
    def where(self, condition: Any, x: Any) -> Any:
        """``x``, of float32, or 0."""

    @abstractmethod
    def first(self, x: Any) -> Any:
        """Where along the last axis, of bools, the first True stands."""

    @abstractmethod
    def summed(self, x: Any) -> Any:
        """The sum over the last axis, of float32, in NumPy's order."""

    @abstractmethod
    def tensor(self, x: Any) -> Tensor:
        """The array as a tensor over the same memory."""

    @abstractmethod
    def given(self, x: Any) -> Tensor:
        """The array as a tensor on the device, which may not share its memory for long."""

    @abstractmethod
    def number(self) -> "RingNumber": ...

    def saved(self, x: Any, filled: int) -> list[Tensor]:
        """Of a ring (S, T, ...), the steps that are filled, a tensor for each seed."""
        return list(self.tensor(x)[:, :filled].unbind())

    def load(self, x: Any, saved: Sequence[Tensor], filled: int, what: str) -> None:
        """Take over what `saved` gave, from wherever it lies.

        Raises:
            ValueError: its shape is another.
        """
        want = tuple(x[0, :filled].shape)
        for ring, tensor in zip(self.tensor(x), saved, strict=True):
            if tuple(tensor.shape) != want:
                raise ValueError(f"saved replay {what} of shape {tuple(tensor.shape)} do not fit this buffer's {want}")
            ring[:filled].copy_(tensor)


class RingNumber:
    """A whole number that changes from call to call, as the arithmetic of a buffer reads it."""

    now: Any = 0

    def set(self, now: int) -> None:
        self.now = now


class RingNumberThere(RingNumber):
    """Likewise on a device, at one place for as long as there is the buffer."""

    def __init__(self, device: torch.device) -> None:
        self._number = Number(device, torch.int64)
        self.now = self._number.there

    def set(self, now: int) -> None:
        self._number.set(now)


class HostArrays(Arrays):
    """NumPy's, in the host's memory.

    Args:
        device: where tensors go.
    """

    on_device = False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def zeros(self, shape: Sequence[int], dtype: torch.dtype) -> np.ndarray:
        return np.zeros(shape, torch.empty(0, dtype=dtype).numpy().dtype)

    def array(self, x: np.ndarray) -> np.ndarray:
        return x

    def put(self, leaf: Tensor) -> np.ndarray:
        array: np.ndarray = leaf.cpu().numpy()
        return array

    def row(self, transition: Transition) -> Any:
        if not isinstance(transition, Packed):
            return None
        there = transition.there
        return transition.row if transition.row is not None or there is None else there.cpu().numpy()

    def near(self, transition: Transition) -> Transition:
        host = transition.host if isinstance(transition, Twofold) else None
        return transition if host is None else host

    def shares(self, stream: Stream, n: int) -> np.ndarray:
        return stream.host(n)

    def take(self, flat: Any, index: Any) -> np.ndarray:
        taken: np.ndarray = flat.take(index, 0)
        return taken

    def picked(self, k: Any, *arrays: Any) -> list[Any]:
        n = arrays[0].shape[2]
        at = np.arange(0, n * k.size, n).reshape(k.shape) + k
        return [x.reshape(-1, *x.shape[3:]).take(at, 0) for x in arrays]

    def along(self, x: Any, index: Any) -> Any:
        return np.take_along_axis(x, index, 1)

    def whole(self, x: Any) -> Any:
        return x.astype(np.int64)

    def where(self, condition: Any, x: Any) -> Any:
        return np.where(condition, x, np.float32(0))

    def first(self, x: Any) -> Any:
        return x.argmax(-1)

    def summed(self, x: Any) -> Any:
        return x.sum(-1)

    def tensor(self, x: Any) -> Tensor:
        return torch.from_numpy(x)

    def given(self, x: Any) -> Tensor:
        return sent(x, self.device)

    def number(self) -> RingNumber:
        return RingNumber()


class DeviceArrays(Arrays):
    """Tensors, in a device's memory.

    Args:
        device: which one.
    """

    on_device = True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def zeros(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.zeros(tuple(shape), dtype=dtype, device=self.device)

    def room(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        if self.device.type == "cpu":
            return torch.from_numpy(HostArrays(self.device).zeros(shape, dtype))
        return self.zeros(shape, dtype)

    def array(self, x: np.ndarray) -> Tensor:
        return sent(x, self.device)

    def put(self, leaf: Tensor) -> Tensor:
        return leaf.detach()

    def row(self, transition: Transition) -> Any:
        return transition.there if isinstance(transition, Packed) else None

    def near(self, transition: Transition) -> Transition:
        return transition

    def shares(self, stream: Stream, n: int) -> Tensor:
        return stream.uniform(n)

    def take(self, flat: Any, index: Any) -> Any:
        return flat.index_select(0, index.reshape(-1)).reshape(*index.shape, *flat.shape[1:])

    def picked(self, k: Any, *arrays: Any) -> list[Any]:
        found = []
        for x in arrays:
            index = k.reshape(*k.shape, *[1] * (x.dim() - 2)).expand(*k.shape, 1, *x.shape[3:])
            found.append(x.gather(2, index).squeeze(2))
        return found

    def along(self, x: Any, index: Any) -> Any:
        return x.gather(1, index)

    def whole(self, x: Any) -> Any:
        return x.long()

    def where(self, condition: Any, x: Any) -> Any:
        return torch.where(condition, x, 0.0)

    def first(self, x: Any) -> Any:
        return x.to(torch.int8).argmax(-1)

    def summed(self, x: Any) -> Any:
        return _in_order(list(x.unbind(-1)))

    def tensor(self, x: Any) -> Tensor:
        tensor: Tensor = x
        return tensor

    def given(self, x: Any) -> Tensor:
        return self.tensor(x)

    def number(self) -> RingNumber:
        return RingNumberThere(self.device)


def _in_order(x: list[Tensor]) -> Tensor:
    """The sum of tensors in the order in which NumPy adds up along an axis: one after the other if they are few, else
    by eights, and more than 128 by halves."""
    n = len(x)
    if n < 8:
        total = x[0]
        for one in x[1:]:
            total = total + one
        return total
    if n > 128:
        half = n // 2 - n // 2 % 8
        return _in_order(x[:half]) + _in_order(x[half:])
    eight = x[:8]
    for i in range(8, n - n % 8, 8):
        eight = [a + b for a, b in zip(eight, x[i : i + 8], strict=True)]
    a, b, c, d = (eight[i] + eight[i + 1] for i in range(0, 8, 2))
    total = (a + b) + (c + d)
    for one in x[n - n % 8 :]:
        total = total + one
    return total


def free_there(device: torch.device) -> int | None:
    """Bytes of the device's memory that can be had; None where there is no telling: it is not a card's."""
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def chosen(where: str, device: torch.device, nbytes: int) -> Arrays:
    """The memory for a buffer of ``nbytes``: the ``device``'s, the ``host``'s, or as it fits, ``auto``.

    Args:
        where: one of these three, as `rlbench.Spec` has it.
        device: where it is learned.
        nbytes: of a full buffer.
    """
    if where == "auto":
        free = free_there(device)
        return DeviceArrays(device) if free is not None and nbytes <= ROOM * free else HostArrays(device)
    return DeviceArrays(device) if where == "device" else HostArrays(device)
