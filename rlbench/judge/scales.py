"""Where an environment's scale begins and ends, so that scores of several environments can be averaged."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..errors import UsageError
from ..numbers import exact, number

#: Score of random actions (`rlbench.train(ENV, agent="random")`, ten seeds, 100 episodes each), and the score that
#: counts as solved: Gymnasium's reward threshold, or the best possible score where it names none.
KNOWN = {
    "Acrobot-v1": (-500.0, -100.0),
    "CartPole-v1": (22.0, 475.0),
    "CliffWalking-v1": (-9520.0, -13.0),
    "FrozenLake-v1": (0.013, 0.7),
    "FrozenLake8x8-v1": (0.003, 0.85),
    "LunarLander-v3": (-184.0, 200.0),
    "MountainCar-v0": (-200.0, -110.0),
    "Taxi-v4": (-764.0, 8.0),
    "rlbench/Catch-v0": (-0.58, 1.0),
    "rlbench/TMaze-v0": (-2.95, 0.95),
}


class Reference(NamedTuple):
    """Score 0 and score 1 of an environment. ``low`` = ``high``: all compared seeds score the same."""

    low: float
    high: float
    source: str  # "given", "known" or "range"

    @property
    def known(self) -> bool:
        """Whether there is a scale at all: scores say something of how much is missing."""
        return self.high > self.low

    def normalise(self, scores: np.ndarray) -> np.ndarray:
        """(n,) raw -> (n,), 0 at ``low`` and 1 at ``high``; all 1 where these are one: nobody misses anything."""
        return (scores - self.low) / (self.high - self.low) if self.known else np.ones_like(scores)

    def words(self) -> str:
        if not self.known:
            return f"all seeds score {number(self.low)}, which makes no scale: nothing is normalised"
        source = {
            "given": "given",
            "known": "random actions, and what counts as solved",
            "range": "lowest and highest seed compared",
        }[self.source]
        shown = number if self.source == "range" else exact
        return f"score {shown(self.low)} is 0 and {shown(self.high)} is 1 ({source})"


def reference(env: str, given: tuple[float, float] | None, changed: bool, scores: Iterable[np.ndarray]) -> Reference:
    """The reference of one environment: the given one, else a known one, else the range of the compared seeds.

    Args:
        env: Gymnasium id.
        given: (low, high), by the user.
        changed: its arguments or its time limit are not the usual ones: known scores do not apply.
        scores: of all that are compared.

    Raises:
        UsageError: a given one whose high is not above its low.
    """
    if given is not None:
        low, high = given
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise UsageError(
                f"the reference of {env} must be two numbers, low below high, not {exact(low)},{exact(high)}."
            )
        return Reference(low, high, "given")
    if env in KNOWN and not changed:
        return Reference(*KNOWN[env], "known")
    pooled = np.concatenate(list(scores))
    return Reference(float(pooled.min()), float(pooled.max()), "range")
