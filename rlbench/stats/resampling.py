"""Bootstrap by counts: 10,000 resamples of 30 seeds at 200 points in well under a second. Pure numpy.

A resample of n seeds is how often each was drawn. Every estimator here is a mean or a trimmed mean, and both follow
from the counts: sort the seeds once per point, add up the counts in that order, and cut off both ends. No resample is
ever written out or sorted.
"""

from collections.abc import Sequence

import numpy as np


def draw_counts(sizes: Sequence[int], reps: int, generator: np.random.Generator) -> np.ndarray:
    """How often each seed is drawn when every stratum is resampled by itself, with replacement.

    Args:
        sizes: seeds of each stratum, such as each environment; n in all.
        reps: resamples.
        generator: of the draws.

    Returns:
        (n, reps) float64 of whole numbers; the rows of a stratum add up to its size.
    """
    return np.concatenate([counts_of(generator.integers(0, size, (reps, size)), size) for size in sizes])


def counts_of(chosen: np.ndarray, n: int) -> np.ndarray:
    """(reps, m) indices below n -> (n, reps) how often each stands in a row, as float64."""
    reps = len(chosen)
    flat = (chosen + n * np.arange(reps)[:, None]).reshape(-1)
    counts = np.bincount(flat, minlength=n * reps).reshape(reps, n)
    return np.ascontiguousarray(counts.T, np.float64)


def resampled_means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean of every resample: (n, *rest) and (n, reps) -> (reps, *rest)."""
    base = values[:1]  # so that equal numbers have exactly themselves as their mean
    sums = np.tensordot(counts, values - base, axes=(0, 0))  # (reps, *rest)
    return np.asarray(base + sums / counts.sum(0).reshape(-1, *[1] * (values.ndim - 1)))


def resampled_trimmed_means(
    values: np.ndarray, counts: np.ndarray, cut: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """The mean of every resample without the ``cut`` lowest and the ``cut`` highest numbers.

    Args:
        values: (n, *rest).
        counts: (n, reps).
        cut: how much to leave out at each end, less than half of all; n // 4 gives the interquartile mean,
            (n - 1) // 2 the median.
        weights: (n,) how much a number counts, n in all; None: 1 each.

    Returns:
        (reps, *rest).
    """
    n, reps = counts.shape
    flat = values.reshape(n, -1)  # (n, P)
    out = np.empty((flat.shape[1], reps))
    weighted = counts if weights is None else counts * weights[:, None]
    below = np.empty((n, reps))  # how much has been drawn up to each number, in their order
    for p in range(flat.shape[1]):
        order = np.argsort(flat[:, p], kind="stable")
        ordered = flat[order, p]
        np.take(weighted, order, axis=0, out=below, mode="clip")  # "clip" spares a copy
        for i in range(1, n):  # several times as fast as np.cumsum along this axis
            np.add(below[i], below[i - 1], out=below[i])
        np.clip(below, cut, n - cut, out=below)
        # Summed by parts: sum of v_i (below_i - below_(i-1)), with v counted from the lowest and below_n = n - cut.
        top = (ordered[-1] - ordered[0]) * (n - cut)
        out[p] = ordered[0] + (top - np.diff(ordered) @ below[:-1]) / (n - 2 * cut)
    return out.T.reshape(reps, *values.shape[1:])
