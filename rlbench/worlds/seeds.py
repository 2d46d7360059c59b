"""What the generators of Gymnasium's environments say first, for many episodes at once, to the bit."""

import numpy as np

from ..cuda import pcg

_LOW = np.uint64(0xFFFFFFFF)


def generators(seeds: np.ndarray) -> np.ndarray:
    """``np.random.Generator(PCG64(seed))`` for each of m seeds, as `gymnasium.utils.seeding.np_random` makes it.

    Args:
        seeds: (m,) int64, none of them negative.

    Returns:
        (m, 4), as `pcg.seeded` has it.
    """
    words = seeds.astype(np.uint64)  # a seed of one word is hashed as one of two, the other 0
    return pcg.seeded(np.stack((words & _LOW, words >> np.uint64(32)), 1))


def uniform(seeds: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` numbers in [0, 1) of each generator, (m, count) float64."""
    return pcg.uniform(generators(seeds), count)


def between(low: np.ndarray | float, high: np.ndarray | float, draws: np.ndarray) -> np.ndarray:
    """``Generator.uniform(low, high)`` from its numbers in [0, 1), element by element."""
    found: np.ndarray = low + np.subtract(high, low) * draws
    return found


def below(seeds: np.ndarray, n: int) -> np.ndarray:
    """The first ``Generator.integers(n)`` of each generator, (m,) int64; ``n`` from 1 to 2**32 - 1.

    Lemire 2019, "Fast Random Integer Generation in an Interval" (doi:10.1145/3230636), on the lower half of the first
    64 bits. The few whose half is rejected have a generator of their own.
    """
    if n == 1:
        return np.zeros(len(seeds), np.int64)
    wide, half = np.uint64(n), np.uint64(32)
    product = (pcg.uint64(generators(seeds), 1)[:, 0] & _LOW) * wide
    found: np.ndarray = (product >> half).astype(np.int64)
    for i in np.flatnonzero((product & _LOW) < np.uint64((2**32 - n) % n)).tolist():
        found[i] = np.random.Generator(np.random.PCG64(int(seeds[i]))).integers(n)
    return found
