"""Named random streams, one per seed, drawn in blocks.

A stream is a fixed sequence of numbers that depends on (seed, name) alone: element i is the same whichever seeds train
beside it, however many are drawn at a time, and on whatever device. Its whole state is one integer, the position, so
that saving and restoring it is exact. There is no global generator anywhere in rlbench.
"""

import contextlib
import functools
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

EPISODES = 32  # seeds hashed at a time
BLOCK = 4096  # numbers generated at a time, per seed


def episode_seed(seed: int, stream: str, env: int, episode: int) -> int:
    """Seed for ``env.reset`` of one episode: a 31-bit hash of its four numbers.

    31 bits, because some environments accept no more.
    """
    return _episode_seeds(seed, stream, env, episode // EPISODES)[episode % EPISODES]


@functools.lru_cache(4096)
def _episode_seeds(seed: int, stream: str, env: int, block: int) -> list[int]:
    """Those of EPISODES episodes in a row: hashing one costs as much as resetting a small environment."""
    state = _sequence(seed, stream, env, block).generate_state(EPISODES)
    return [word & 0x7FFFFFFF for word in state.tolist()]


def generator(seed: int, stream: str) -> np.random.Generator:
    """A NumPy generator of its own for (seed, stream), for code that is written for one learner."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream)))


@contextlib.contextmanager
def seeded_torch(rng: np.random.Generator) -> Iterator[None]:
    """Context in which torch draws by ``rng``: for what knows no generator but torch's global one of the CPU.

        with seeded_torch(self.rng):
            self.net = torch.nn.Linear(4, 2)  # or torch.distributions.Categorical(logits=...).sample()

    Layers of ``torch.nn`` draw their weights when they are made, dropout when it is called. The global generator is
    seeded with a number from ``rng``, and is afterwards where it was, to the bit, also where something raises. What it
    draws in here is told by ``rng`` alone, whose state is saved with the learner it belongs to: so a run resumes, and a
    seed has the same numbers alone and among others.

    Args:
        rng: a `rlbench.Learner`'s; one number is drawn from it each time.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(int(rng.integers(2**63)))  # torch.manual_seed would seed every card too
    try:
        yield
    finally:
        torch.set_rng_state(before)


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
        self._host = np.empty((len(self.seeds), 0))
        self._block = torch.from_numpy(self._host)  # the same on the device

    def uniform(self, n: int) -> Tensor:
        """(S, n) float64 in [0, 1). A view into the block: do not write to it."""
        low = self._take(n)
        return self._block[:, low : low + n]

    def host(self, n: int) -> np.ndarray:
        """The next (S, n) of `uniform`, but on the host: for decisions that should not wait for a device."""
        low = self._take(n)
        return self._host[:, low : low + n]

    def integers(self, n: int, high: int) -> Tensor:
        """(S, n) int64 in [0, high), from the next n numbers."""
        return torch.from_numpy((self.host(n) * high).astype(np.int64)).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """(S, *shape) float32 from the standard normal, by the inverse of its distribution function."""
        u = self.uniform(math.prod(shape)).clamp(min=2.0**-53)
        return (torch.erfinv(2 * u - 1) * math.sqrt(2)).float().view(-1, *shape)

    def permutation(self, n: int) -> Tensor:
        """(S, n) int64: each seed's own order of 0 to n - 1, every order as likely, from the next n numbers."""
        return torch.from_numpy(self.host(n).argsort(1, kind="stable")).to(self.device)

    def categorical(self, probabilities: Tensor) -> Tensor:
        """Draw one of A with the chances given, from the next number for each draw.

        What has no chance is never drawn. Of logits, give ``logits.log_softmax(-1).exp()``; of a network's, see
        `rlbench.distributions.Categorical`.

        Args:
            probabilities: (S, ..., A), none below 0 and one above; they need not sum to 1.

        Returns:
            (S, ...) int64.
        """
        below = probabilities.cumsum(-1, dtype=torch.float64)
        u = self.uniform(math.prod(below.shape[1:-1])).view(*below.shape[:-1], 1)
        return (u * below[..., -1:] >= below).sum(-1)  # u < 1, so that the product is below the sum in float64 too

    def divert(self, purpose: str) -> None:
        """Draw from another sequence from here on, which begins: the one of this name for ``purpose``."""
        self.name, self.position, self._start = f"{purpose}/{self.name}", 0, 0
        self._host = np.empty((len(self.seeds), 0))
        self._block = torch.from_numpy(self._host)

    def _take(self, n: int) -> int:
        """Advance by n numbers; where they begin in the block."""
        low = self.position - self._start
        if low < 0 or low + n > self._host.shape[1]:
            self._fill(n)
            low = self.position - self._start
        self.position += n
        return low

    def _fill(self, n: int) -> None:
        """Make _block start at or before ``position`` and reach at least ``n`` numbers beyond it."""
        first = self.position // BLOCK
        end = self._start + self._host.shape[1]
        keep: list[np.ndarray] = []
        if self._start <= self.position < end:  # go on where the last block ends
            keep, first = [self._host[:, self.position - self._start :]], end // BLOCK
            self._start = self.position
        else:
            self._start = first * BLOCK
        last = (self.position + n - 1) // BLOCK
        self._host = np.concatenate([*keep, *(self._numbers(b) for b in range(first, last + 1))], 1)
        self._block = torch.from_numpy(self._host).to(self.device)

    def _numbers(self, block: int) -> np.ndarray:
        rows = [np.random.Generator(np.random.PCG64(_sequence(s, self.name, block))).random(BLOCK) for s in self.seeds]
        return np.stack(rows)


class Streams:
    """The streams of S seeds by name: ``streams["explore"].uniform(n)``.

    Names in use: init, explore, evaluate, replay, draws. Any other is a stream of its own. Two kinds of randomness need
    no position, and are not kept here: seeds of episodes (`episode_seed`) are named env, evaluate or human by what the
    episode is for, and an agent for one learner has a `generator` named learner.

    Args:
        seeds: the S seed numbers, each 0 or more.
        device: where the numbers are wanted.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seeds = tuple(seeds)
        self.device = torch.device(device)
        self._streams: dict[str, Stream] = {}
        self._learners: list[np.random.Generator] = []
        self._purpose = ""

    def __getitem__(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = Stream(self.seeds, name, self.device)
            if self._purpose:
                self._streams[name].divert(self._purpose)
        return self._streams[name]

    def learners(self) -> list[np.random.Generator]:
        """A `generator` for each seed, for an agent that is written for one learner; who has them keeps their state."""
        self._learners = [generator(seed, "learner") for seed in self.seeds]
        return list(self._learners)

    def divert(self, purpose: str) -> None:
        """Let whoever draws from these streams draw other numbers from here on, those for ``purpose`` from their first
        on: so a copy of an agent draws the same ones every time, and none of those that the run draws."""
        self._purpose = purpose
        for stream in self._streams.values():
            stream.divert(purpose)
        for seed, mine in zip(self.seeds, self._learners, strict=bool(self._learners)):
            mine.bit_generator.state = generator(seed, f"{purpose}/learner").bit_generator.state

    def state_dict(self) -> dict[str, Any]:
        return {name: stream.position for name, stream in self._streams.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, position in state.items():
            self[name].position = int(position)
