"""What is said of a run in words and figures, while it is under way and when it has ended."""

import numpy as np

from ..numbers import exact, interval, number, of_seeds
from ..record.watcher import Status
from ..runfolder.documents import ended
from ..stats.estimates import aggregate
from ..stats.intervals import mean_interval
from ..units import duration

SHORTEST = 0.1  # seconds of training that a rate rests on: several processes report steps and time at odd moments


class Clock:
    """Rate of env steps, smoothed over the last ticks, and the time left."""

    def __init__(self) -> None:
        self.rate = 0.0  # env steps a second, of all seeds together
        self.over = False  # nothing is left to wait for
        self._last: tuple[float, int] | None = None
        self._sound = False  # whether the rate rests on enough

    def tick(self, status: Status) -> None:
        now = (status.train_seconds, status.env_steps)
        if self._last is None:
            self._last = now
            return
        passed = now[0] - self._last[0]
        if passed <= 0 or (self._sound and passed < SHORTEST):
            return
        rate = status.recipe.seeds * (now[1] - self._last[1]) / passed
        self.rate = 0.8 * self.rate + 0.2 * rate if self._sound else rate
        if passed >= SHORTEST:
            self._last, self._sound = now, True

    def left(self, status: Status) -> str:
        if not self.rate:
            return "?"
        return duration((status.recipe.total_steps - status.env_steps) * status.recipe.seeds / self.rate)


def seeds_text(count: int) -> str:
    """A number of seeds."""
    return "1 seed" if count == 1 else f"{count:,} seeds"


def mean_text(means: np.ndarray) -> str:
    """Mean across seeds with its 95 % interval; ``means`` (S,) may hold NaN."""
    known = means[np.isfinite(means)]
    if not len(known):
        return "no episode finished yet"
    if len(known) == 1:
        return number(known[0])
    low, high = mean_interval(known)
    return interval(float(known.mean()), float(low), float(high))


def score_text(scores: np.ndarray) -> str:
    """Mean across seeds of what they scored in the end, with the interval that `compare`, `plot` and `report` give it.

    The one of `mean_text` takes no time, and so stands in a panel that is drawn again and again.
    """
    known = scores[np.isfinite(scores)]
    return mean_text(scores) if len(known) < 2 else interval(*aggregate([known]).mean)


def solved_text(status: Status) -> str:
    """How many seeds have solved the environment, or nothing where solved is not defined."""
    scores = status.scores
    if scores.solved_at is None:
        return ""
    return f"{sum(at is not None for at in scores.solved)}/{status.recipe.seeds} seeds at {exact(scores.solved_at)}"


def _steps_taken(status: Status) -> str:
    """Env steps per seed, which differ where some have stopped before others."""
    of_seeds = status.summary.get("env_steps_of_seed")
    taken = [n for n in of_seeds.values() if isinstance(n, int)] if isinstance(of_seeds, dict) else []
    least = min(taken, default=status.env_steps)
    return f"{f'{least:,} to ' if least < status.env_steps else ''}{status.env_steps:,} env steps per seed"


def rests_on(counts: object, policy: str = "greedy") -> str:
    """What to say of how many episodes a seed's score rests on; ``counts`` is as summary.json has them."""
    known = [n for n in counts.values() if isinstance(n, int) and n > 0] if isinstance(counts, dict) else []
    if not known:
        return ""
    low, high = min(known), max(known)
    return f"{f'{low:,} to ' if low < high else ''}{high:,} {policy} episode{'s' if high > 1 else ''}"


def closing_lines(status: Status) -> list[str]:
    """What to say when a run has ended."""
    summary = status.summary
    lines = [
        f"{_steps_taken(status)}, {summary['updates']:,} updates, "
        f"{summary['env_steps_per_second']:,.0f} env steps/s over all seeds, {duration(summary['wall_seconds'])} in "
        f"all; stopped because of {summary['stopped_because']}."
    ]
    if ended(summary) and status.env_steps < status.recipe.total_steps:
        lines.append(f"All seeds stopped before their {status.recipe.total_steps:,} steps: nothing was left to train.")
    newest = "final" if ended(summary) else "newest evaluated"
    for name, label in (("final_eval_return", newest), ("best_eval_return", "best")):
        means = np.array([np.nan if v is None else v for v in summary[name].values()])
        if np.isfinite(means).any():
            lines.append(f"Greedy return, {label} weights: {score_text(means)}   {of_seeds(means.tolist())}")
    final, best = (rests_on(summary.get(name)) for name in ("final_eval_episodes", "best_eval_episodes"))
    if final or best:
        other = f", the best weights' on {best}" if best != final else ""
        lines.append(f"A seed's score rests on {final or 'no episode'}{other}.")
    solved = [at for at in summary["solved_at_env_steps"].values() if at is not None]
    if status.scores.solved_at is not None:
        median = f", median after {int(np.median(solved)):,} steps" if solved else ""
        lines.append(f"Solved ({exact(status.scores.solved_at)}): {len(solved)} of {status.recipe.seeds} seeds{median}")
    return lines
