"""Sequences out of a replay buffer, for agents with memory: what happened step after step, and what was remembered
where each sequence begins.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..rng import Stream
from ..types import Extras, Spec, Transition
from .ring import Replay

MEMORY = "memory"  # among a transition's extras: what the agent remembered before it acted, (S, E, H)


class Sequences(NamedTuple):
    """What is learned from: L steps of each of B sequences, which may lead from one episode into the next.

    ``reward`` and ``discount`` are those of the n-step window that begins at a step; it ends where its episode ends,
    and with the sequence. ``last`` is the position of the window's last step, whose ``next_obs`` follows it.
    """

    obs: Tensor  # (S, L, B, *O)
    action: Tensor  # (S, L, B) int64, or (S, L, B, *action_shape): see `rlbench.Spec`
    reward: Tensor  # (S, L, B) float32
    discount: Tensor  # (S, L, B) float32: gamma**k * (1 - terminated)
    next_obs: Tensor  # (S, L, B, *O), one step later
    last: Tensor  # (S, L, B) int64, of 0..L - 1
    fresh: Tensor  # (S, L, B) bool: an episode begins with this step, after another one in the same sequence
    memory: Tensor  # (S, B, H), before the first step
    next_extras: Extras  # (S, L, B, ...) each


class SequenceReplay(Replay):
    """A `Replay` from which sequences are drawn (Kapturowski et al. 2019, "Recurrent Experience Replay in Distributed
    Reinforcement Learning", ICLR: stored state).

    Transitions that are added carry what the agent remembered before it acted as ``extras["memory"]``.

    Args:
        spec: shapes, S, E and device.
        capacity: transitions kept per seed, rounded down to a multiple of E.
        stream: where the sampling indices come from.
        memory: H, how many numbers the agent remembers.
        length: L, steps of a sequence.
        gamma: discount per step.
        n_step: the longest window.

    Raises:
        ValueError: capacity does not hold one sequence of every env, or an index space is too large to pack.
    """

    def __init__(
        self,
        spec: Spec,
        capacity: int,
        stream: Stream,
        *,
        memory: int,
        length: int,
        gamma: float = 0.99,
        n_step: int = 1,
    ) -> None:
        super().__init__(spec, capacity, stream, gamma=gamma, n_step=n_step, memory=memory)
        if length > self._length:
            raise ValueError(
                f"sequences of {length} steps do not fit into capacity {capacity}, which holds {self._length} steps of "
                f"each of {spec.num_envs} envs: raise capacity"
            )
        self.length = length
        self._offsets = self._x.array(np.arange(length)[None, :, None])
        self._starts = self._x.number()

    @property
    def ready(self) -> bool:
        """Whether it holds a sequence."""
        return self._filled >= self.length

    def add(self, transition: Transition) -> None:
        """Store one transition of every env, over the oldest ones when full.

        Raises:
            ValueError: it does not say what the agent remembered.
        """
        if MEMORY not in transition.extras:
            raise ValueError('the transition has no extras["memory"], what the agent remembered before it acted')
        self._memory[:, self._cursor] = self._x.put(transition.extras[MEMORY])
        super().add(transition)

    def sequences(self, batch_size: int) -> Sequences:
        """Draw (S, batch_size) sequences of L steps, uniformly and with replacement, each seed from its own stream.

        Raises:
            ValueError: it holds no sequence yet.
        """
        return self.sequences_at(self.shares(batch_size))

    def shares(self, batch_size: int) -> Any:
        """As `Replay.shares`, of sequences.

        Raises:
            ValueError: it holds no sequence yet.
        """
        if not self.ready:
            raise ValueError(f"cannot draw sequences of {self.length} steps from {self._filled}")
        self._starts.set((self._filled - self.length + 1) * self.spec.num_envs)  # the places where one may begin
        self._oldest.set(self._cursor if self._filled == self._length else 0)
        return self._x.shares(self.stream, batch_size)

    def sequences_at(self, shares: Any) -> Sequences:
        """The other half of `sequences`, as `Replay.at`."""
        envs, spec, x = self.spec.num_envs, self.spec, self._x
        drawn = x.whole(shares * self._starts.now)  # (S, B), counted from the oldest
        steps = self._oldest.now + drawn[:, None] // envs + self._offsets
        index = steps % self._length * envs + drawn[:, None] % envs + self._first[..., None]  # (S, L, B)
        flat = index.reshape(spec.num_seeds, -1)  # (S, L * B)
        a = self._action_width
        rows = self._taken(flat)
        ends = rows[..., a + 1 : a + 3].reshape(*index.shape, 2) > 0  # terminated and truncated
        fresh = x.zeros(index.shape, torch.bool)
        fresh[:, 1:] = ends[:, :-1].any(-1)
        reward, discount, last = self._windows(rows[..., a].reshape(index.shape), ends)
        batch = self._batch(rows, rows, flat, flat, reward.reshape(flat.shape), discount.reshape(flat.shape))
        memory = x.take(self._flat_memory, index[:, 0])

        def folded(leaf: Tensor) -> Tensor:
            return leaf.reshape(*index.shape, *leaf.shape[2:])

        obs, action, paid, ahead, next_obs = map(folded, batch)
        said = {name: folded(leaf) for name, leaf in batch.next_extras.items()}
        at, begins, before = (x.given(array) for array in (last, fresh, memory))
        return Sequences(obs, action, paid, ahead, next_obs, at, begins, before, said)

    def _windows(self, reward: Any, ends: Any) -> tuple[Any, Any, Any]:
        """Of the windows that begin at each step: the discounted reward, the discount and the last step, (S, L, B)."""
        length, x = self.length, self._x
        over = ends[..., 0] | ends[..., 1]
        total, k = reward * 1, x.zeros(reward.shape, torch.int64) + 1
        going = ~over  # windows that reach further than the steps so far
        for i in range(1, min(self.n_step, length)):
            going[:, length - i :] = False
            ahead = x.zeros(reward.shape, torch.float32)
            ahead[:, : length - i] = reward[:, i:]
            total += x.where(going, ahead * self._gammas[i])
            k += going
            opens = x.zeros(reward.shape, torch.bool)
            opens[:, : length - i] = ~over[:, i:]
            going &= opens
        last = self._offsets + k - 1
        terminated = x.along(ends[..., 0], last)
        return total, self._gammas[k] * ~terminated, last
