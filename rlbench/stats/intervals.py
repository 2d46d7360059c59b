"""Statistics of few seeds: the interquartile mean, and intervals that say how sure a number is. Pure functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .resampling import counts_of, resampled_means, resampled_trimmed_means
from .student import t_quantile


def iqm(x: ArrayLike, axis: int | None = None) -> np.ndarray:
    """Interquartile mean: of n numbers the lowest and the highest floor(n / 4) are left out, the rest is averaged.

    Less moved by one lucky seed than the mean, and less noisy than the median (Agarwal et al. 2021, section 4.3,
    arXiv:2108.13264). The same as ``scipy.stats.trim_mean(x, 0.25, axis)``, save that NaN stays NaN.

    Args:
        x: any shape, not empty along ``axis``.
        axis: the one to average over; None takes all numbers together.

    Returns:
        The shape of ``x`` without ``axis``.
    """
    values = np.asarray(x, np.float64)
    values = values.reshape(-1) if axis is None else np.moveaxis(values, axis, -1)  # (*rest, n)
    n = values.shape[-1]
    if n == 0:
        raise ValueError("the mean of nothing")
    cut = n // 4
    middle = np.sort(values, axis=-1)[..., cut : n - cut].mean(-1)  # sorting puts NaN last, where it would be cut off
    return np.asarray(np.where(np.isnan(values).any(-1), np.nan, middle))


def mean_interval(x: ArrayLike, axis: int = 0, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval of the mean across seeds.

    mean ± t(n - 1, (1 + confidence) / 2) * s / sqrt(n), where s is the sample's standard deviation (divisor n - 1)

    Covers the true mean in ``confidence`` of all cases where the seeds' numbers are about normal. A bootstrap of the
    mean is too narrow for ten seeds and fewer; this is not.

    Args:
        x: any shape; seeds lie along ``axis``.
        axis: the axis of the seeds, n long.
        confidence: between 0 and 1.

    Returns:
        (low, high), each of the shape of ``x`` without ``axis``. NaN where n = 1: one seed says nothing about the
        others. NaN also where a seed is NaN.
    """
    _check_confidence(confidence)
    values = np.asarray(x, np.float64)
    n = values.shape[axis]
    if n == 0:
        raise ValueError("the mean of nothing")
    mean = values.mean(axis)
    if n == 1:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = t_quantile(n - 1, (1 + confidence) / 2) * values.std(axis, ddof=1) / np.sqrt(n)
    return np.asarray(mean - half), np.asarray(mean + half)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., Any] = iqm,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    reps: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap over seeds, stratified if asked (Efron 1979; Agarwal et al. 2021, section 4.1).

    Draws as many seeds as there are, with replacement, ``reps`` times; the interval holds the middle ``confidence`` of
    the statistic's values. The draws come from a generator of its own: the same input gives the same interval.

    Too narrow for the mean of few seeds: of ten, a 95 % interval holds the true mean in 89 % of all cases, and in 80 %
    where scores are very skewed (`python -m rlbench.experiments.studies coverage`). `estimates` has intervals
    that hold what they say. ``iqm``, ``np.mean`` and ``np.median`` are computed from counts, 10,000 resamples of a
    curve of 30 seeds and 200 points in a fraction of a second; other statistics get all resamples at once.

    Args:
        values: (n, *rest), seeds first.
        statistic: called as ``statistic(draws, axis=1)`` with draws of shape (reps, n, *rest); returns (reps, ...).
        strata: (n,) labels of any kind, the task of each number for instance: every draw then keeps the number of
            seeds per label. None: one stratum.
        confidence: between 0 and 1.
        reps: draws.
        seed: of the generator.

    Returns:
        (low, high), each of the shape of one statistic.
    """
    _check_confidence(confidence)
    values = np.asarray(values, np.float64)
    if len(values) == 0:
        raise ValueError("the bootstrap of nothing")
    labels = np.zeros(len(values)) if strata is None else np.asarray(strata)
    if labels.shape != (len(values),):
        raise ValueError(f"strata has shape {labels.shape}, expected one label per seed: ({len(values)},)")
    generator = np.random.default_rng(seed)
    chosen = np.empty((reps, len(values)), np.int64)
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        chosen[:, members] = generator.choice(members, (reps, len(members)))
    outcomes = _outcomes(values, chosen, statistic)  # (reps, ...)
    tail = (1 - confidence) / 2
    low, high = np.quantile(outcomes, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def _outcomes(values: np.ndarray, chosen: np.ndarray, statistic: Callable[..., Any]) -> np.ndarray:
    """The statistic of every resample, (reps, ...); the three common ones without writing the resamples out."""
    n = len(values)
    if np.isfinite(values).all():
        if statistic is np.mean:
            return resampled_means(values, counts_of(chosen, n))
        if statistic in (iqm, np.median):
            return resampled_trimmed_means(values, counts_of(chosen, n), n // 4 if statistic is iqm else (n - 1) // 2)
    return np.asarray(statistic(values[chosen], axis=1))


def summary(x: ArrayLike) -> dict[str, float]:
    """Mean, median, iqm, min and max of all numbers in ``x`` (any shape, not empty)."""
    values = np.asarray(x, np.float64)
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "iqm": float(iqm(values)),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
