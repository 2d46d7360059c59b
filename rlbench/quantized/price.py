"""What a smaller policy costs in return: both play the same episodes, and the pairs are judged.

The unit that is drawn anew is the episode: how it begins, and what chance does in it. The verdict is of one policy, the
one at hand, on new episodes of its environment; it says nothing of other seeds. Both play the same episodes, those of
`rlbench eval`, so that what is hard for either widens no interval (`stats.estimates.paired_difference`).

The IQM leaves the worst quarter of episodes out, where a policy that fails now and then would hide; so the mean has to
stand as well.
"""

import math
from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal, NamedTuple

import numpy as np

from ..border.extras import MASK, Told
from ..judge.verdict import interval
from ..numbers import number
from ..policyfile.opened import PolicyFile
from ..proving.episodes import EnvCopy
from ..proving.observed import seen_part
from ..rollout.evaluation import EVAL_COPIES
from ..stats.estimates import Estimate, paired_difference
from ..stats.intervals import iqm
from ..trained.load import Trained

PriceVerdict = Literal["no worse", "worse", "undecided"]
LOSS, MARGIN = 0.01, 0.05  # of the size of returns: surely to lose more than the one is worse, less than the other not
MANY = 100_000  # episodes: more than this nobody plays


class Price(NamedTuple):
    """Returns after minus before, of ``episodes`` pairs; ``size`` is that of returns."""

    outcome: PriceVerdict
    episodes: int
    iqm: Estimate
    mean: Estimate
    size: float
    before: float  # IQM
    needed: int | None  # episodes that would tell, about; None: no number would

    @property
    def text(self) -> str:
        """The verdict in a sentence without its end."""
        middle = number(self.before).replace("-", "−")  # as `interval` has it
        return (
            f"{self.outcome}: difference of IQM {interval(self.iqm)}, of mean {interval(self.mean)}, beside an IQM of "
            f"{middle} ({self.episodes:,} {'episode' if self.episodes == 1 else 'episodes'} of this one "
            "policy, in pairs)"
        )

    def summary(self) -> dict[str, Any]:
        """As it lies in a file, and as JSON; None where there is no interval."""

        def plain(e: Estimate) -> list[float | None]:
            return [x if math.isfinite(x) else None for x in e]

        return {
            "verdict": self.outcome,
            "episodes": self.episodes,
            "difference_of_iqm": plain(self.iqm),
            "difference_of_mean": plain(self.mean),
            "size_of_returns": self.size,
            "iqm_before": self.before,
        }


def price(before: np.ndarray, after: np.ndarray) -> Price:
    """The verdict on returns of the same episodes, (n,) each.

    The size of returns is their IQM's, or the standard deviation of episodes where that is larger. Worse: the 95 %
    interval of the IQM, or that of the mean, lies below minus `LOSS` of it. No worse: neither does, and both lie above
    minus `MARGIN` of it. Undecided: they are too wide for either.
    """
    d, n, middle = paired_difference(after, before), len(before), float(iqm(before))
    size = max(abs(middle), float(before.std()))
    both = (d.iqm, d.mean)
    outcome: PriceVerdict = "undecided"
    if any(e.high < -LOSS * size for e in both):
        outcome = "worse"
    elif all(e.low >= -MARGIN * size for e in both):  # NaN, of a single episode, is not
        outcome = "no worse"
    needed = _needed(both, n, size) if outcome == "undecided" else None
    return Price(outcome, n, d.iqm, d.mean, size, middle, needed)


def _needed(both: tuple[Estimate, Estimate], n: int, size: float) -> int | None:
    """Episodes after which the intervals would be narrow enough, if what is seen is what there is."""
    most = 0.0
    for e in both:
        if e.low >= -MARGIN * size:
            continue
        narrow = e.value + MARGIN * size, e.value - e.low  # to be no worse: what there is room for, and what it takes
        if e.value < -(LOSS + MARGIN) / 2 * size:
            narrow = -LOSS * size - e.value, e.high - e.value
        room, width = narrow
        if not room > 0 or not math.isfinite(width):
            return None
        most = max(most, n * (width / room) ** 2)
    step = 10 ** max(len(str(int(most))) - 2, 0)
    found = max(math.ceil(1.2 * most / step) * step, n + 1)
    return found if found <= MANY else None


def play_alone(
    file: PolicyFile, trained: Trained, episodes: int, look: Callable[[str], None] = lambda text: None
) -> np.ndarray:
    """(n,): what a file gets in the first episodes of `rlbench eval`, asked one observation at a time by its ``act``.

    Raises:
        EnvError: the environment raised.
    """
    returns, extras = np.empty(episodes), trained.maker.extras
    for i in range(min(EVAL_COPIES, episodes)):
        with closing(trained.maker()) as env:
            told = Told(extras, [env] * EVAL_COPIES) if extras else None
            copy, session = EnvCopy(i, env, told), file.session()
            for episode in range(i, episodes, EVAL_COPIES):
                copy.begin(trained.seeds[0], episode)
                session.begin()
                while not copy.over:
                    mask = None if told is None else told.arrays[MASK][i]
                    copy.step(session.act(seen_part(file.metadata.obs, copy.obs), mask), trained.maker.limit)
                returns[episode] = copy.total
                look(f"{episode + 1:,} of {episodes:,} episodes")
    return returns
