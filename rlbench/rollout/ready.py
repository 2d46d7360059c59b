"""How the next episodes of every copy begin, laid ready on a device, so that one can begin there without the host."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..cuda.feed import sent
from ..worlds.world import World

Seeds = Callable[[np.ndarray, np.ndarray], np.ndarray]  # copies and numbers of episodes, (m,) both -> what resets them


class Ready:
    """Of n copies, the episode under way and some of those that follow.

    Args:
        world: how episodes begin; on the device.
        n: copies.
        episodes: that lie ready of each.
        reset_seeds: what resets them.
    """

    def __init__(self, world: World, n: int, episodes: int, reset_seeds: Seeds) -> None:
        self.world, self.episodes, self._reset_seeds = world, episodes, reset_seeds
        device = world.device
        self._states = torch.zeros(n * episodes, world.size, dtype=world.dtype, device=device)
        self._draws = torch.zeros(n * episodes * world.draws, dtype=torch.float64, device=device)
        self._first = torch.arange(0, n * episodes, episodes, device=device)
        self._slot = torch.zeros(n, dtype=torch.int64, device=device)  # of the episode under way
        self._filled = np.zeros(n, np.int64)  # the first episode of each copy that is not there

    def stand(self, numbers: np.ndarray) -> None:
        """The episodes ``numbers``, (n,) int64, are under way."""
        self._filled = numbers.copy()
        self.prepare(numbers)
        self._slot.copy_(sent(numbers % self.episodes, self.world.device))

    def prepare(self, numbers: np.ndarray) -> None:
        """Lay ready what is missing of those that follow, where ``numbers``, (n,), are the oldest that still matter."""
        wanted = numbers + self.episodes
        missing = wanted - self._filled
        if not missing.any():
            return
        copies = np.repeat(np.arange(len(missing)), missing)
        within = np.arange(len(copies)) - np.repeat(np.cumsum(missing) - missing, missing)
        number = self._filled[copies] + within
        starts = self.world.starts(self._reset_seeds(copies, number))
        device = self.world.device
        where = sent(copies * self.episodes + number % self.episodes, device)
        self._states.index_copy_(0, where, sent(np.ascontiguousarray(starts.state), device))
        if self.world.draws:
            rows = self._draws.view(-1, self.world.draws)
            rows.index_copy_(0, where, sent(np.ascontiguousarray(starts.draws), device))
        self._filled = wanted

    # Operations on tensors alone:

    def state(self) -> Tensor:
        """(n, size), the beginning of the episodes under way."""
        return self._states.index_select(0, self._first + self._slot)

    def next(self, ended: Tensor) -> None:
        """Where ``ended``, (n,) bool, the next episode is under way."""
        torch.remainder(self._slot + ended, self.episodes, out=self._slot)

    def draw(self, steps: Tensor) -> Tensor | None:
        """(n,) the random numbers of the episodes under way after so many ``steps`` of them, where they take any."""
        if not self.world.draws:
            return None
        place = steps.clamp(max=self.world.draws - 1)  # a copy that stands still may have none left
        return self._draws.index_select(0, (self._first + self._slot) * self.world.draws + place)
