"""What the generators of Gymnasium's environments say first, for many episodes at once, to the bit."""

import numpy as np

from ..cuda import pcg


def generators(seeds: np.ndarray) -> np.ndarray:
    """``np.random.Generator(PCG64(seed))`` for each of m seeds, as `gymnasium.utils.seeding.np_random` makes it.

    Args:
        seeds: (m,) int64, none of them negative.

    Returns:
        (m, 4), as `pcg.seeded` has it.
    """
    words = seeds.astype(np.uint64)  # a seed of one word is hashed as one of two, the other 0
    return pcg.seeded(np.stack((words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)), 1))


def uniform(seeds: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` numbers in [0, 1) of each generator, (m, count) float64."""
    return pcg.uniform(generators(seeds), count)


def between(low: np.ndarray | float, high: np.ndarray | float, draws: np.ndarray) -> np.ndarray:
    """``Generator.uniform(low, high)`` from its numbers in [0, 1), element by element."""
    found: np.ndarray = low + np.subtract(high, low) * draws
    return found
