"""What the host knows of copies that are stepped on a device: which episodes they are in, and what was done in them."""

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
        ahead: episodes of one copy that are asked for at once, at most.

    Attributes:
        numbers: (n,) int64, of each copy's episode under way, as far as has been read.
        running: (n,) bool, the copies that are stepped.
        clock: vector steps that were asked for since all began.
        began: (n,) int64, by that clock, when the episode under way did.
    """

    def __init__(self, seeds: Sequence[int], num_envs: int, stream: str, codec: ActionCodec, ahead: int) -> None:
        self.seeds, self.num_envs, self.stream, self._codec = tuple(seeds), num_envs, stream, codec
        n = len(self.seeds) * num_envs
        self.numbers, self.running = np.zeros(n, np.int64), np.ones(n, np.bool_)
        self.clock, self.began = 0, np.zeros(n, np.int64)
        blocks = ahead // rng.EPISODES + 2  # of episodes whose seeds are known
        self._block, self._hashed = np.full((n, blocks), -1), np.empty((n, blocks, rng.EPISODES), np.int64)
        self._read = 0  # steps that have been read
        # What was done in the newest of them, each copy's in a row, (n, room, *action_shape), from the clock _first on.
        self._done = np.empty((n, 0, *codec.shape), codec.packed)
        self._first = 0

    def begin_all(self, episode: int) -> None:
        """All copies begin their episode number ``episode``."""
        self.numbers[:], self.running[:], self.began[:] = episode, True, 0
        self.clock = self._read = self._first = 0

    def skip(self, copies: np.ndarray) -> None:
        """The copies where (n,) bool is True begin their next episode now, and the one under way never was."""
        self.numbers[copies] += 1
        self.began[copies] = self._read

    def reset_seeds(self, copies: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """What resets episodes ``numbers`` of ``copies``, both (m,): (m,) int64."""
        block, within = np.divmod(numbers, rng.EPISODES)
        slot = block % self._block.shape[1]
        missing = self._block[copies, slot] != block
        if missing.any():
            i, b = np.unique(np.stack([copies[missing], block[missing]]), axis=1)
            s, e = np.divmod(i, self.num_envs)
            self._hashed[i, b % self._block.shape[1]] = rng.episode_seeds(
                [self.seeds[k] for k in s.tolist()], self.stream, e, b
            )
            self._block[i, b % self._block.shape[1]] = b
        found: np.ndarray = self._hashed[copies, slot, within]
        return found

    def read(self, rows: np.ndarray) -> list[Episode]:
        """Take in a page, (steps, n, width + 2): what was done, what became of the episode, and its return then.

        Returns:
            The episodes that ended in it, in the order in which they did.
        """
        first, self._read = self._read, self._read + len(rows)
        self._keep(rows[..., :-2].swapaxes(0, 1))
        t, i = np.nonzero(rows[..., -2])
        if not len(t):
            return []
        how, total = rows[t, i, -2:].T
        end = first + t + 1
        number, began = self._which(i, end)
        s, e = np.divmod(i, self.num_envs)
        spans = zip(i.tolist(), (began - self._first).tolist(), (end - self._first).tolist(), strict=True)
        taken = [self._done[copy, begin:over].copy() for copy, begin, over in spans]
        columns = (s, e, number, total, end - began, how >= TERMINATED, self.reset_seeds(i, number))
        return list(map(Episode, *(x.tolist() for x in columns), taken, (self.clock - end).tolist()))

    def _which(self, i: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of episodes of copies ``i`` that ended when the clock stood at ``end``, both (m,), in the order in which they
        did: their numbers, and when they began. The next ones are under way then."""
        order = np.argsort(i, kind="stable")  # copy by copy
        copies, ends = i[order], end[order]
        first = np.append(True, copies[1:] != copies[:-1])  # of its copy
        before = np.flatnonzero(first)[np.cumsum(first) - 1]
        number, began = np.empty_like(i), np.empty_like(end)
        number[order] = self.numbers[copies] + np.arange(len(i)) - before
        began[order] = np.where(first, self.began[copies], np.roll(ends, 1))
        last = np.append(first[1:], True)
        self.numbers[copies[last]], self.began[copies[last]] = number[order][last] + 1, ends[last]
        return number, began

    def _keep(self, taken: np.ndarray) -> None:
        """Add what was done in the steps that lead to ``_read``, (n, steps, width), as the agent gave it."""
        n, steps, _ = taken.shape
        before = self._read - steps
        if self._read - self._first > self._done.shape[1]:  # make room: what still matters moves to the front
            oldest = min(self.began[self.running].tolist(), default=before)
            held = self._done[:, oldest - self._first : before - self._first]
            room = max(self._done.shape[1], 2 * (self._read - oldest))
            moved = np.empty((n, room, *held.shape[2:]), held.dtype)
            moved[:, : held.shape[1]] = held
            self._done, self._first = moved, oldest
        start = self._codec.start if self._codec.discrete else 0
        place = self._done[:, before - self._first : self._read - self._first]
        place[:] = (taken + start).reshape(place.shape)

    def under_way(self) -> list[np.ndarray]:
        """What each copy has done in its episode under way, (steps, *action_shape), as its environment takes it;
        nothing of those that stand still, whose episodes nobody goes on with."""
        end = self._read - self._first
        begins = np.where(self.running, self.began - self._first, end).tolist()
        return [self._done[i, begin:end] for i, begin in enumerate(begins)]

    def aligned(self) -> np.ndarray:
        """Likewise of all, as agents give it: (T, n, *action_shape), each from its first step on."""
        done = self.under_way()
        dtype = np.int64 if self._codec.discrete else np.float32
        whole = np.zeros((max(map(len, done), default=0), len(done), *self._codec.shape), dtype)
        for i, taken in enumerate(done):
            whole[: len(taken), i] = taken.astype(dtype) - (self._codec.start if self._codec.discrete else 0)
        return whole

    def state_dict(self) -> dict[str, Any]:
        """As `restore_envs.state_of` has it, without the observations."""
        lead = (len(self.seeds), self.num_envs)
        dtype = torch.int64 if self._codec.counts else torch.float32
        return {
            "episodes": torch.from_numpy(self.numbers.reshape(lead).copy()),
            "running": torch.from_numpy(self.running.reshape(lead).copy()),
            "actions": [torch.from_numpy(taken.copy()).to(dtype) for taken in self.under_way()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state_dict` was asked for; all that was done in the episodes under way has been read."""
        self.numbers[:], self.running[:] = state["episodes"].flatten().numpy(), state["running"].flatten().numpy()
        steps = np.array([len(actions) for actions in state["actions"]])
        self.clock = self._read = int(steps.max(initial=0))
        self.began[:], self._first = self.clock - steps, 0
        self._done = np.zeros((len(steps), self.clock, *self._codec.shape), self._done.dtype)
        for mine, actions in zip(self._done, state["actions"], strict=True):
            mine[self.clock - len(actions) :] = actions.numpy()
