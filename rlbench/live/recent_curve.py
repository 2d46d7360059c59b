"""What a panel remembers of a run: the seeds' recent returns and their mean with its interval, over env steps."""

import numpy as np

from ..record.scoreboard import Scoreboard
from ..stats.intervals import mean_interval

RECENT = 20  # episodes; over more of them a fast learner would look like a slow one
MOST_POINTS = 512
MOST_NUMBERS = 200_000  # of all seeds together


def recent_means(scores: Scoreboard) -> np.ndarray:
    """(S,) mean of each seed's last 20 episode returns, NaN before its first."""
    newest = [list(returns)[-RECENT:] for returns in scores.recent]
    return np.array([sum(returns) / len(returns) if returns else np.nan for returns in newest])


class RecentCurve:
    """Points of a run's learning curve, in the order of env steps; of many every other one is forgotten.

    Attributes:
        steps: env steps per seed.
        mean: of the seeds that have finished an episode.
        low: 95 % interval of the mean; NaN where fewer than two seeds have.
        high: likewise.
        seeds: (S,) of each point.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.mean: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []
        self.seeds: list[np.ndarray] = []

    def add(self, env_steps: int, recent: np.ndarray) -> None:
        """Take in the seeds' recent returns, (S,), NaN for seeds that have none yet."""
        known = recent[np.isfinite(recent)]
        if not len(known) or (self.steps and env_steps <= self.steps[-1]):
            return
        low, high = mean_interval(known)
        self.steps.append(env_steps)
        self.mean.append(float(known.mean()))
        self.low.append(float(low))
        self.high.append(float(high))
        self.seeds.append(recent.astype(np.float32))
        if len(self.steps) > max(32, min(MOST_POINTS, MOST_NUMBERS // len(recent))):
            for points in (self.steps, self.mean, self.low, self.high, self.seeds):
                del points[-2::-2]  # the newest stays

    def limits(self) -> tuple[float, float] | None:
        """The lowest and the highest value of any seed and of the band within the seeds' range; None for no point."""
        if not self.steps:
            return None
        seeds = np.stack(self.seeds)
        return float(np.nanmin(seeds)), float(np.nanmax(seeds))

    def at(self, steps: np.ndarray, values: list[float]) -> np.ndarray:
        """``values`` (one of `mean`, `low` and `high`) at ``steps``, between points on a line, NaN outside."""
        return np.interp(steps, self.steps, values, left=np.nan, right=np.nan)

    def seeds_at(self, steps: np.ndarray) -> np.ndarray:
        """(S, N): each seed's value at the newest point not after ``steps`` (N,), NaN outside."""
        newest = np.searchsorted(self.steps, steps, side="right") - 1
        values = np.stack(self.seeds)[np.maximum(newest, 0)].astype(np.float64)  # (N, S)
        values[(newest < 0) | (steps > self.steps[-1])] = np.nan
        return values.T
