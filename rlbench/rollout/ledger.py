"""What the host knows of copies that are stepped on a device: which episodes they are in, and what was done in them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .. import rng
from ..border.spaces import ActionCodec
from .episodes import Episode

ENDED, TERMINATED = 1, 2  # what becomes of an episode in a step: their sum


class Ledger:
    """n = S * E copies, seed by seed. It is told of their steps in pages, later than they are taken.

    Args:
        seeds: the S seed numbers.
        num_envs: E.
        stream: names what the episodes are for.
        codec: of the actions.

    Attributes:
        numbers: (n,) int64, of each copy's episode under way, as far as has been read.
        running: (n,) bool, the copies that are stepped.
        clock: vector steps that were asked for since all began.
        began: (n,) int64, by that clock, when the episode under way did.
    """

    def __init__(self, seeds: Sequence[int], num_envs: int, stream: str, codec: ActionCodec) -> None:
        self.seeds, self.num_envs, self.stream, self._codec = tuple(seeds), num_envs, stream, codec
        self._width = math.prod(codec.shape)  # 1 of an index
        n = len(self.seeds) * num_envs
        self.numbers, self.running = np.zeros(n, np.int64), np.ones(n, np.bool_)
        self.clock, self.began = 0, np.zeros(n, np.int64)
        self._read = 0  # steps that have been read
        self._kept: list[tuple[int, np.ndarray]] = []  # (the clock before its first step, actions (steps, n, width))

    def begin_all(self, episode: int) -> None:
        """All copies begin their episode number ``episode``."""
        self.numbers[:], self.running[:], self.began[:] = episode, True, 0
        self.clock = self._read = 0
        self._kept = []

    def skip(self, copies: np.ndarray) -> None:
        """The copies where (n,) bool is True begin their next episode now, and the one under way never was."""
        self.numbers[copies] += 1
        self.began[copies] = self._read

    def reset_seeds(self, copies: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """What resets episodes ``numbers`` of ``copies``, both (m,): (m,) int64."""
        return np.array(list(map(self._reset_seed, copies.tolist(), numbers.tolist())), np.int64)

    def _reset_seed(self, copy: int, number: int) -> int:
        s, e = divmod(copy, self.num_envs)
        return rng.episode_seed(self.seeds[s], self.stream, e, number)

    def read(self, rows: np.ndarray) -> list[Episode]:
        """Take in a page, (steps, n, width + 2): what was done, what became of the episode, and its return then.

        Returns:
            The episodes that ended in it, in the order in which they did.
        """
        first, self._read = self._read, self._read + len(rows)
        self._kept.append((first, rows[..., :-2]))
        finished = [self._episode(i, first + t + 1, rows[t, i]) for t, i in np.argwhere(rows[..., -2] != 0).tolist()]
        oldest = min(self.began[self.running].tolist(), default=self._read)
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) <= oldest:
            del self._kept[0]
        return finished

    def _episode(self, i: int, end: int, row: np.ndarray) -> Episode:
        """The episode of copy ``i``, which ended when the clock stood at ``end``; its next one is under way then."""
        taken, number = self._done(i, end), int(self.numbers[i])
        self.numbers[i], self.began[i] = number + 1, end
        return Episode(
            *divmod(i, self.num_envs),
            number,
            float(row[-1]),
            len(taken),
            int(row[-2]) >= TERMINATED,
            self._reset_seed(i, number),
            list(self._codec.decode(torch.from_numpy(taken))),
            self.clock - end,
        )

    def _done(self, i: int, end: int) -> np.ndarray:
        """The actions of copy ``i`` since its episode began, (steps, *action_shape), as the agent gave them."""
        first, none = int(self.began[i]), np.zeros((0, self._width))
        parts = [rows[max(first - at, 0) : max(end - at, 0), i] for at, rows in self._kept]
        return self._given(np.concatenate([none, *parts]))

    def _given(self, taken: np.ndarray) -> np.ndarray:
        """Numbers of a page, (..., width), as actions, (..., *action_shape)."""
        if self._codec.discrete:
            return taken[..., 0].astype(np.int64)
        return taken.reshape(*taken.shape[:-1], *self._codec.shape).astype(np.float32)

    def under_way(self) -> np.ndarray:
        """What all copies did in their episodes under way, (T, n, *action_shape), each from its first step on."""
        longest = int((self._read - self.began).max(initial=0))
        whole = np.zeros((longest, len(self.began), self._width))
        for at, rows in self._kept:
            for t, row in enumerate(rows, at):
                mine = np.flatnonzero(self.began <= t)
                whole[t - self.began[mine], mine] = row[mine]
        return self._given(whole)

    def state_dict(self) -> dict[str, Any]:
        """As `restore_envs.state_of` has it, without the observations."""
        lead = (len(self.seeds), self.num_envs)
        dtype = torch.int64 if self._codec.counts else torch.float32
        done = [self._codec.decode(torch.from_numpy(self._done(i, self._read))) for i in range(len(self.numbers))]
        return {
            "episodes": torch.from_numpy(self.numbers.reshape(lead).copy()),
            "running": torch.from_numpy(self.running.reshape(lead).copy()),
            "actions": [torch.tensor(np.array(list(actions)), dtype=dtype) for actions in done],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state_dict` was asked for; all that was done in the episodes under way has been read."""
        self.numbers[:], self.running[:] = state["episodes"].flatten().numpy(), state["running"].flatten().numpy()
        taken = [actions.numpy() - (self._codec.start if self._codec.discrete else 0) for actions in state["actions"]]
        steps = np.array([len(actions) for actions in taken])
        self.clock = self._read = int(steps.max(initial=0))
        self.began[:] = self.clock - steps
        rows = np.zeros((self.clock, len(taken), self._width))
        for i, actions in enumerate(taken):
            rows[self.clock - len(actions) :, i] = actions.reshape(len(actions), self._width)
        self._kept = [(0, rows)]
