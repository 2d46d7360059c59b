"""Whether an agent expects more than comes: it plays on, and what it said of each state is laid beside what followed.

The largest return that is possible tells little where rewards are rare: of an environment that gives 1 in the end, a
discount of 0.99 allows 100. What came in training tells more, but of a policy that explored, and of older weights. So
where these two leave a doubt, the agent plays by the policy that its values are of, and each of its own episodes is
one sample.
"""

import math
from typing import Any

import numpy as np
from torch import Tensor

from ..acting import choose
from ..agent import Agent
from ..border.make import EnvMaker
from ..rollout.env_batch import EnvBatch
from ..rollout.loop import run
from ..stats.intervals import mean_interval
from ..trained.explain import insights
from ..types import NO_EXTRAS, Extras
from .values import Gap, ValueStats, estimates

COPIES = 4  # environments side by side
EACH = 8  # episodes of each, at most
STEPS = 4000  # env steps, at most: an episode that is under way then counts as one that a time limit cut
CONFIDENCE = 0.99
FAR = 1.0  # mean of value - return, by the mean size of the returns, from which on it is far off
SHARE = 0.25  # of the largest reward, likewise: an untrained network says 0.1 where nothing has ever come
DOUBT = 0.5  # of what is far off, in the episodes of training, from which on it is worth playing


def doubtful(found: ValueStats, rewards: tuple[float, float]) -> bool:
    """Whether what came in training leaves a doubt.

    Args:
        found: the values.
        rewards: the least and the largest that were seen.
    """
    if found.gamma is None or not all(map(math.isfinite, found.estimate)):
        return False
    if found.came is None or found.bias is None:  # every episode was cut
        return found.estimate.mean >= DOUBT * far_off(0.0, rewards)
    return found.bias >= DOUBT * far_off(abs(found.came.mean), rewards)


def far_off(size: float, rewards: tuple[float, float]) -> float:
    """From which value - return on it is far off, where returns are of a mean ``size``."""
    return max(FAR * size, SHARE * (max(map(abs, rewards)) or 1.0))


def gap(
    agent: Agent, maker: EnvMaker, seed: int, gamma: float, rewards: tuple[float, float], *, explore: bool
) -> Gap | None:
    """Play, and compare; None where the agent tells no values. What it remembers of episodes changes.

    Args:
        agent: of one seed.
        maker: makes its environments.
        seed: the seed number.
        gamma: the discount per step.
        rewards: the least and the largest that were seen.
        explore: whether values are of the policy that draws its actions, as an actor's are, and not of the greedy one.
    """
    envs = EnvBatch(maker, [seed], COPIES, stream="inspect")
    aloud: Any = _Aloud(agent)  # acts as an agent, and learns nothing
    told: list[list[tuple[float, float]]] = [[] for _ in range(COPIES)]  # value and reward of each step
    pairs: list[tuple[np.ndarray, np.ndarray]] = []  # of each episode, values and returns
    left, steps = [EACH] * COPIES, 0
    try:
        for step in run(aloud, envs, explore=explore, learn=False):
            moment, steps = step.transition, steps + COPIES
            if aloud.values is None:
                return None
            over = steps >= STEPS
            ends = (moment.terminated | moment.truncated)[0].tolist()
            after = aloud.of(moment.next_obs, moment.next_extras) if any(ends) or over else None
            for e in range(COPIES):
                told[e].append((float(aloud.values[e]), float(moment.reward[0, e])))
                if ends[e] or over:
                    rest = 0.0 if bool(moment.terminated[0, e]) or after is None else float(after[e])
                    if left[e]:
                        pairs.append(_pair(told[e], rest, gamma))
                        left[e] -= 1
                    told[e] = []
            if over or not any(left):
                break
    finally:
        envs.close()
    return _gap(pairs, rewards)


class _Aloud:
    """An agent that says what it expects before it acts.

    Attributes:
        values: (E,) before the newest ``act``; None where it says none.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.values: np.ndarray | None = None

    def begin(self, started: Tensor, *, explore: bool) -> None:
        self._agent.begin(started, explore=explore)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Any:
        self.values = self.of(obs, extras)
        return choose(self._agent, obs, extras, explore=explore)

    def of(self, obs: Tensor, extras: Extras) -> np.ndarray | None:
        """What it expects of observations, (E,), on which it has not acted yet."""
        found = estimates({name: x[0] for name, x in insights(self._agent, obs, extras).items()})
        return None if found is None else found[0]


def _pair(told: list[tuple[float, float]], rest: float, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Values and returns of an episode, after which ``rest`` is to come."""
    values, rewards = np.array(told).T
    returns = np.zeros(len(rewards))
    for t in range(len(rewards) - 1, -1, -1):
        rest = returns[t] = rewards[t] + gamma * rest
    return values, returns


def _gap(pairs: list[tuple[np.ndarray, np.ndarray]], rewards: tuple[float, float]) -> Gap | None:
    """Of values and returns by episode.

    Where all episodes came to the same, as those do that all fail, their scatter is zero, and says too much: so one
    episode more counts in the interval, in which the best came that can.
    """
    if len(pairs) < 2:
        return None
    expected, came = (np.array([pair[k].mean() for pair in pairs]) for k in (0, 1))
    size = float(np.mean([np.abs(g).mean() for _, g in pairs]))
    best = max(rewards[1], *(float(g.max()) for _, g in pairs), 0.0 if rewards[0] < 0 else -math.inf)
    low, high = mean_interval(np.append(expected - came, expected.mean() - best), confidence=CONFIDENCE)
    far = far_off(size, rewards)
    return Gap(len(pairs), float(expected.mean()), float(came.mean()), float(low), float(high), far)
