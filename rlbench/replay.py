"""Replay buffer: ring storage, uniform sampling, n-step returns.

A transition is packed into one row of float32 (images into one row of bytes beside it), so that storing it is one copy
and sampling a batch is one gather. Rows lie as (S, T, E, width): time is a ring of T = capacity // E.
"""

import math
from typing import Any

import torch
from torch import Tensor

from .rng import Stream
from .types import Batch, Spec, Transition

_EXACT = 2**24  # integers up to here survive float32


class Replay:
    """The last ``capacity`` transitions of each seed, and batches drawn from them with replacement.

    An n-step window ends where its episode ends, by termination or by a time limit, and at the newest transition; a
    shorter window is a valid return with a smaller k (Sutton & Barto 2018, section 7.1).

    Args:
        spec: shapes, S, E and device.
        capacity: transitions kept per seed, rounded down to a multiple of E.
        stream: where the sampling indices come from.
        gamma: discount per step.
        n_step: the longest window.

    Raises:
        ValueError: capacity does not hold one window of every env, or an index space is too large to pack.
    """

    def __init__(self, spec: Spec, capacity: int, stream: Stream, *, gamma: float = 0.99, n_step: int = 1) -> None:
        self.spec = spec
        self.gamma, self.n_step = gamma, n_step
        self.stream = stream
        self._length = capacity // spec.num_envs
        if n_step < 1 or self._length < n_step:
            raise ValueError(f"capacity {capacity} is too small for {spec.num_envs} envs and n_step {n_step}")
        if max(spec.num_obs or 0, spec.num_actions or 0) > _EXACT:
            raise ValueError(f"more than {_EXACT} distinct observations or actions cannot be packed into float32")
        self._images = spec.obs_dtype == torch.uint8
        self._obs_width = math.prod(spec.obs_shape)
        self._action_width = math.prod(spec.action_shape)
        ring = (spec.num_seeds, self._length, spec.num_envs)
        width = self._action_width + 3 + (0 if self._images else 2 * self._obs_width)
        image_width = 2 * self._obs_width if self._images else 0
        try:
            self._rows = torch.empty(*ring, width, device=spec.device)
            self._pixels = torch.empty(*ring, image_width, dtype=torch.uint8, device=spec.device)
        except RuntimeError as e:
            size = math.prod(ring) * (4 * width + image_width) / 2**30
            raise ValueError(
                f"the replay buffer of {capacity:,} transitions needs {size:.1f} GiB; lower capacity"
            ) from e
        on_cpu = spec.device.type == "cpu"
        self._arrays = (self._rows.numpy(), self._pixels.numpy()) if on_cpu else None  # the same memory
        self._first = torch.arange(spec.num_seeds, device=spec.device).unsqueeze(1) * (self._length * spec.num_envs)
        self._steps = torch.arange(n_step, device=spec.device)
        self._gammas = torch.tensor([gamma**i for i in range(n_step + 1)], device=spec.device)
        self._cursor = 0  # the ring index that is written next
        self._filled = 0  # ring indices written so far, at most T

    def __len__(self) -> int:
        """Transitions held per seed."""
        return self._filled * self.spec.num_envs

    def add(self, transition: Transition) -> None:
        """Store one transition of every env, over the oldest ones when full."""
        if self._arrays is not None:
            self._add_on_cpu(transition)
        else:
            self._add(transition)
        self._cursor = (self._cursor + 1) % self._length
        self._filled = min(self._filled + 1, self._length)

    def _add(self, t: Transition) -> None:
        ends = torch.stack((t.reward, t.terminated, t.truncated), -1)  # (S, E, 3) promoted to float32
        action = t.action.reshape(*ends.shape[:2], self._action_width)
        obs, next_obs = (x.reshape(*ends.shape[:2], -1) for x in (t.obs, t.next_obs))
        if self._images:
            torch.cat((obs, next_obs), -1, out=self._pixels[:, self._cursor])
            torch.cat((action, ends), -1, out=self._rows[:, self._cursor])
        else:
            torch.cat((action, ends, obs, next_obs), -1, out=self._rows[:, self._cursor])

    def _add_on_cpu(self, t: Transition) -> None:
        """The same through NumPy, whose calls cost a third of torch's where the tensors are small."""
        assert self._arrays is not None
        a, o, (rows, pixels) = self._action_width, self._obs_width, self._arrays
        row = rows[:, self._cursor]  # (S, E, width)
        seen, at = (pixels[:, self._cursor], 0) if self._images else (row, a + 3)
        shape = row.shape[:2]
        if self.spec.action_shape:
            row[..., :a] = t.action.numpy().reshape(*shape, a)
        else:
            row[..., 0] = t.action.numpy()
        row[..., a] = t.reward.numpy()
        row[..., a + 1] = t.terminated.numpy()
        row[..., a + 2] = t.truncated.numpy()
        seen[..., at : at + o] = t.obs.numpy().reshape(*shape, o)
        seen[..., at + o : at + 2 * o] = t.next_obs.numpy().reshape(*shape, o)

    def sample(self, batch_size: int) -> Batch:
        """Draw (S, batch_size) transitions, uniformly and with replacement, each seed from its own stream.

        Raises:
            ValueError: the buffer is empty.
        """
        if not self._filled:
            raise ValueError("cannot sample from an empty replay buffer")
        index = self.stream.integers(batch_size, len(self))  # (S, B)
        if self.n_step == 1:
            rows = self._gather(self._rows, index)  # (S, B, width)
            reward = rows[..., self._action_width]
            alive = 1 - rows[..., self._action_width + 1]
            return self._batch(rows, rows, index, index, reward, alive * self.gamma)
        return self._sample_windows(index)

    def _sample_windows(self, index: Tensor) -> Batch:
        a, envs = self._action_width, self.spec.num_envs
        ahead = (self._cursor - 1 - index // envs) % self._length  # (S, B) steps stored after the sampled one
        window = index.unsqueeze(-1) + self._steps * envs  # (S, B, n)
        rows = self._gather(self._rows, window % (self._length * envs))  # (S, B, n, width)
        ends = rows[..., a + 1] + rows[..., a + 2] > 0
        alive = torch.ones_like(ends)
        alive[..., 1:] = (~ends[..., :-1]).cumprod(-1).bool() & (self._steps[1:] <= ahead.unsqueeze(-1))
        count = alive.sum(-1)  # (S, B) k
        reward = torch.where(alive, rows[..., a] * self._gammas[:-1], 0.0).sum(-1)  # where: unwritten rows may be NaN
        last = (count - 1)[..., None, None].expand(-1, -1, 1, rows.shape[-1])
        final = rows.gather(2, last).squeeze(2)  # (S, B, width) the row in which the window ends
        discount = self._gammas[count] * (1 - final[..., a + 1])
        final_index = window.gather(2, (count - 1).unsqueeze(-1)).squeeze(-1) % (self._length * envs)
        return self._batch(rows[:, :, 0], final, index, final_index, reward, discount)

    def _batch(
        self, rows: Tensor, final: Tensor, index: Tensor, final_index: Tensor, reward: Tensor, discount: Tensor
    ) -> Batch:
        """A batch whose obs and action stand in ``rows`` and whose next_obs stands in ``final``, both (S, B, width)."""
        a, o, shape = self._action_width, self._obs_width, (*index.shape, *self.spec.obs_shape)
        if self._images:
            obs = self._gather(self._pixels, index)[..., :o].reshape(shape)
            next_obs = self._gather(self._pixels, final_index)[..., o:].reshape(shape)
        else:
            obs, next_obs = rows[..., a + 3 : a + 3 + o], final[..., a + 3 + o :]
            if len(self.spec.obs_shape) != 1:
                obs, next_obs = obs.reshape(shape), next_obs.reshape(shape)
            if self.spec.num_obs is not None:
                obs, next_obs = obs.long(), next_obs.long()
        action = rows[..., 0].long() if self.spec.num_actions is not None else rows[..., :a]
        if self.spec.num_actions is None and len(self.spec.action_shape) != 1:
            action = action.reshape(*index.shape, *self.spec.action_shape)
        return Batch(obs, action, reward, discount, next_obs)

    def _gather(self, store: Tensor, index: Tensor) -> Tensor:
        """Rows of ``store`` at ring positions ``index`` (S, B, ...): (S, B, ..., width)."""
        first = self._first if index.dim() == 2 else self._first.unsqueeze(-1)
        flat = store.view(-1, store.shape[-1]).index_select(0, (index + first).view(-1))
        return flat.view(*index.shape, store.shape[-1])

    def state_dict(self) -> dict[str, Any]:
        """The part of the ring that is filled, and where writing goes on."""
        return {
            "rows": self._rows[:, : self._filled].clone(),
            "pixels": self._pixels[:, : self._filled].clone(),
            "cursor": self._cursor,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved ring.

        Raises:
            ValueError: it does not fit this buffer's shapes or capacity.
        """
        rows, pixels = state["rows"], state["pixels"]
        filled = rows.shape[1]
        want = tuple(self._rows[:, :filled].shape)
        if tuple(rows.shape) != want or tuple(pixels.shape) != tuple(self._pixels[:, :filled].shape):
            raise ValueError(f"saved replay rows of shape {tuple(rows.shape)} do not fit this buffer's {want}")
        cursor = int(state["cursor"])
        if not 0 <= cursor < self._length or (filled < self._length and cursor != filled):
            raise ValueError(f"saved replay of another capacity: {filled} steps with the next at {cursor}")
        self._rows[:, :filled].copy_(rows)
        self._pixels[:, :filled].copy_(pixels)
        self._cursor, self._filled = cursor, filled
