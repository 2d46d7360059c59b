"""From numbers to words: which of two agents is better, or why that cannot be told."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from .. import numbers
from ..stats.estimates import Difference, Estimate, Scores

Outcome = Literal["better", "worse", "undecided", "too few seeds", "no difference", "same seeds"]

MANY = 1_000  # seeds: more than this nobody trains


def judge(
    d: Difference, p: float, challenger: Scores, baseline: Scores, *, same: bool, confidence: float, comparisons: int
) -> Outcome:
    """What may be said of a challenger against a baseline.

    Better or worse needs an interval of the IQM's difference without 0, an adjusted ``p`` below 1 - confidence, and as
    many seeds as could be that clear at all: where even a perfect separation comes about by chance more often than
    that, in an exact permutation test, no bootstrap makes it evidence. With one environment that takes four seeds each.

    Args:
        d: challenger minus baseline.
        p: of the IQM's difference, adjusted for the number of comparisons.
        challenger: its scores per environment.
        baseline: likewise.
        same: both are the same seeds of the same runs.
        confidence: of the interval.
        comparisons: how many contestants are compared with the baseline.
    """
    if same:
        return "same seeds"
    pairs = list(zip(challenger, baseline, strict=True))
    if all(len(np.unique(np.concatenate(pair))) == 1 for pair in pairs):
        return "no difference" if all(min(len(x), len(y)) > 1 for x, y in pairs) else "too few seeds"
    splits = math.prod(math.comb(len(x) + len(y), len(x)) for x, y in pairs)
    if any(min(len(x), len(y)) < 2 for x, y in pairs) or 2 / splits > (1 - confidence) / comparisons:
        return "too few seeds"
    if p < 1 - confidence and (d.iqm.low > 0 or d.iqm.high < 0):
        return "better" if d.iqm.low > 0 else "worse"
    return "undecided"


def sentence(
    outcome: Outcome,
    label: str,
    baseline: str,
    d: Difference,
    counts: tuple[Sequence[int], Sequence[int]],
    more: float,
    *,
    normalised: bool,
    comparisons: int,
) -> str:
    """One sentence.

    Args:
        outcome: from `judge`.
        label: of the challenger.
        baseline: of whom it is compared with.
        d: challenger minus baseline.
        counts: seeds per environment, of both.
        more: seeds per agent and environment that it would take besides.
        normalised: whether the difference is of normalised scores.
        comparisons: how many contestants are compared with the baseline.
    """
    if outcome == "same seeds":
        return f"{label} and {baseline} are the same seeds of the same runs: there is nothing to compare."
    evidence = (
        f"{'normalised ' * normalised}IQM {interval(d.iqm, signed=True)}, "
        f"probability of improvement {interval(d.improvement, digits=2)}"
    )
    if outcome in ("better", "worse"):
        return f"{label} is {outcome} than {baseline}: {evidence}."
    if outcome == "no difference":
        return f"{label} and {baseline} score the same with every seed: these environments cannot tell them apart."
    lowest, highest = min(min(n) for n in counts), max(max(n) for n in counts)
    if outcome == "too few seeds":
        have = "one seed" if lowest == 1 else f"{lowest} seeds"
        return (
            f"{have.capitalize()} cannot tell {label} and {baseline} apart, whatever the score: {evidence}. "
            "Train ten or more per agent: rlbench train --seeds 10."
        )
    these = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
    corrected = f", with {comparisons} comparisons made," if comparisons > 1 else ""
    if more <= MANY:
        rest = f"about {_rounded(more)} more per agent would, if the difference is what it seems"
    elif d.iqm.value == 0:
        rest = "no difference is seen"
    else:
        rest = "the difference seen is so small that a thousand would not show it"
    return f"These {these} seeds{corrected} cannot tell {label} and {baseline} apart: {evidence}; {rest}."


def interval(e: Estimate, *, signed: bool = False, digits: int | None = None) -> str:
    """An estimate as text, as `rlbench.numbers.interval` writes it, with the minus sign of print."""
    return numbers.interval(e.value, e.low, e.high, signed=signed, digits=digits).replace("-", "−")


def _rounded(n: float) -> str:
    """Two digits: an estimate of how many seeds deserves no more."""
    whole = max(1, math.ceil(n))
    step = 10 ** max(0, len(str(whole)) - 2)
    return f"{math.ceil(whole / step) * step:,}"
