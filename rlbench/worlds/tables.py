"""Environments whose states are counted, in torch: their own transition tables, and the same to the bit.

Gymnasium's toy environments say all that can happen in an attribute ``P``: for each state and action what follows, and
how likely. Which of it happens, one random number of the episode's generator says, as `categorical_sample` there.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..border.extras import MASK
from ..types import Extra
from . import seeds as seeding
from .world import Starts, World


class TableWorld(World):
    """State: one index.

    Args:
        env: made by Gymnasium; its ``P`` and ``initial_state_distrib`` are read here, once.
        longest: steps of an episode at most.
        masks: (states, actions) bool, where it says as an ``action_mask`` which actions may be taken.
    """

    size, dtype, exact = 1, torch.int64, True

    def __init__(self, env: Any, longest: int, masks: np.ndarray | None = None) -> None:
        states, actions = len(env.P), len(env.P[0])
        outcomes = [env.P[s][a] for s in range(states) for a in range(actions)]
        most = max(map(len, outcomes))
        # What is likely, added up; and what follows. Where no sum is above the random number, it is the first of them.
        sums = np.full((len(outcomes), most), np.inf)
        follows = [[one[k] if k < len(one) else one[0] for k in range(most + 1)] for one in outcomes]
        for row, one in zip(sums, outcomes, strict=True):
            row[: len(one)] = np.cumsum([p for p, *_ in one])
        self.draws = longest if (sums[:, 0] < 1).any() else 0
        self._actions, self._wide = actions, most + 1
        self._sums = torch.from_numpy(sums)
        self._next = torch.tensor([int(s) for one in follows for _, s, _, _ in one])
        self._reward = torch.tensor([float(r) for one in follows for _, _, r, _ in one], dtype=torch.float64)
        self._over = torch.tensor([bool(t) for one in follows for *_, t in one])
        self._begin = np.cumsum(env.initial_state_distrib)
        if masks is not None:
            self._masks = torch.from_numpy(masks)
            self.extras = {MASK: Extra((actions,), torch.bool)}

    @classmethod
    def unfit(cls, env: Any) -> str:
        actions = range(len(env.P[0]))
        if all(list(env.P[s]) == list(actions) and all(env.P[s].values()) for s in range(len(env.P))):
            return ""
        return "its P does not say what follows every action in every state"

    def starts(self, seeds: np.ndarray) -> Starts:
        drawn = seeding.uniform(seeds, 1 + self.draws)
        first = np.searchsorted(self._begin, drawn[:, :1], side="right")  # how many sums are not above the number
        return Starts(np.where(first < len(self._begin), first, 0), drawn[:, 1:])

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        case = state[:, 0] * self._actions + action.clamp(0, self._actions - 1)
        which = case * self._wide
        if self.draws:
            assert draw is not None
            which = which + (self._sums.index_select(0, case) <= draw.unsqueeze(1)).sum(1)
        new, reward, over = (table.index_select(0, which) for table in (self._next, self._reward, self._over))
        return new.unsqueeze(1), reward, over

    def obs(self, state: Tensor) -> Tensor:
        return state[:, 0].clone()

    def said(self, state: Tensor) -> dict[str, Tensor]:
        return {MASK: self._masks.index_select(0, state[:, 0])} if self.extras else {}
