"""What each key was worth, beside what chance gives: how much of the trials' ranks it explains alone.

Trials are ranked by their scores, and put into groups by a key's values: those of a choice, or up to five parts of a
range with equally many trials. The share of the ranks' variance that lies between groups is the correlation ratio,
corrected for the number of groups (epsilon squared, Kelley 1935; of ranks: Kruskal and Wallis 1952,
doi:10.1080/01621459.1952.10483441). With few trials some key always looks important; so the same is computed with the
ranks dealt out anew among the trials, many times, which says how large a key becomes that is worth nothing.

What keys do together is not seen, and a search looks less often where it found little. Optuna's fANOVA sees more, by a
forest that needs scikit-learn, and says of no key whether it is chance.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FEWEST = 10  # trials with a score, below which nothing is said
PARTS = 5  # of a range, at most
PER_PART = 6  # trials of a part, at least
SHUFFLES = 500


class KeyImportance(NamedTuple):
    """What a key was worth.

    Attributes:
        key: dotted.
        share: of the variance of the trials' ranks that its groups explain, 0 to 1.
        chance: the share that a key without any worth stays below in 95 of 100 cases.
        p: how often one without any worth comes as far, 0 to 1.
    """

    key: str
    share: float
    chance: float
    p: float


def importance(scores: Sequence[float], values: Mapping[str, Sequence[Any]]) -> tuple[KeyImportance, ...]:
    """The keys by their importance, the highest first; none where there are too few trials, or all scored the same.

    Args:
        scores: of n trials.
        values: key -> the n values that it had; one with more than `PARTS` different numbers counts as a range.
    """
    ranks = _ranks(np.asarray(scores, np.float64))  # (n,)
    n = len(ranks)
    if n < FEWEST or np.ptp(ranks) == 0:
        return ()
    generator = np.random.default_rng(0)
    dealt = np.array([generator.permutation(ranks) for _ in range(SHUFFLES)])  # (SHUFFLES, n)
    found = []
    for key, own in values.items():
        groups = _groups(own)  # (n,)
        if groups.max() == 0:
            continue
        share = float(_explained(ranks[None], groups)[0])
        chance = _explained(dealt, groups)  # (SHUFFLES,)
        p = (1 + int((chance >= share).sum())) / (1 + SHUFFLES)
        found.append(KeyImportance(key, share, float(np.quantile(chance, 0.95)), p))
    return tuple(sorted(found, key=lambda one: (-one.share, one.p)))


def _ranks(x: np.ndarray) -> np.ndarray:
    """1 to n, (n,); equal ones share the middle of theirs."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[which])


def _groups(values: Sequence[Any]) -> np.ndarray:
    """The number of each trial's group, (n,)."""
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    if not numbers or len(set(values)) <= PARTS:
        names = {text: i for i, text in enumerate(sorted({repr(one) for one in values}))}
        return np.array([names[repr(one)] for one in values])
    n = len(values)
    parts = min(PARTS, max(2, n // PER_PART))
    where = (_ranks(np.asarray(values, np.float64)) - 0.5) / n
    _, groups = np.unique((where * parts).astype(int), return_inverse=True)
    return np.asarray(groups)


def _explained(ranks: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Epsilon squared of each row of ``ranks``, (K, n), by ``groups``, (n,): (K,), not below 0."""
    n, k = ranks.shape[1], int(groups.max()) + 1
    middle = ranks.mean(1, keepdims=True)
    total = ((ranks - middle) ** 2).sum(1)
    between = np.zeros(len(ranks))
    for group in range(k):
        inside = ranks[:, groups == group]
        between += inside.shape[1] * (inside.mean(1) - middle[:, 0]) ** 2
    if n <= k:
        return np.zeros(len(ranks))
    return np.maximum(1 - (1 - between / total) * (n - 1) / (n - k), 0.0)
