"""Named random streams, one per seed, drawn in blocks.

A stream is a fixed sequence of numbers that depends on (seed, name) alone: element i is the same whichever seeds train
beside it, however many are drawn at a time, and on whatever device. Its whole state is one integer, the position, so
that saving and restoring it is exact. There is no global generator anywhere in rlbench.
"""

import contextlib
import functools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cuda import pcg
from .cuda.feed import away

EPISODES = 32  # seeds hashed at a time
BLOCK = 4096  # numbers generated at a time, per seed
AT_ONCE = 256  # seeds of which a device makes a block at a time: half a GiB lies there meanwhile


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


def episode_seeds(seeds: Sequence[int], stream: str, envs: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """`episode_seed` of EPISODES episodes in a row, for many copies at once.

    Args:
        seeds: m of them.
        stream: of all.
        envs: (m,) int64.
        blocks: (m,) int64, below 2**32: those of the episodes from ``blocks * EPISODES`` on.

    Returns:
        (m, EPISODES) int64.
    """
    of_seed = {seed: pcg.spawned(seed, zlib.crc32(stream.encode())) for seed in set(seeds)}
    known = np.array([of_seed[seed] for seed in seeds], np.uint32)
    words = np.concatenate([known, np.stack([envs, blocks], 1).astype(np.uint32)], 1)
    return (pcg.generate_state(words, EPISODES) & np.uint32(0x7FFFFFFF)).astype(np.int64)


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
    """One named sequence of uniform numbers per seed.

    They are made where they are asked for, a block at a time: on the device for `uniform` and what is drawn by it, on
    the host for `host`. Nothing waits for the device, and a side that nobody asks costs nothing.
    """

    _since: int
    _there: Tensor

    def __init__(self, seeds: Sequence[int], name: str, device: torch.device | str = "cpu") -> None:
        self.seeds = tuple(seeds)
        self.name = name
        self.device = torch.device(device)
        self.position = 0
        self._away = away(self.device)
        self._since, self._there = 0, torch.empty(0)
        self._forget()

    def uniform(self, n: int) -> Tensor:
        """(S, n) float64 in [0, 1). A view into the block: do not write to it."""
        if not self._away:
            low = self._take(n)
            return self._block[:, low : low + n]
        low = self.position - self._since
        if low < 0 or low + n > self._there.shape[1]:
            self._there, self._since = self._longer(self._there, self._since, n, self._numbers_there, torch.cat)
            low = self.position - self._since
        self.position += n
        return self._there[:, low : low + n]

    def host(self, n: int) -> np.ndarray:
        """The next (S, n) of `uniform`, but on the host: for decisions that should not wait for a device."""
        low = self._take(n)
        return self._host[:, low : low + n]

    def integers(self, n: int, high: int) -> Tensor:
        """(S, n) int64 in [0, high), from the next n numbers."""
        if self._away:
            return (self.uniform(n) * high).long()
        return torch.from_numpy((self.host(n) * high).astype(np.int64))

    def normal(self, *shape: int) -> Tensor:
        """(S, *shape) float32 from the standard normal, by the inverse of its distribution function."""
        return as_normal(self.uniform(math.prod(shape)), *shape)

    def permutation(self, n: int) -> Tensor:
        """(S, n) int64: each seed's own order of 0 to n - 1, every order as likely, from the next n numbers."""
        if self._away:
            return self.uniform(n).argsort(dim=1, stable=True)
        return torch.from_numpy(self.host(n).argsort(1, kind="stable"))

    def categorical(self, probabilities: Tensor) -> Tensor:
        """Draw one of A with the chances given, from the next number for each draw.

        What has no chance is never drawn. Of logits, give ``logits.log_softmax(-1).exp()``; of a network's, see
        `rlbench.distributions.Categorical`.

        Args:
            probabilities: (S, ..., A), none below 0 and one above; they need not sum to 1.

        Returns:
            (S, ...) int64.
        """
        return as_categorical(self.uniform(math.prod(probabilities.shape[1:-1])), probabilities)

    def divert(self, purpose: str) -> None:
        """Draw from another sequence from here on, which begins: the one of this name for ``purpose``."""
        self.name, self.position = f"{purpose}/{self.name}", 0
        self._forget()

    def _forget(self) -> None:
        """Have no numbers, on either side."""
        self._start = 0  # the position of the first column of _host
        self._host = np.empty((len(self.seeds), 0))
        self._block = torch.from_numpy(self._host)  # the same numbers
        self._since = 0  # likewise of _there, which lies on a device
        self._there = torch.empty(len(self.seeds), 0, dtype=torch.float64, device=self.device)

    def _take(self, n: int) -> int:
        """Advance by n numbers; where they begin in the block."""
        low = self.position - self._start
        if low < 0 or low + n > self._host.shape[1]:
            self._host, self._start = self._longer(self._host, self._start, n, self._numbers, np.concatenate)
            self._block = torch.from_numpy(self._host)
            low = self.position - self._start
        self.position += n
        return low

    def _longer(self, held: Any, start: int, n: int, numbers: Callable[[int], Any], joined: Any) -> tuple[Any, int]:
        """A block that begins at or before ``position`` and reaches at least ``n`` numbers beyond it, and where.

        Args:
            held: the last one, which the new one goes on from where it can.
            start: where that begins.
            n: how many are wanted.
            numbers: gives those of one block of BLOCK.
            joined: puts side by side what that gives.
        """
        first = self.position // BLOCK
        end = start + held.shape[1]
        keep: list[Any] = []
        if start <= self.position < end:  # go on where the last block ends
            keep, first = [held[:, self.position - start :]], end // BLOCK
            start = self.position
        else:
            start = first * BLOCK
        last = (self.position + n - 1) // BLOCK
        return joined([*keep, *(numbers(b) for b in range(first, last + 1))], 1), start

    def _numbers(self, block: int) -> np.ndarray:
        rows = [np.random.Generator(np.random.PCG64(_sequence(s, self.name, block))).random(BLOCK) for s in self.seeds]
        return np.stack(rows)

    def _numbers_there(self, block: int) -> Tensor:
        """`_numbers`, made on the device. The generators of all seeds are seeded at once."""
        key = zlib.crc32(self.name.encode()), block
        states = pcg.seeded(np.array([pcg.spawned(seed, *key) for seed in self.seeds]))
        parts = [states[i : i + AT_ONCE] for i in range(0, len(states), AT_ONCE)]
        return torch.cat([pcg.uniform_on(self.device, part, BLOCK) for part in parts])


class Handed(Stream):
    """Numbers that a stream gave, to be drawn by as from the stream itself: for a function that is run as a graph, and
    may not move a stream on.

    Args:
        u: (S, n), from `Stream.uniform`.
    """

    def __init__(self, u: Tensor) -> None:
        self._given, self.position = u, 0

    def uniform(self, n: int) -> Tensor:
        self.position += n
        return self._given[:, self.position - n : self.position]


def as_normal(u: Tensor, *shape: int) -> Tensor:
    """Uniform numbers (S, n) as normal ones: see `Stream.normal`."""
    return (torch.erfinv(2 * u.clamp(min=2.0**-53) - 1) * math.sqrt(2)).float().view(-1, *shape)


def as_categorical(u: Tensor, probabilities: Tensor) -> Tensor:
    """One of A by each of the uniform numbers (S, n): see `Stream.categorical`."""
    below = probabilities.cumsum(-1, dtype=torch.float64)
    u = u.view(*below.shape[:-1], 1)
    return (u * below[..., -1:] >= below).sum(-1)  # u < 1, so that the product is below the sum in float64 too


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
