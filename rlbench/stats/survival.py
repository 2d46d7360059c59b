"""Times until something happened, where it did not happen to all: Kaplan and Meier's estimate, and shares."""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from .estimates import Estimate


def kaplan_meier(times: ArrayLike, happened: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The chance of having waited longer than t, where some were only watched for a while (Kaplan and Meier 1958).

    Args:
        times: (n,) when it happened, or until when it had not.
        happened: (n,) bool.

    Returns:
        Times at which it happened to someone, increasing, and the chance of waiting longer than each; both (m,).
    """
    t, event = np.asarray(times, np.float64), np.asarray(happened, bool)
    when = np.unique(t[event])
    events = np.array([np.sum(event & (t == at)) for at in when])
    at_risk = np.array([np.sum(t >= at) for at in when])  # who was watched until then, and had still to wait
    return when, np.cumprod(1 - events / np.maximum(at_risk, 1)) if len(when) else np.zeros(0)


def median_time(times: ArrayLike, happened: ArrayLike) -> float:
    """The first time by which it had happened to half, by `kaplan_meier`; infinite where it never came to that."""
    when, waiting = kaplan_meier(times, happened)
    (half,) = np.nonzero(waiting <= 0.5 + 1e-12)
    return float(when[half[0]]) if len(half) else float("inf")


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A share and its score interval (Wilson 1927): it has width, and stays within 0 and 1, at 0 of n and n of n."""
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share = successes / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Estimate(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))
