"""Named random streams, one per seed, drawn in blocks.

A stream is a fixed sequence of numbers that depends on (seed, name) alone: element i is the same whichever seeds train
beside it, however many are drawn at a time, and on whatever device. Its whole state is one integer, the position, so
that saving and restoring it is exact. There is no global generator anywhere in rlbench.
"""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 4096  # numbers generated at a time, per seed


def episode_seed(seed: int, stream: str, *counters: int) -> int:
    """Seed for ``env.reset`` of one episode: a 31-bit hash of (seed, stream, counters), such as (env, episode).

    31 bits, because some environments accept no more.
    """
    return int(_sequence(seed, stream, *counters).generate_state(1)[0]) & 0x7FFFFFFF


def generator(seed: int, stream: str) -> np.random.Generator:
    """A NumPy generator of its own for (seed, stream), for code that is written for one learner."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream)))


def _sequence(seed: int, stream: str, *counters: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(stream.encode()), *counters))


class Stream:
    """One named sequence of uniform numbers per seed."""

    def __init__(self, seeds: Sequence[int], name: str, device: torch.device | str = "cpu") -> None:
        self.seeds = tuple(seeds)
        self.name = name
        self.device = torch.device(device)
        self.position = 0
        self._start = 0  # the position of the first column of _block
        self._block = torch.empty(len(self.seeds), 0, dtype=torch.float64, device=self.device)
        self._high = 0  # of the last `integers`
        self._integers: Tensor | None = None  # the block as integers below _high

    def uniform(self, n: int) -> Tensor:
        """(S, n) float64 in [0, 1). A view into the block: do not write to it."""
        low = self.position - self._start
        if low < 0 or low + n > self._block.shape[1]:
            self._fill(n)
            low = self.position - self._start
        self.position += n
        return self._block[:, low : low + n]

    def integers(self, n: int, high: int) -> Tensor:
        """(S, n) int64 in [0, high), from the next n numbers. A view that may be shared: do not write to it."""
        u = self.uniform(n)
        if high != self._high:  # a bound that changes from call to call: no use in preparing the block
            self._high, self._integers = high, None
            return (u * high).long()
        if self._integers is None:
            self._integers = (self._block * high).long()
        low = self.position - n - self._start
        return self._integers[:, low : low + n]

    def normal(self, n: int) -> Tensor:
        """(S, n) float32 from the standard normal, by the inverse of its distribution function."""
        u = self.uniform(n).clamp(min=2.0**-53)
        return (torch.erfinv(2 * u - 1) * math.sqrt(2)).float()

    def _fill(self, n: int) -> None:
        """Make _block start at or before ``position`` and reach at least ``n`` numbers beyond it."""
        first = self.position // BLOCK
        end = self._start + self._block.shape[1]
        keep: list[Tensor] = []
        if self._start <= self.position < end:  # go on where the last block ends
            keep, first = [self._block[:, self.position - self._start :]], end // BLOCK
            self._start = self.position
        else:
            self._start = first * BLOCK
        last = (self.position + n - 1) // BLOCK
        blocks = [torch.from_numpy(self._numbers(b)).to(self.device) for b in range(first, last + 1)]
        self._block, self._integers = torch.cat([*keep, *blocks], 1), None

    def _numbers(self, block: int) -> np.ndarray:
        rows = [np.random.Generator(np.random.PCG64(_sequence(s, self.name, block))).random(BLOCK) for s in self.seeds]
        return np.stack(rows)


class Streams:
    """The streams of S seeds by name: ``streams["explore"].uniform(n)``. Names in use: init, explore, action,
    replay.

    Args:
        seeds: the S seed numbers, each 0 or more.
        device: where the numbers are wanted.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seeds = tuple(seeds)
        self.device = torch.device(device)
        self._streams: dict[str, Stream] = {}

    def __getitem__(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = Stream(self.seeds, name, self.device)
        return self._streams[name]

    def state_dict(self) -> dict[str, Any]:
        return {name: stream.position for name, stream in self._streams.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, position in state.items():
            self[name].position = int(position)
