"""What the evaluations of a run cost beside its training, and which key makes them cheaper.

Said once, and only where it matters: evaluations that take more time than training does, of a run that is not short.
"""

import math
from typing import NamedTuple

from ..units import duration
from .recipe import Recipe

PATIENCE = 5.0  # seconds of evaluating before anything is said: the first ones warm up
SHORT = 20.0  # a run that has taken less is over soon anyway
AIM = 0.25  # of the seconds of training, that evaluations may take: a fifth of all


class Cost(NamedTuple):
    """What evaluations took so far: of those during training their number and time, of those at the end the time and
    the episodes of a seed."""

    evaluations: int = 0
    seconds: float = 0.0
    final_seconds: float = 0.0
    final_episodes: float = 0.0

    def more(self, seconds: float, episodes: float, *, final: bool) -> "Cost":
        """With another evaluation, of those at the end or not, in which each seed played ``episodes``."""
        if final:
            return self._replace(
                final_seconds=self.final_seconds + seconds, final_episodes=self.final_episodes + episodes
            )
        return self._replace(evaluations=self.evaluations + 1, seconds=self.seconds + seconds)


def advice(recipe: Recipe, cost: Cost, env_steps: int, train_seconds: float) -> str:
    """What to say of evaluations that take more than half the time; empty where there is nothing to say.

    Args:
        recipe: of the run.
        cost: so far.
        env_steps: per seed, so far.
        train_seconds: spent on these, without evaluations.
    """
    seconds = cost.seconds + cost.final_seconds
    whole = seconds + train_seconds
    if seconds < PATIENCE or whole < SHORT or seconds <= train_seconds:
        return ""
    key, value, enough = _cheaper(recipe, cost, env_steps, train_seconds)
    finding = (
        f"evaluations have taken {100 * seconds / whole:.0f} % of the time so far, {duration(seconds)} of "
        f"{duration(whole)}: more than training."
    )
    if value == getattr(recipe, key):
        return f"{finding} They are as few as can be."
    when = "at the end" if key == "final_eval_episodes" else "during training"
    share = "a quarter of the time of training at most" if enough else "less"
    return f"{finding} In a run begun with --set {key}={value}, those {when} would take {share}."


def _cheaper(recipe: Recipe, cost: Cost, env_steps: int, train_seconds: float) -> tuple[str, int, bool]:
    """A key, a value that would do, and whether it brings down to `AIM` what costs most."""
    allowed = AIM * train_seconds
    if cost.final_seconds > cost.seconds:  # of the final weights, and mostly of the best as well
        fit = math.floor(allowed / 2 * cost.final_episodes / cost.final_seconds)
        return "final_eval_episodes", max(1, min(fit, recipe.final_eval_episodes)), fit >= 1
    each = cost.seconds / cost.evaluations
    every = _round_up(each * env_steps / max(allowed, 1e-9))
    if recipe.eval_every and recipe.eval_every < every <= recipe.total_steps:
        return "eval_every", every, True
    if recipe.eval_every and recipe.eval_every < recipe.total_steps:  # one at the end is left
        return "eval_every", recipe.total_steps, False
    return "eval_episodes", max(1, min(recipe.eval_episodes, math.floor(recipe.eval_episodes * allowed / each))), False


def _round_up(number: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    power = 10 ** max(0, math.floor(math.log10(max(number, 1))))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= number)
