"""What a run knows of its seeds while it trains: recent returns, who solved the environment, who stopped and why."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..rollout.env_batch import Episode

WINDOW = 100  # episodes
_STATE = ("episodes", "solved", "solved_episode", "stopped", "stopped_at", "best", "best_at", "evaluated")
_LATER = ("evaluated_episodes", "best_episodes")  # earlier versions kept none


class Scoreboard:
    """Running record of S seeds.

    Args:
        seeds: the S seed numbers.
        solved_at: return that counts as solved, or None.
        solved_by: "training" (mean of the last 100 episode returns) or "evaluation" (mean of a greedy evaluation).
    """

    def __init__(self, seeds: list[int], solved_at: float | None, solved_by: str) -> None:
        self.seeds = seeds
        self.solved_at, self.solved_by = solved_at, solved_by
        n = len(seeds)
        self.recent: list[deque[float]] = [deque(maxlen=WINDOW) for _ in range(n)]
        self.episodes = [0] * n
        self.solved: list[int | None] = [None] * n  # env steps
        self.solved_episode: list[int | None] = [None] * n  # episodes finished by then
        self.stopped: list[str | None] = [None] * n  # why
        self.stopped_at: list[int | None] = [None] * n  # env steps
        self.best = [float("-inf")] * n
        self.best_at = [0] * n  # env steps
        self.evaluated = [float("nan")] * n  # newest greedy mean
        self.evaluated_episodes = [0] * n  # that it rests on
        self.best_episodes = [0] * n

    def episode(self, episode: Episode, env_steps: int) -> None:
        """Count a finished training episode."""
        s = episode.seed
        recent = self.recent[s]
        recent.append(episode.episode_return)
        self.episodes[s] += 1
        if self.solved_by == "training" and len(recent) == WINDOW:
            self._judge(s, sum(recent) / WINDOW, env_steps)

    def evaluation(self, means: np.ndarray, env_steps: int, episodes: Sequence[int] | None = None) -> list[bool]:
        """Count a greedy evaluation; says which seeds' are their best so far.

        Args:
            means: (S,), NaN for seeds that did not play.
            env_steps: when.
            episodes: how many each mean rests on, where that is known.
        """
        improved = []
        for s, mean in enumerate(means.tolist()):
            better = mean >= self.best[s]  # False for NaN; of equals the newest is kept
            improved.append(better)
            count = episodes[s] if episodes else 0
            if mean == mean:
                self.evaluated[s], self.evaluated_episodes[s] = mean, count
                if self.solved_by == "evaluation":
                    self._judge(s, mean, env_steps)
            if better:
                self.best[s], self.best_at[s], self.best_episodes[s] = mean, env_steps, count
        return improved

    def stop(self, s: int, why: str, env_steps: int) -> None:
        """Seed ``s`` trains no more."""
        self.stopped[s], self.stopped_at[s] = why, env_steps

    def _judge(self, s: int, mean: float, env_steps: int) -> None:
        if self.solved_at is not None and self.solved[s] is None and mean >= self.solved_at:
            self.solved[s], self.solved_episode[s] = env_steps, self.episodes[s]

    def recent_means(self) -> np.ndarray:
        """(S,) mean of each seed's last 100 episode returns, NaN before its first."""
        return np.array([sum(r) / len(r) if r else np.nan for r in self.recent])

    def state_dict(self) -> dict[str, Any]:
        names = (*_STATE, *_LATER)
        return {"recent": [list(r) for r in self.recent], **{name: list(getattr(self, name)) for name in names}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.recent = [deque(r, maxlen=WINDOW) for r in state["recent"]]
        for name in _STATE:
            setattr(self, name, list(state[name]))
        for name in _LATER:
            setattr(self, name, list(state.get(name, [0] * len(self.recent))))
