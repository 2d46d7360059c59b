"""Fresh small arrays with tensors over the same memory, made many at a time: one by one they cost ten times as much."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..cuda.feed import memory

CPU = torch.device("cpu")
_BYTES = 2**16  # allocated at once, unless one array is larger
_MOST = 512  # arrays at once: flags are small, and seldom asked for


class Pages:
    """A supply of arrays (n, *rest) of one shape, none of which is given out twice.

    Args:
        lead: how the tensors split the first axis: (S, E) with S * E = n.
        rest: the other axes.
        dtype: of both.
        device: where the tensors will be sent.
    """

    def __init__(
        self, lead: tuple[int, int], rest: tuple[int, ...], dtype: np.dtype, device: torch.device = CPU
    ) -> None:
        self.lead, self.rest, self.dtype, self.device = lead, rest, dtype, device
        self._kind = torch.from_numpy(np.empty(0, dtype)).dtype
        self._pairs: Iterator[tuple[np.ndarray, Tensor]] = iter(())

    def take(self) -> tuple[np.ndarray, Tensor]:
        """The next array (n, *rest), its content undefined, and the CPU tensor (*lead, *rest) over its memory."""
        for pair in self._pairs:
            return pair
        size = self.lead[0] * self.lead[1]
        count = max(
            1, min(_MOST, _BYTES // max(1, self.dtype.itemsize * size * int(np.prod(self.rest, dtype=np.int64))))
        )
        whole = memory((count, *self.lead, *self.rest), self._kind, self.device)
        arrays = whole.numpy().reshape(count, size, *self.rest)
        self._pairs = iter(zip(arrays, whole.unbind(), strict=True))
        return self.take()
