"""What a replay buffer holds: how much of it is distinct, how old it is, its rewards and its actions."""

from typing import Any, NamedTuple

import numpy as np

from ..replay import Replay
from .values import Spread, spread

MOST = 50_000  # steps that are looked at, evenly spread; of images fewer
MOST_BYTES = 2**27


class BufferStats(NamedTuple):
    """Of one seed's buffer.

    Attributes:
        held: transitions.
        capacity: what it holds when it is full.
        looked_at: transitions that the rest is of.
        distinct_obs: share of the observations that are different from each other.
        distinct: share of the transitions likewise.
        rewards: in short.
        zero: share of the rewards that are 0.
        positive: share above 0.
        terminated: share of the transitions that end an episode by themselves.
        truncated: share after which a time limit cut.
        actions: share of each action, of several choices at once those of the first; [] of continuous ones.
        numbers: of continuous actions, all of their numbers in short; None of choices.
        reward_edges: of a histogram, one more than counts.
        reward_counts: transitions in each bin.
    """

    held: int
    capacity: int
    looked_at: int
    distinct_obs: float
    distinct: float
    rewards: Spread
    zero: float
    positive: float
    terminated: float
    truncated: float
    actions: list[float]
    numbers: Spread | None
    reward_edges: list[float]
    reward_counts: list[int]

    @property
    def age(self) -> int:
        """Env steps since the oldest transition came, of a seed: each step of each env is one."""
        return self.held


def buffer_stats(replay: Any) -> BufferStats | None:
    """Of the first seed's part of an `rlbench.replay.Replay`; None of an empty one, or of another kind."""
    if not isinstance(replay, Replay) or not len(replay):
        return None
    spec = replay.spec
    wide = max(replay.nbytes // max(replay.capacity * spec.num_seeds, 1), 1)
    most = max(min(MOST, MOST_BYTES // wide), 1)
    every = -(-len(replay) // most)
    obs, action, reward, next_obs, ends = (x[0].reshape(-1, *x.shape[3:]) for x in replay.held(every))
    n = len(reward)
    choices = spec.num_actions or (spec.action_sizes or (0,))[0]
    first = action.reshape(n, -1)[:, 0]
    counts, edges = np.histogram(reward.astype(np.float64), 40)
    return BufferStats(
        held=len(replay),
        capacity=replay.capacity,
        looked_at=n,
        distinct_obs=distinct(obs),
        distinct=distinct(obs, action, reward, next_obs),
        rewards=spread(reward.astype(np.float64)),
        zero=float((reward == 0).mean()),
        positive=float((reward > 0).mean()),
        terminated=float((ends[:, 0] > 0).mean()),
        truncated=float((ends[:, 1] > 0).mean()),
        actions=(np.bincount(first.astype(np.int64), minlength=choices) / n).tolist() if choices else [],
        numbers=None if choices else spread(action.astype(np.float64).ravel()),
        reward_edges=edges.tolist(),
        reward_counts=counts.tolist(),
    )


def distinct(*columns: np.ndarray) -> float:
    """Share of n rows, laid side by side, that are different from each other."""
    n = len(columns[0])
    parts = [np.ascontiguousarray(x.reshape(n, -1)).view(np.uint8).reshape(n, -1) for x in columns]
    rows = np.concatenate(parts, 1)
    return len({row.tobytes() for row in rows}) / n
