"""The replay buffer: ring storage, uniform sampling, n-step returns. One of another kind gets a file beside this one.

A transition is packed into one row of float32 (images into two rows of bytes beside it), so that sampling is one
gather. Rows lie as (S, T, E, width): time is a ring of T = capacity // E. The ring is held by NumPy in the host's
memory, whatever the device: its calls cost a third of torch's where arrays are small, and there is room for it.
"""

import math
from typing import Any

import numpy as np
import torch

from ..cuda.feed import Feed, away
from ..errors import NoMemory
from ..rng import Stream
from ..types import NO_EXTRAS, Batch, Spec, Transition
from ..units import byte_size
from .extras import SaidRing
from .packing import Packed, Twofold, layout

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
        self._feed = Feed(spec.device, torch.float32) if away(spec.device) else None
        self._image_feed = Feed(spec.device, torch.uint8)
        self._length = capacity // spec.num_envs
        if self._length < 1:
            raise ValueError(f"capacity {capacity} is too small for {spec.num_envs} envs")
        if not 1 <= n_step <= self._length:
            raise ValueError(
                f"n_step {n_step} does not fit into capacity {capacity}, which holds {self._length} steps of each of "
                f"{spec.num_envs} envs: lower n_step or raise capacity"
            )
        if max(spec.num_obs or 0, spec.num_actions or 0, *(spec.action_sizes or ())) > _EXACT:
            raise ValueError(f"more than {_EXACT} distinct observations or actions cannot be packed into float32")
        self._images = spec.obs_dtype == torch.uint8
        self._obs_width = math.prod(spec.obs_shape)
        self._action_width = math.prod(spec.action_shape)
        ring = (spec.num_seeds, self._length, spec.num_envs)
        width = layout(spec).width
        try:
            self._rows = np.zeros((*ring, width), np.float32)
            self._pixels = np.zeros((*ring, 2, self._obs_width if self._images else 0), np.uint8)
        except (MemoryError, ValueError) as e:
            size = math.prod(ring) * (4 * width + (2 * self._obs_width if self._images else 0))
            text = f"the replay buffer of {capacity:,} transitions needs {byte_size(size)}; lower capacity"
            raise NoMemory(text, size, capacity) from e
        self._said = SaidRing(spec, self._length)
        self._columns = self._views()
        self._flat_rows = self._rows.reshape(-1, width)
        self._flat_halves = (
            self._pixels.reshape(2 * math.prod(ring), -1) if self._images else self._pixels
        )  # obs and next_obs in turns
        self._first = np.arange(spec.num_seeds).reshape(-1, 1) * (self._length * spec.num_envs)
        self._steps = np.arange(n_step)
        self._gammas = np.array([gamma**i for i in range(n_step + 1)], np.float32)
        self._cursor = 0  # the ring index that is written next
        self._filled = 0  # ring indices written so far, at most T

    def __len__(self) -> int:
        """Transitions held per seed."""
        return self._filled * self.spec.num_envs

    @property
    def capacity(self) -> int:
        """Transitions of each seed that fill it."""
        return self._length * self.spec.num_envs

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes once it is full, of all seeds together."""
        return self._rows.nbytes + self._pixels.nbytes + self._said.nbytes

    def add(self, transition: Transition) -> None:
        """Store one transition of every env, over the oldest ones when full.

        Raises:
            ValueError: it does not say what the buffer keeps besides observations.
        """
        cursor, t = self._cursor, transition
        if isinstance(t, Packed) and t.row is not None:
            self._rows[:, cursor] = t.row
        else:
            host = t.host if isinstance(t, Twofold) else None
            if self._said:
                self._said.write(cursor, host or t)
            self._write(cursor, host or Transition(*(leaf.cpu() for leaf in t)))
        self._cursor = (cursor + 1) % self._length
        self._filled = min(self._filled + 1, self._length)

    def cut(self, where: np.ndarray) -> None:
        """The newest transition of each env in ``where``, (S, E) bool, is followed by another episode: as at a time
        limit, no window reaches beyond it, and its value goes on."""
        if self._filled:
            truncated = self._columns[4][:, self._cursor - 1, :, 1]  # (S, E)
            truncated[where] = 1.0

    def _write(self, cursor: int, t: Transition) -> None:
        obs, action, reward, next_obs, ends = self._columns
        obs[:, cursor], action[:, cursor] = t.obs.numpy(), t.action.numpy()
        reward[:, cursor], next_obs[:, cursor] = t.reward.numpy(), t.next_obs.numpy()
        ends[:, cursor, ..., 0], ends[:, cursor, ..., 1] = t.terminated.numpy(), t.truncated.numpy()

    def _views(self) -> list[np.ndarray]:
        """(S, T, E, ...) views into the ring: obs, action, reward, next_obs, and (terminated, truncated) together."""
        a, o, rows = self._action_width, self._obs_width, self._rows
        pair: tuple[np.ndarray, np.ndarray] = (self._pixels[..., 0, :], self._pixels[..., 1, :])
        if not self._images:
            pair = (rows[..., a + 3 : a + 3 + o], rows[..., a + 3 + o :])
        obs, next_obs = (x.reshape(*x.shape[:3], *self.spec.obs_shape) for x in pair)
        action = rows[..., :a].reshape(*rows.shape[:3], *self.spec.action_shape)
        return [obs, action, rows[..., a], next_obs, rows[..., a + 1 : a + 3]]

    def held(self, every: int = 1) -> tuple[np.ndarray, ...]:
        """What is there, the oldest step first: obs, action, reward, next_obs, and terminated and truncated side by
        side as numbers 0 and 1; (S, T, E, ...) each, copies.

        Args:
            every: only each so many-th step.
        """
        oldest = self._cursor if self._filled == self._length else 0
        order = (oldest + np.arange(0, self._filled, every)) % self._length
        return tuple(view[:, order] for view in self._columns)

    def sample(self, batch_size: int) -> Batch:
        """Draw (S, batch_size) transitions, uniformly and with replacement, each seed from its own stream.

        Raises:
            ValueError: the buffer is empty.
        """
        if not self._filled:
            raise ValueError("cannot sample from an empty replay buffer")
        index = (self.stream.host(batch_size) * len(self)).astype(np.int64)  # (S, B)
        if self.n_step > 1:
            return self._sample_windows(index)
        index += self._first
        rows = self._taken(index)  # (S, B, width)
        discount = self.gamma - self.gamma * rows[..., self._action_width + 1]
        return self._batch(rows, rows, index, index, rows[..., self._action_width], discount)

    def _taken(self, index: np.ndarray) -> np.ndarray:
        """The rows at ``index``, (S, B); where they are to be sent on, in memory that `_feed` sends."""
        if self._feed is None:
            return self._flat_rows.take(index, 0)
        rows = self._feed.array(*index.shape, self._flat_rows.shape[1])
        return self._flat_rows.take(index, 0, out=rows, mode="clip")  # which does not copy a second time

    def _sample_windows(self, index: np.ndarray) -> Batch:
        a, envs, n = self._action_width, self.spec.num_envs, self.n_step
        ahead = (self._cursor - 1 - index // envs) % self._length  # (S, B) steps stored after the sampled one
        window = (index[..., None] + self._steps * envs) % (self._length * envs)
        window += self._first[..., None]  # (S, B, n)
        rows = self._flat_rows.take(window, 0)  # (S, B, n, width)
        closes = (rows[..., a + 1] + rows[..., a + 2] > 0) | (self._steps >= ahead[..., None])
        closes[..., -1] = True
        k = closes.argmax(-1)  # (S, B) steps from the first transition of a window to its last
        reward = np.where(self._steps <= k[..., None], rows[..., a] * self._gammas[:-1], np.float32(0)).sum(-1)
        last = np.arange(0, n * k.size, n).reshape(k.shape) + k
        final = rows.reshape(-1, rows.shape[-1]).take(last, 0)  # (S, B, width) the row in which the window ends
        discount = self._gammas[k + 1] * (1 - final[..., a + 1])
        return self._batch(rows[:, :, 0], final, window[..., 0], window.reshape(-1).take(last), reward, discount)

    def _batch(
        self,
        rows: np.ndarray,
        final: np.ndarray,
        index: np.ndarray,
        final_index: np.ndarray,
        reward: np.ndarray,
        discount: np.ndarray,
    ) -> Batch:
        """A batch whose obs and action stand in ``rows`` and whose next_obs stands in ``final``, both (S, B, width)."""
        a, o, spec = self._action_width, self._obs_width, self.spec
        extras, next_extras = self._said.taken(index, final_index) if self._said else (NO_EXTRAS, NO_EXTRAS)
        if self._feed is not None:
            batch = self._sent(self._feed, rows, final, index, final_index, reward, discount)
            return Batch(*batch, extras=extras, next_extras=next_extras) if extras else batch
        if self._images:
            obs, next_obs = self._flat_halves.take(2 * index, 0), self._flat_halves.take(2 * final_index + 1, 0)
        else:
            obs, next_obs = rows[..., a + 3 : a + 3 + o], final[..., a + 3 + o :]
        if len(spec.obs_shape) != 1:
            obs, next_obs = (x.reshape(*index.shape, *spec.obs_shape) for x in (obs, next_obs))
        if spec.num_obs is not None:
            obs, next_obs = obs.astype(np.int64), next_obs.astype(np.int64)
        if spec.num_actions is not None:
            action = rows[..., 0].astype(np.int64)
        else:
            action = rows[..., :a].reshape(*index.shape, *spec.action_shape)
            action = action if spec.action_sizes is None else action.astype(np.int64)
        batch = Batch._make(map(torch.from_numpy, (obs, action, reward, discount, next_obs)))
        if extras:
            batch.extras, batch.next_extras = extras, next_extras
        return batch

    def _sent(
        self,
        feed: Feed,
        rows: np.ndarray,
        final: np.ndarray,
        index: np.ndarray,
        final_index: np.ndarray,
        reward: np.ndarray,
        discount: np.ndarray,
    ) -> Batch:
        """As `_batch`, on the device: everything goes there as one row, and is told apart there."""
        a, o, spec = self._action_width, self._obs_width, self.spec
        if self.n_step > 1:
            row = feed.array(*rows.shape)
            row[..., : a + 3 + o], row[..., a + 3 + o :] = rows[..., : a + 3 + o], final[..., a + 3 + o :]
            row[..., a] = reward
        else:
            row = rows  # which is the feed's already
        row[..., a + 1] = discount
        sent = feed.send()  # (S, B, width): action | reward | discount | - | obs | next_obs
        if self._images:
            pair = self._image_feed.array(2, index.size, self._flat_halves.shape[1])
            for half, at in zip(pair, (2 * index, 2 * final_index + 1), strict=True):
                self._flat_halves.take(at.reshape(-1), 0, out=half, mode="clip")
            obs, next_obs = self._image_feed.send()
        else:
            obs, next_obs = sent[..., a + 3 : a + 3 + o], sent[..., a + 3 + o :]
        if self._images or len(spec.obs_shape) != 1:
            obs, next_obs = (x.reshape(*index.shape, *spec.obs_shape) for x in (obs, next_obs))
        if spec.num_obs is not None:
            obs, next_obs = obs.long(), next_obs.long()
        if spec.num_actions is not None:
            action = sent[..., 0].long()
        else:
            action = sent[..., :a].reshape(*index.shape, *spec.action_shape).to(spec.action_dtype)
        return Batch._make((obs, action, sent[..., a], sent[..., a + 1], next_obs))

    def state_dict(self) -> dict[str, Any]:
        """The part of the ring that is filled, a tensor for each seed, and where writing goes on.

        The tensors share the ring's memory, as PyTorch's do: a copy of a large buffer may not fit beside it.
        """
        return {
            "rows": [torch.from_numpy(ring[: self._filled]) for ring in self._rows],
            "pixels": [torch.from_numpy(ring[: self._filled]) for ring in self._pixels],
            "cursor": self._cursor,
            **({"said": self._said.state_dict(self._filled)} if self._said else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved ring.

        Raises:
            ValueError: it does not fit this buffer's shapes or capacity.
        """
        seeds, cursor = self.spec.num_seeds, int(state["cursor"])
        if not len(state["rows"]) == len(state["pixels"]) == seeds:
            raise ValueError(f"saved replay of {len(state['rows'])} seeds does not fit this buffer's {seeds}")
        filled = len(state["rows"][0])
        if filled > self._length or not 0 <= cursor < self._length or (filled < self._length and cursor != filled):
            raise ValueError(f"saved replay of another capacity: {filled} steps with the next at {cursor}")
        self._said.load_state_dict(state.get("said", {}), filled)
        pairs: list[tuple[np.ndarray, Any]] = [(self._rows, state["rows"]), (self._pixels, state["pixels"])]
        for ours, saved in pairs:
            want = tuple(ours[0, :filled].shape)
            for ring, tensor in zip(ours, saved, strict=True):
                found = tuple(tensor.shape)
                if found != want:
                    raise ValueError(f"saved replay rows of shape {found} do not fit this buffer's {want}")
                ring[:filled] = tensor.cpu().numpy()
        self._cursor, self._filled = cursor, filled
