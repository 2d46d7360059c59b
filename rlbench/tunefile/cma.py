"""CMA-ES for Optuna, which is told all finished trials anew each time: nothing of its state is stored.

Optuna's own `CmaEsSampler` keeps its optimiser in the storage as a pickle, which runs code when it is read, and
storages are files and servers that others write to. The state follows from the finished trials alone, so that it need
not be kept: with a few hundred trials that takes milliseconds.

Hansen 2016, arXiv:1604.00772, by the package ``cmaes``. Ranges are scaled to 0..1, by orders of magnitude where they
are log; choices are drawn evenly.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from ..policyfile.packages import package

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SIGMA = 1 / 6  # at first, of a range: as Optuna has it
Numeric = FloatDistribution | IntDistribution


class CmaEs(BaseSampler):
    """Proposes one trial.

    Args:
        seed: of what is drawn.
    """

    def __init__(self, seed: int) -> None:
        self._seed, self._random = seed, RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> dict[str, BaseDistribution]:
        """Ranges that all finished trials have."""
        done = _finished(study)
        known = done[0].distributions if done else {}
        return {
            key: d
            for key, d in sorted(known.items())
            if isinstance(d, Numeric) and d.low < d.high and all(key in one.params for one in done)
        }

    def sample_relative(
        self, study: "Study", trial: "FrozenTrial", search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of all ranges together; none before a trial has finished, which leaves the first ones to chance."""
        ranges = {key: d for key, d in search_space.items() if isinstance(d, Numeric)}
        if len(ranges) < 2:  # CMA adapts a covariance
            return {}
        done = [([_scaled(one.params[key], d) for key, d in ranges.items()], one.value) for one in _finished(study)]
        bounds = np.tile([0.0, 1.0], (len(ranges), 1))
        made = package("cmaes", "tune").CMA(
            mean=np.full(len(ranges), 0.5), sigma=SIGMA, bounds=bounds, seed=self._seed % 2**32
        )
        size = made.population_size
        for first in range(0, len(done) - size + 1, size):
            made.tell([(np.array(x), -float(value or 0.0)) for x, value in done[first : first + size]])
        return {key: _unscaled(float(x), d) for x, (key, d) in zip(made.ask(), ranges.items(), strict=True)}

    def sample_independent(
        self, study: "Study", trial: "FrozenTrial", param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A choice, or a range of the first trials."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _finished(study: "Study") -> "list[FrozenTrial]":
    """Those with a score, in the order of their numbers."""
    return sorted(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)), key=lambda one: one.number)


def _scaled(value: float, d: Numeric) -> float:
    low, high = (math.log(d.low), math.log(d.high)) if d.log else (d.low, d.high)
    return ((math.log(value) if d.log else value) - low) / (high - low)


def _unscaled(x: float, d: Numeric) -> Any:
    """The nearest value of the range."""
    low, high = (math.log(d.low), math.log(d.high)) if d.log else (d.low, d.high)
    value = low + min(max(x, 0.0), 1.0) * (high - low)
    value = math.exp(value) if d.log else value
    if d.step:
        value = d.low + round((value - d.low) / d.step) * d.step
    value = min(max(value, d.low), d.high)
    return round(value) if isinstance(d, IntDistribution) else value
