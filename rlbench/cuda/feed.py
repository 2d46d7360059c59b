"""Tensors copied from the host's memory to a card without waiting for it.

A copy out of ordinary memory makes the host stand still until the device has done all it was asked for before. Out of
pinned memory it does not: what was written there is fetched in its turn, and must stay as it is until then.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

HERE = "cpu"  # the kind of device whose memory is the host's; tests take it for one that is elsewhere


def away(device: torch.device) -> bool:
    """Whether tensors of the host have to be sent to ``device``."""
    return device.type != HERE


def memory(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of the host, its content undefined, from which `send` to ``device`` does not wait.

    Such memory is given out again once nobody holds the tensor and the device has fetched what was sent.
    """
    return torch.empty(tuple(shape), dtype=dtype, pin_memory=device.type == "cuda")


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on the device. Write no more to it: it may be fetched later, and on a CPU it is the same one."""
    return tensor.to(device, non_blocking=True)


def sent(array: np.ndarray, device: torch.device) -> Tensor:
    """A copy of ``array`` on the device; on a CPU a tensor over its memory."""
    here = torch.from_numpy(array)
    return send(memory(here.shape, here.dtype, device).copy_(here), device) if away(device) else here


class Feed:
    """Arrays of one kind on their way to a device, over and over.

    Args:
        device: where they go.
        dtype: of both.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._held = torch.empty(0)

    def array(self, *shape: int) -> np.ndarray:
        """An array to be written, its content undefined."""
        self._held = memory(shape, self.dtype, self.device)
        return self._held.numpy()

    def send(self) -> Tensor:
        """What was written to the newest array, on the device."""
        return send(self._held, self.device)


class Number:
    """A number of the host's that changes from call to call, where operations on a device find it.

    A graph of them takes what lies there at the time, and not what it was when the graph was made.

    Args:
        device: where it lies.
        dtype: of it there.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.there = torch.zeros((), dtype=dtype, device=device)
        self._now: float = 0

    def set(self, now: float) -> None:
        """Nobody waits, and what is on its way to the device already does not see it."""
        if now != self._now:
            self._now = now
            self.there.fill_(now)
