"""Probe environments: each asks one question of a learner, and the right answer is a number known beforehand.

A learner that fails on a benchmark says nothing about why. One that fails on a probe says which of its parts is wrong:
work down the table, and the first probe that fails names it.

| probe            | asks for                                        | a learner that lacks it learns          |
|------------------|-------------------------------------------------|-----------------------------------------|
| ConstantReward   | a loss and an optimiser that work               | not 1                                   |
| ObsReward        | a value that depends on the observation         | 0 everywhere                            |
| DelayedReward    | the discount, and bootstrapping                 | not gamma at the first observation      |
| ActionReward     | a value that depends on the action              | 0 for both, or the wrong one            |
| ObsActionReward  | both at once                                    | 0 everywhere                            |
| TruncatedReward  | bootstrapping through a time limit              | 1 / (1 - gamma * (1 - 1 / max_steps))   |
| TerminatedReward | no bootstrapping through a termination          | 1 / (1 - gamma)                         |

The first five follow rejax (keraJLi/rejax) and, before it, Andy Jones, "Debugging RL, Without the Agonizing Pain"
(andyljones.com/posts/rl-debugging.html). Below them stand two environments that break a promise on purpose, for the
tests of errors.
"""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Obs = NDArray[np.float32]
Info = dict[str, Any]
Values = tuple[Obs, NDArray[np.float64]]  # obs (N, 1), and the values (N, 2) of the two actions
Seen = float | tuple[float, ...]  # becomes an array of one number, or of as many as the tuple has
Outcome = tuple[Seen, float, bool, bool]  # what is seen next, reward, terminated, truncated

# The constant observation is one, not zero: zero would leave the first layer of a network without any gradient.
_CONSTANT = 1.0
# What is seen when an episode is over, unless a probe is about that very observation. Nothing is learned there.
_OVER = 0.0


class _OneNumber(gymnasium.Env[Obs, np.int64], ABC):
    """One number to see, in [-1, 1], as a (1,) float32 array; two actions; no rendering."""

    #: What an episode may begin with, each as likely.
    starts: tuple[float, ...] = (_CONSTANT,)

    def __init__(self) -> None:
        # One pair of spaces for each copy: a space holds a random stream, and copies must not share it.
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._seen: Seen | None = None  # None: no episode is under way
        self._steps = 0  # of this episode

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Obs, Info]:
        """Begins an episode: obs (1,) and an empty dict. `options` is not used."""
        super().reset(seed=seed)
        self._seen = self.starts[self.np_random.integers(len(self.starts))]
        self._steps = 0
        return np.array(self._seen, np.float32, ndmin=1), {}

    def step(self, action: np.int64 | int) -> tuple[Obs, float, bool, bool, Info]:
        """Takes action 0 or 1 and returns obs (1,), reward, terminated, truncated, and an empty dict.

        Raises:
            ValueError: another action.
            gymnasium.error.ResetNeeded: no episode has begun, or the last one has ended.
        """
        if action not in (0, 1):
            raise ValueError(f"{type(self).__name__} takes action 0 or 1, got {action!r}.")
        if self._seen is None:
            raise gymnasium.error.ResetNeeded(
                f"No episode of {type(self).__name__} is under way. Call reset() before step()."
            )
        self._steps += 1
        seen, reward, terminated, truncated = self._outcome(self._seen, int(action))
        self._seen = None if terminated or truncated else seen
        return np.array(seen, np.float32, ndmin=1), reward, terminated, truncated, {}

    @abstractmethod
    def _outcome(self, seen: Seen, action: int) -> Outcome:
        """What an action leads to, as the `self._steps`-th of the episode."""


class Probe(_OneNumber):
    """An environment whose values are known."""

    @staticmethod
    @abstractmethod
    def true_q(gamma: float) -> Values:
        """The value of every action at every observation that can be acted on, under the best policy.

        Args:
            gamma: discount factor, in [0, 1).

        Returns:
            obs (N, 1) float32, the distinct observations in ascending order, and q (N, 2) float64.
        """


def _values(table: dict[float, tuple[float, float]]) -> Values:
    """A table of observation -> values of both actions, as the arrays that `Probe.true_q` returns."""
    return np.array(list(table), np.float32)[:, None], np.array(list(table.values()))


class ConstantReward(Probe):
    """One step, reward 1 whatever happens. Every value is 1."""

    @staticmethod
    def true_q(gamma: float) -> Values:
        return _values({_CONSTANT: (1.0, 1.0)})

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return _OVER, 1.0, True, False


class ObsReward(Probe):
    """One step; the observation is -1 or +1, as likely, and the reward is the observation."""

    starts = (-1.0, 1.0)

    @staticmethod
    def true_q(gamma: float) -> Values:
        return _values({-1.0: (-1.0, -1.0), 1.0: (1.0, 1.0)})

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return _OVER, 1.0 if seen == 1.0 else -1.0, True, False


class DelayedReward(Probe):
    """Two steps, at observation -1 and then +1; reward 1 after the second only. Values: gamma, then 1."""

    starts = (-1.0,)

    @staticmethod
    def true_q(gamma: float) -> Values:
        return _values({-1.0: (gamma, gamma), 1.0: (1.0, 1.0)})

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return (1.0, 0.0, False, False) if seen == -1.0 else (_OVER, 1.0, True, False)


class ActionReward(Probe):
    """One step; reward +1 for action 1 and -1 for action 0."""

    @staticmethod
    def true_q(gamma: float) -> Values:
        return _values({_CONSTANT: (-1.0, 1.0)})

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return _OVER, 1.0 if action == 1 else -1.0, True, False


class ObsActionReward(Probe):
    """One step; the observation is -1 or +1, as likely. Reward +1 for action 0 at -1 and action 1 at +1, else -1."""

    starts = (-1.0, 1.0)

    @staticmethod
    def true_q(gamma: float) -> Values:
        return _values({-1.0: (1.0, -1.0), 1.0: (-1.0, 1.0)})

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return _OVER, 1.0 if (action == 1) == (seen == 1.0) else -1.0, True, False


class TruncatedReward(Probe):
    """Reward 1 a step for ever, always the same observation, cut by a time limit every `max_steps` steps.

    The limit is not part of the task, so every value is 1 / (1 - gamma), whatever `max_steps` is. Who takes the limit
    for a death learns 1 / (1 - gamma * (1 - 1 / max_steps)) from samples drawn evenly: 3.6, not 10, at gamma = 0.9.

    Args:
        max_steps: length of an episode, at least 1.

    Raises:
        ValueError: `max_steps` below 1.
    """

    def __init__(self, max_steps: int = 5) -> None:
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps}.")
        super().__init__()
        self.max_steps = max_steps

    @staticmethod
    def true_q(gamma: float) -> Values:
        return _values({_CONSTANT: (1.0 / (1.0 - gamma), 1.0 / (1.0 - gamma))})

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return _CONSTANT, 1.0, False, self._steps == self.max_steps


class TerminatedReward(Probe):
    """The twin of `TruncatedReward(max_steps=1)`: the same numbers, but the end is a termination. Every value is 1.

    The last observation is the first one again, so who bootstraps through the end learns 1 / (1 - gamma) instead.
    """

    @staticmethod
    def true_q(gamma: float) -> Values:
        return _values({_CONSTANT: (1.0, 1.0)})

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return _CONSTANT, 1.0, True, False


class _Faulty(_OneNumber):
    """Constant observation and reward 1, with one wrong observation in each episode, which terminates 3 steps later.

    Args:
        at: the step of the episode after which the observation is wrong, at least 1.

    Raises:
        ValueError: `at` below 1.
    """

    #: The wrong observation.
    wrong: Seen

    def __init__(self, at: int = 7) -> None:
        if at < 1:
            raise ValueError(f"at must be at least 1, got {at}.")
        super().__init__()
        self.at = at

    def _outcome(self, seen: Seen, action: int) -> Outcome:
        return self.wrong if self._steps == self.at else _CONSTANT, 1.0, self._steps == self.at + 3, False


class NanObs(_Faulty):
    """For tests of errors: after step `at` of each episode the observation is NaN."""

    wrong = float("nan")


class WrongShape(_Faulty):
    """For tests of errors: after step `at` of each episode the observation has shape (2,) instead of (1,)."""

    wrong = (_CONSTANT, _CONSTANT)
