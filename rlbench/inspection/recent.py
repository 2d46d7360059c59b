"""What has happened lately in a run that trains: states to ask the agent about, rewards, and whether actions change.

Fed with every transition, in a few microseconds; what is asked of it between two looks is worked out then. It keeps
copies, and changes nothing that it is given.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..types import Transition
from .observed import SeenEpisode

STATES = 256  # of each seed, between two looks
IMAGES = 32  # likewise, where each is an image
CHUNK = 64  # steps that are put aside before they are looked at together


class Recent:
    """Of S seeds.

    Args:
        seeds: S.
        num_envs: E.
        every: env steps of a seed between two looks.
        images: whether observations are images.
        in_order: whether states are wanted one after the other, as an agent needs them that remembers.
        said: names of what the environment says besides observations.

    Attributes:
        low: (S,) the least reward so far, infinity before the first.
        high: likewise the largest.
        rewarded: (S,) bool, whether a reward other than 0 has come.
        ended: (S,) bool, whether an episode has ended by itself.
        same_since: (S,) env steps since which all actions of a seed have been the same.
    """

    def __init__(
        self, seeds: int, num_envs: int, every: int, *, images: bool, in_order: bool, said: Sequence[str]
    ) -> None:
        self.seeds, self.num_envs, self.in_order, self._said = seeds, num_envs, in_order, tuple(said)
        self._want = IMAGES if images else STATES
        each = 1 if in_order else num_envs  # states that a step gives
        self._every, steps = every, every // num_envs
        self._first = max(steps - self._want, 0) if in_order else 0  # of those between two looks
        self._gap = 1 if in_order else max(steps * each // self._want, 1)
        self._kept: list[tuple[Tensor, dict[str, Tensor], Tensor]] = []
        self._aside: list[tuple[Tensor, Tensor, Tensor]] = []
        self._count = self._steps = 0  # steps since the last look, and env steps so far
        self.low, self.high = np.full(seeds, math.inf), np.full(seeds, -math.inf)
        self.rewarded, self.ended = np.zeros(seeds, np.bool_), np.zeros(seeds, np.bool_)
        self.same_since = np.zeros(seeds, np.int64)
        self._action: np.ndarray | None = None  # (S, 1, ...), of the newest step

    def step(self, transition: Transition, env_steps: int) -> None:
        """Take in what happened in the step that led to ``env_steps`` of each seed."""
        self._steps = env_steps
        self._aside.append((transition.action.clone(), transition.reward.clone(), transition.terminated.clone()))
        if len(self._aside) == CHUNK:
            self._fold()
        at, self._count = self._count, self._count + 1
        if at < self._first or at % self._gap:
            return
        rows = slice(0, 1) if self.in_order else slice(None)
        said = {name: transition.extras[name][:, rows].clone() for name in self._said}
        done = transition.terminated[:, rows] | transition.truncated[:, rows]
        self._kept.append((transition.obs[:, rows].clone(), said, done))

    def take(self, s: int, *, last: bool) -> list[SeenEpisode]:
        """The states of the seed at position ``s`` since the last look; ``last``: they are forgotten then.

        One episode, and several where they are in order.
        """
        self._fold()
        parts: list[list[Any]] = [[]]
        for obs, said, done in self._kept:
            parts[-1].append((obs[s], {name: x[s] for name, x in said.items()}))
            if self.in_order and bool(done[s, 0]):
                parts.append([])
        if last:
            self._kept, self._count = [], 0
        return [_episode(part) for part in parts if part]

    def _fold(self) -> None:
        aside, self._aside = self._aside, []
        if not aside:
            return
        actions, rewards, ends = (torch.stack(column).cpu().numpy() for column in zip(*aside, strict=True))
        with np.errstate(invalid="ignore"):
            self.low = np.fmin(self.low, np.fmin.reduce(rewards, (0, 2)))
            self.high = np.fmax(self.high, np.fmax.reduce(rewards, (0, 2)))
        self.rewarded |= (rewards != 0).any((0, 2))
        self.ended |= ends.any((0, 2))
        newest = actions[-1][:, :1]  # (S, 1, ...)
        same = (actions == newest).reshape(len(actions), self.seeds, -1).all(2)  # (n, S)
        before = same[0] if self._action is None else (self._action == newest).reshape(self.seeds, -1).all(1)
        for s in range(self.seeds):
            changed = np.flatnonzero(~same[:, s])
            if len(changed):
                self.same_since[s] = self._steps - (len(actions) - 1 - int(changed[-1])) * self.num_envs
            elif not before[s]:
                self.same_since[s] = self._steps - len(actions) * self.num_envs
        self._action = newest

    def state_dict(self) -> dict[str, Any]:
        """Everything, the states since the last look too: a resumed run then looks at what it would have looked at."""
        self._fold()
        names = ("low", "high", "rewarded", "ended", "same_since")
        kept: dict[str, Any] = {name: torch.from_numpy(getattr(self, name).copy()) for name in names}
        kept["action"] = None if self._action is None else torch.from_numpy(self._action.copy())
        kept["since"] = {
            "every": self._every,
            "count": self._count,
            "obs": [obs for obs, _, _ in self._kept],
            "said": [said for _, said, _ in self._kept],
            "done": [done for _, _, done in self._kept],
        }
        return kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("low", "high", "rewarded", "ended", "same_since"):
            getattr(self, name)[:] = state[name].numpy()
        self._action = None if state["action"] is None else state["action"].numpy().copy()
        since = state.get("since")
        if since and since["every"] == self._every:  # with another cadence other states are chosen
            self._count = int(since["count"])
            self._kept = list(zip(since["obs"], since["said"], since["done"], strict=True))


def _episode(part: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> SeenEpisode:
    obs = torch.cat([one for one, _ in part])
    said = {name: torch.cat([more[name] for _, more in part]) for name in part[0][1]}
    return SeenEpisode(obs, said, [math.nan] * len(obs), False)
