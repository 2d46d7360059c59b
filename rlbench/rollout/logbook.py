"""What happens on a device, written there line by line and sent to the host a page at a time: nobody waits for it."""

import numpy as np
import torch
from torch import Tensor

from ..cuda.feed import memory


class Logbook:
    """Of n copies. A line is a step: numbers of each copy, float64.

    Args:
        lines: on a page.
        n: copies.
        width: numbers of each.
        device: where it is written.

    Attributes:
        written: lines that are on the page.
    """

    def __init__(self, lines: int, n: int, width: int, device: torch.device) -> None:
        self.lines, self._device = lines, device
        self._log = torch.zeros(lines, n, width, dtype=torch.float64, device=device)
        self._line = torch.zeros(1, dtype=torch.int64, device=device)
        self.written = 0
        self._sent: list[tuple[Tensor, torch.cuda.Event | None]] = []

    @property
    def unread(self) -> bool:
        """Whether anything stands on a page that has not been read."""
        return bool(self._sent or self.written)

    def write(self, line: Tensor) -> None:
        """Add a line, (n, width): operations on tensors alone. Whoever runs them counts: see `count`."""
        self._log.index_copy_(0, self._line, line.unsqueeze(0))
        self._line += 1

    def count(self) -> bool:
        """A line has been written. Whether the page is full now, and must be sent before the next one."""
        self.written += 1
        return self.written == self.lines

    def send(self) -> None:
        """Send what has been written on its way, and begin another page."""
        if not self.written:
            return
        page = self._log[: self.written]
        here, arrived = memory(page.shape, page.dtype, self._device), None
        here.copy_(page, non_blocking=True)
        if self._device.type == "cuda":
            arrived = torch.cuda.Event()
            arrived.record(torch.cuda.current_stream(self._device))
        self._sent.append((here, arrived))
        self._line.zero_()
        self.written = 0

    def read(self, but: int) -> list[np.ndarray]:
        """The pages that were sent, but for the newest ``but``, once they have arrived; each is read once.

        Returns:
            (lines, n, width) each.
        """
        found = []
        while len(self._sent) > but:
            here, arrived = self._sent.pop(0)
            if arrived is not None:
                arrived.synchronize()
            found.append(here.numpy())
        return found

    def clear(self) -> None:
        """Nothing has happened."""
        self._sent.clear()
        self._line.zero_()
        self.written = 0
