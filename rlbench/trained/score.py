"""`rlbench eval` while it plays: says how far it is, and ends by a signal with the episodes that are known."""

import signal
import time
from typing import NamedTuple

import numpy as np

from ..process.outputs import err
from ..recipe.registry import agent_code
from ..rollout.evaluation import EvaluationPlan
from ..rollout.signals import Interrupts
from .load import Trained, evaluate

FIRST = 2.0  # seconds before anything is said: most evaluations are over by then
SECONDS = (0.5, 5.0)  # between two lines, on a terminal, where one is drawn over the other, and elsewhere


class _Cut(Exception):
    """A signal came."""


class Scored(NamedTuple):
    """Returns of the seeds of a trained agent, as many as were played.

    ``returns`` holds those of each seed in the order of its episodes; ``signal`` is the number of the signal that ended
    the evaluation before all were played, or 0, and ``cut_off`` what to say of that.
    """

    returns: list[np.ndarray]  # S of (n,) float64
    signal: int = 0
    cut_off: str = ""


def score(trained: Trained, episodes: int, *, stochastic: bool = False) -> Scored:
    """Play ``episodes`` episodes per seed, or as many as end before a signal comes; greedy ones, unless `load.evaluate`
    is to let the agent explore."""
    with Interrupts() as interrupts:
        progress = _Progress(interrupts)
        try:
            with agent_code(trained.recipe.agent):
                whole = list(evaluate(trained, episodes, stochastic=stochastic, look=progress))
            return Scored(whole, interrupts.signal)  # one that came too late ends the program all the same
        except _Cut:
            assert progress.plan is not None
            table, _ = progress.plan.numbers(len(trained.seeds))
        finally:
            progress.over()
    by, plan = signal.Signals(interrupts.signal).name, progress.plan
    cut_off = (
        f"stopped by {by}: {len(plan.played):,} of {plan.total:,} episodes had ended, and the figures are of these "
        "alone (short episodes end first)"
    )
    return Scored([returns[np.isfinite(returns)] for returns in table], interrupts.signal, cut_off)


class _Progress:
    """Looks at an evaluation between two steps."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.plan: EvaluationPlan | None = None
        self._interrupts, self._over = interrupts, err().isatty()
        self._next = time.perf_counter() + FIRST
        self._drawn = False

    def __call__(self, plan: EvaluationPlan) -> None:
        self.plan = plan
        if self._interrupts.signal:
            raise _Cut
        if time.perf_counter() < self._next:
            return
        err().write(f"\r{plan.text}\x1b[K" if self._over else f"{plan.text}\n")
        err().flush()
        self._next, self._drawn = time.perf_counter() + SECONDS[not self._over], True

    def over(self) -> None:
        """Leave no line behind that is drawn over."""
        if self._drawn and self._over:
            err().write("\r\x1b[K")
            err().flush()
