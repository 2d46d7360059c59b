"""What several seeds gain by voting, in return, over one of them: in the same episodes, with an interval."""

from typing import NamedTuple

import numpy as np

from ..rollout.evaluation import FINAL_ROUND, Evaluator
from ..stats.estimates import Estimate
from ..stats.intervals import mean_interval
from ..tracing.votes import best_seed
from ..trained.load import Trained


class Gain(NamedTuple):
    """Mean returns, and what the vote gains in the mean over the same episodes, with 95 % intervals of paired
    differences (Student's t). They are of these seeds: other ones would gain otherwise.

    ``over_one`` is over one of the seeds at random, ``over_best`` over the one that was best in training.
    """

    ensemble: float
    singles: dict[int, float]  # seed -> its own
    best: int  # a seed
    over_one: Estimate
    over_best: Estimate


def single_returns(trained: Trained, episodes: int) -> np.ndarray:
    """(S, n): what each seed gets alone in the episodes that the vote plays, those of the first seed's evaluation."""
    evaluator = Evaluator(trained.maker, [trained.seeds[0]] * len(trained.seeds))
    try:
        return evaluator(trained.agent, episodes, round=FINAL_ROUND)[0]
    finally:
        evaluator.close()
        trained.reset()


def gained(trained: Trained, returns: np.ndarray, singles: np.ndarray) -> Gain:
    """What the vote's ``returns``, (n,), are beside those of the ``singles``, (S, n)."""
    best = best_seed(trained)
    return Gain(
        float(returns.mean()),
        dict(zip(trained.seeds, singles.mean(1).tolist(), strict=True)),
        trained.seeds[best],
        _estimate(returns - singles.mean(0)),
        _estimate(returns - singles[best]),
    )


def _estimate(differences: np.ndarray) -> Estimate:
    low, high = mean_interval(differences)
    return Estimate(float(differences.mean()), float(low), float(high))
