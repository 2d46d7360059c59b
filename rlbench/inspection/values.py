"""What an agent expects of states, beside the returns that are possible and those that came."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BINS = 40
PAIRS = 250


class Spread(NamedTuple):
    """Numbers in short."""

    mean: float
    std: float
    low: float
    high: float


class Gap(NamedTuple):
    """What an agent expected in episodes that it played, and what came.

    Attributes:
        episodes: how many.
        expected: mean over episodes of the mean of their states' values.
        came: likewise of the discounted returns that followed; where an episode was cut, the value of its last
            observation stands for what would have come.
        low: of the interval of the mean of value - return, over episodes.
        high: likewise.
        far: from how much on that is far off.
    """

    episodes: int
    expected: float
    came: float
    low: float
    high: float
    far: float

    @property
    def off(self) -> bool:
        """Whether it expects far more than comes, beyond the scatter of episodes."""
        return self.low >= self.far


class ValueStats(NamedTuple):
    """What was expected of the states that the agent was asked about.

    Attributes:
        what: "Q-value of the best action", or "value".
        estimate: of those, one for each state.
        q_values: of the Q-values of all actions, where there are any.
        gamma: the discount per step; None where the agent's hyper-parameters name none.
        came: discounted returns from those states on, where they are known; None where none is.
        known: of how many states they are.
        possible: the least and the largest discounted return by the rewards that were seen; None without a discount
            below 1 or a time limit.
        bias: the mean of estimate - return, over the states whose return is known.
        excess: how many times the largest of the estimates, by size, is the largest possible return; None where that
            is 0 or not known.
        edges: of both histograms, one more than counts.
        estimate_counts: states in each bin.
        came_counts: likewise, of the returns.
        pairs: return and estimate of up to `PAIRS` states whose return is known, in their order.
        gap: of episodes that the agent played on, where what came in training left a doubt.
    """

    what: str
    estimate: Spread
    q_values: Spread | None
    gamma: float | None
    came: Spread | None
    known: int
    possible: tuple[float, float] | None
    bias: float | None
    excess: float | None
    edges: list[float]
    estimate_counts: list[int]
    came_counts: list[int]
    pairs: list[tuple[float, float]]
    gap: Gap | None = None


def value_stats(
    told: dict[str, Tensor],
    returns: np.ndarray,
    known: np.ndarray,
    gamma: float | None,
    bounds: tuple[float, float] | None,
) -> ValueStats | None:
    """Of what an agent said of N states; None where it tells no values.

    Args:
        told: "q_values" (N, A), "value" (N,), as of `Agent.explain`.
        returns: (N,), discounted, from each state on.
        known: (N,) bool, where they are.
        gamma: the discount.
        bounds: from `possible`.
    """
    q = told.get("q_values")
    found = estimates(told)
    if found is None:
        return None
    estimate, what = found
    known = known & np.isfinite(returns)
    came = returns[known] if gamma is not None else returns[:0]
    both = np.concatenate([estimate[np.isfinite(estimate)], came])
    edges = _edges(both)
    usable = known & np.isfinite(estimate)
    return ValueStats(
        what=what,
        estimate=spread(estimate),
        q_values=None if q is None else spread(q[torch.isfinite(q)].double().numpy()),
        gamma=gamma,
        came=spread(came) if len(came) else None,
        known=len(came),
        possible=bounds,
        bias=float((estimate - returns)[usable].mean()) if usable.any() and len(came) else None,
        excess=excess(estimate, bounds),
        edges=edges.tolist(),
        estimate_counts=_counts(estimate, edges),
        came_counts=_counts(came, edges),
        pairs=_pairs(returns[usable], estimate[usable]) if gamma is not None else [],
    )


def estimates(told: dict[str, Tensor]) -> tuple[np.ndarray, str] | None:
    """What is expected of each state, (N,) float64, and what that is called; None where nothing is said of it."""
    value, q = told.get("value"), told.get("q_values")
    if q is not None:
        return q.amax(-1).double().numpy(), "Q-value of the best action"
    return None if value is None else (value.double().numpy(), "value")


def possible(low: float, high: float, gamma: float | None, time_limit: int | None) -> tuple[float, float] | None:
    """The least and the largest discounted return, of rewards from ``low`` to ``high``.

    An episode has one step at least and may go on for ever: a time limit cuts no bootstrap, so that values look beyond
    it, and only without a discount does it bound them.
    """
    if gamma is None or low > high or (gamma >= 1 and time_limit is None):
        return None
    steps = 1 / (1 - gamma) if gamma < 1 else float(time_limit or 1)
    return (low if low > 0 else low * steps), (high if high < 0 else high * steps)


def excess(estimate: np.ndarray, bounds: tuple[float, float] | None) -> float | None:
    """How many times the largest estimate, by size, is the largest possible return."""
    most = max(map(abs, bounds)) if bounds else 0.0
    known = np.abs(estimate[np.isfinite(estimate)])
    return float(known.max() / most) if most and len(known) else None


def spread(x: np.ndarray) -> Spread:
    """Of the finite ones among some numbers; NaN where there is none."""
    x = x[np.isfinite(x)]
    return Spread(*map(float, (x.mean(), x.std(), x.min(), x.max()))) if len(x) else Spread(*[math.nan] * 4)


def _pairs(came: np.ndarray, estimate: np.ndarray) -> list[tuple[float, float]]:
    at = np.linspace(0, len(came) - 1, min(len(came), PAIRS)).astype(int)
    return list(zip(came[at].tolist(), estimate[at].tolist(), strict=True))


def _edges(x: np.ndarray) -> np.ndarray:
    low, high = (float(x.min()), float(x.max())) if len(x) else (0.0, 0.0)
    wide = max(abs(low), abs(high), 1e-6) * 1e-3
    return np.linspace(low - wide * (low == high), high + wide * (low == high), BINS + 1)


def _counts(x: np.ndarray, edges: Sequence[float] | np.ndarray) -> list[int]:
    return [int(n) for n in np.histogram(x[np.isfinite(x)], np.asarray(edges))[0]]
