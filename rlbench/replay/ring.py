"""The replay buffer: ring storage, uniform sampling, n-step returns. One of another kind gets a file beside this one.

A transition is packed into one row of float32 (images into two rows of bytes beside it), so that sampling is one
gather. Rows lie as (S, T, E, width): time is a ring of T = capacity // E. The ring lies in the host's memory or in the
device's, as `Spec.replay` says: its arithmetic stands here, and what differs is in `arrays`. The same batches come out
of either, to the bit, and what is saved of one is taken over by the other.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cuda.feed import Feed, away
from ..errors import NoMemory
from ..rng import Stream
from ..types import NO_EXTRAS, Batch, Spec, Transition
from ..units import byte_size
from .arrays import MOST, Arrays, DeviceArrays, chosen, free_there
from .extras import SaidRing
from .packing import layout

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
        memory: numbers besides, (S, E, memory) of each step, which a subclass writes to ``_memory``.

    Attributes:
        nbytes: bytes of memory that it takes once it is full, of all seeds together.

    Raises:
        ValueError: capacity does not hold one window of every env, or an index space is too large to pack.
    """

    def __init__(
        self, spec: Spec, capacity: int, stream: Stream, *, gamma: float = 0.99, n_step: int = 1, memory: int = 0
    ) -> None:
        self.spec = spec
        self.gamma, self.n_step = gamma, n_step
        self.stream = stream
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
        self._x = self._make(capacity, memory)
        self._columns = self._views()
        self._flat_rows = self._rows.reshape(-1, self._rows.shape[-1])
        self._flat_halves = (
            self._pixels.reshape(-1, self._obs_width) if self._images else self._pixels
        )  # obs and next_obs in turns
        self._flat_memory = self._memory.reshape(-1, memory) if memory else self._memory
        feeds = away(spec.device) and not self._x.on_device
        self._feed = Feed(spec.device, torch.float32) if feeds else None
        self._image_feed = Feed(spec.device, torch.uint8)
        self._there = DeviceArrays(spec.device)
        self._first = self._x.array(np.arange(spec.num_seeds).reshape(-1, 1) * (self._length * spec.num_envs))
        self._steps = self._x.array(np.arange(n_step))
        self._gammas = self._x.array(np.array([gamma**i for i in range(n_step + 1)], np.float32))
        self._held, self._newest, self._oldest = (self._x.number() for _ in range(3))
        self._cursor = 0  # the ring index that is written next
        self._filled = 0  # ring indices written so far, at most T

    def _make(self, capacity: int, memory: int) -> Arrays:
        """The ring's memory; says what kind it is.

        Raises:
            NoMemory: there is not enough.
        """
        spec, width, halves = self.spec, layout(self.spec).width, 2 * self._obs_width if self._images else 0
        ring = (spec.num_seeds, self._length, spec.num_envs)
        size = math.prod(ring) * (4 * (width + memory) + halves) + SaidRing.size(spec, self._length)
        x = chosen(spec.replay, spec.device, size)
        text = f"the replay buffer of {capacity:,} transitions needs {byte_size(size)}"
        if x.on_device and (free := free_there(spec.device)) is not None and size > MOST * free:
            text += f" of the card's memory, and {byte_size(free)} are free; lower capacity, or --set replay=host"
            raise NoMemory(text, size, capacity, on_card=free)
        try:
            self._rows: Any = x.room((*ring, width), torch.float32)
            self._pixels: Any = x.room((*ring, 2, halves // 2), torch.uint8)
            self._memory: Any = x.room((*ring, memory), torch.float32)
            self._said = SaidRing(spec, self._length, x)
        except (MemoryError, ValueError, torch.OutOfMemoryError) as e:
            if isinstance(e, torch.OutOfMemoryError):
                raise NoMemory(f"{text}; lower capacity", size, capacity, on_card=free_there(spec.device) or 0) from e
            raise NoMemory(f"{text}; lower capacity", size, capacity) from e
        self.nbytes = size
        return x

    def __len__(self) -> int:
        """Transitions held per seed."""
        return self._filled * self.spec.num_envs

    @property
    def capacity(self) -> int:
        """Transitions of each seed that fill it."""
        return self._length * self.spec.num_envs

    @property
    def on_device(self) -> bool:
        """Whether it lies on the spec's device, where `at` is operations on tensors alone, the same ones every time."""
        return self._x.on_device

    @property
    def device_nbytes(self) -> int:
        """Of ``nbytes``, those that lie in the memory of a device which is not the host."""
        return self.nbytes if self.on_device and away(self.spec.device) else 0

    def add(self, transition: Transition) -> None:
        """Store one transition of every env, over the oldest ones when full.

        Raises:
            ValueError: it does not say what the buffer keeps besides observations.
        """
        cursor, t = self._cursor, transition
        row = self._x.row(t)
        if row is not None:
            self._rows[:, cursor] = row
        else:
            t = self._x.near(t)
            if self._said:
                self._said.write(cursor, t)
            self._write(cursor, t)
        self._cursor = (cursor + 1) % self._length
        self._filled = min(self._filled + 1, self._length)

    def cut(self, where: np.ndarray) -> None:
        """The newest transition of each env in ``where``, (S, E) bool, is followed by another episode: as at a time
        limit, no window reaches beyond it, and its value goes on."""
        if self._filled:
            truncated = self._columns[4][:, self._cursor - 1, :, 1]  # (S, E)
            truncated[self._x.array(where)] = 1.0

    def _write(self, cursor: int, t: Transition) -> None:
        obs, action, reward, next_obs, ends = self._columns
        put = self._x.put
        obs[:, cursor], action[:, cursor] = put(t.obs), put(t.action)
        reward[:, cursor], next_obs[:, cursor] = put(t.reward), put(t.next_obs)
        ends[:, cursor, ..., 0], ends[:, cursor, ..., 1] = put(t.terminated), put(t.truncated)

    def _views(self) -> list[Any]:
        """(S, T, E, ...) views into the ring: obs, action, reward, next_obs, and (terminated, truncated) together."""
        a, o, rows = self._action_width, self._obs_width, self._rows
        pair = (self._pixels[..., 0, :], self._pixels[..., 1, :])
        if not self._images:
            pair = (rows[..., a + 3 : a + 3 + o], rows[..., a + 3 + o :])
        lead, spec = rows.shape[:3], self.spec
        obs, next_obs = (x.reshape(*lead, *spec.obs_shape) for x in pair)
        action = rows[..., :a].reshape(*lead, *spec.action_shape)
        return [obs, action, rows[..., a], next_obs, rows[..., a + 1 : a + 3]]

    def held(self, every: int = 1) -> tuple[np.ndarray, ...]:
        """What is there, the oldest step first: obs, action, reward, next_obs, and terminated and truncated side by
        side as numbers 0 and 1; (S, T, E, ...) each, copies.

        Args:
            every: only each so many-th step.
        """
        oldest = self._cursor if self._filled == self._length else 0
        order = self._x.array((oldest + np.arange(0, self._filled, every)) % self._length)
        return tuple(self._x.tensor(view[:, order]).cpu().numpy() for view in self._columns)

    def sample(self, batch_size: int) -> Batch:
        """Draw (S, batch_size) transitions, uniformly and with replacement, each seed from its own stream.

        Raises:
            ValueError: the buffer is empty.
        """
        return self.at(self.shares(batch_size))

    def shares(self, batch_size: int) -> Any:
        """The half of `sample` that changes with every call: (S, batch_size) numbers of 0 to 1, how far into the buffer
        each seed looks. A tensor where it lies `on_device`, else an array.

        Raises:
            ValueError: the buffer is empty.
        """
        if not self._filled:
            raise ValueError("cannot sample from an empty replay buffer")
        self._held.set(self._filled * self.spec.num_envs)
        if self.n_step > 1:
            self._newest.set(self._cursor - 1)
        return self._x.shares(self.stream, batch_size)

    def at(self, shares: Any) -> Batch:
        """The other half of `sample`: the transitions there, as the buffer stood when `shares` was called."""
        index = self._x.whole(shares * self._held.now)  # (S, B)
        if self.n_step > 1:
            return self._windows_at(index)
        index += self._first
        rows = self._taken(index)  # (S, B, width)
        discount = self.gamma - self.gamma * rows[..., self._action_width + 1]
        return self._batch(rows, rows, index, index, rows[..., self._action_width], discount)

    def _taken(self, index: Any) -> Any:
        """The rows at ``index``, (S, B); where they are to be sent on, in memory that `_feed` sends."""
        if self._feed is None:
            return self._x.take(self._flat_rows, index)
        rows = self._feed.array(*index.shape, self._flat_rows.shape[1])
        return self._flat_rows.take(index, 0, out=rows, mode="clip")  # which does not copy a second time

    def _windows_at(self, index: Any) -> Batch:
        a, envs, x = self._action_width, self.spec.num_envs, self._x
        ahead = (self._newest.now - index // envs) % self._length  # (S, B) steps stored after the sampled one
        window = (index[..., None] + self._steps * envs) % (self._length * envs)
        window += self._first[..., None]  # (S, B, n)
        rows = x.take(self._flat_rows, window)  # (S, B, n, width)
        closes = (rows[..., a + 1] + rows[..., a + 2] > 0) | (self._steps >= ahead[..., None])
        closes[..., -1] = True
        k = x.first(closes)  # (S, B) steps from the first transition of a window to its last
        reward = x.summed(x.where(self._steps <= k[..., None], rows[..., a] * self._gammas[:-1]))
        final, last = x.picked(k, rows, window)  # the row in which the window ends, (S, B, width), and where it lies
        discount = self._gammas[k + 1] * (1 - final[..., a + 1])
        return self._batch(rows[:, :, 0], final, window[..., 0], last, reward, discount)

    def _batch(self, rows: Any, final: Any, index: Any, final_index: Any, reward: Any, discount: Any) -> Batch:
        """A batch whose obs and action stand in ``rows`` and whose next_obs stands in ``final``, both (S, B, width)."""
        x, halves = self._x, None
        extras, next_extras = self._said.taken(index, final_index) if self._said else (NO_EXTRAS, NO_EXTRAS)
        if self._feed is not None:
            x, a = self._there, self._action_width
            halves = self._sent_images(index, final_index) if self._images else None
            rows = final = self._sent(self._feed, rows, final, reward, discount)
            reward, discount = rows[..., a], rows[..., a + 1]
        elif self._images:
            halves = x.take(self._flat_halves, 2 * index), x.take(self._flat_halves, 2 * final_index + 1)
        batch = self._told_apart(x, rows, final, halves, reward, discount)
        if extras:
            batch.extras, batch.next_extras = extras, next_extras
        return batch

    def _told_apart(self, x: Arrays, rows: Any, final: Any, halves: Any, reward: Any, discount: Any) -> Batch:
        """The leaves of a batch: of arrays in the memory ``x``, and of tensors over them."""
        a, o, spec = self._action_width, self._obs_width, self.spec
        obs, next_obs = halves or (rows[..., a + 3 : a + 3 + o], final[..., a + 3 + o :])
        lead = rows.shape[:2]
        if len(spec.obs_shape) != 1:
            obs, next_obs = (half.reshape(*lead, *spec.obs_shape) for half in (obs, next_obs))
        if spec.num_obs is not None:
            obs, next_obs = x.whole(obs), x.whole(next_obs)
        if spec.num_actions is not None:
            action = x.whole(rows[..., 0])
        else:
            action = rows[..., :a].reshape(*lead, *spec.action_shape)
            action = action if spec.action_sizes is None else x.whole(action)
        return Batch._make(map(x.tensor, (obs, action, reward, discount, next_obs)))

    def _sent(self, feed: Feed, rows: Any, final: Any, reward: Any, discount: Any) -> Tensor:
        """On the device: everything goes there as one row, and is told apart there."""
        a, o = self._action_width, self._obs_width
        if self.n_step > 1:
            row = feed.array(*rows.shape)
            row[..., : a + 3 + o], row[..., a + 3 + o :] = rows[..., : a + 3 + o], final[..., a + 3 + o :]
            row[..., a] = reward
        else:
            row = rows  # which is the feed's already
            row[..., a] = reward
        row[..., a + 1] = discount
        return feed.send()  # (S, B, width): action | reward | discount | - | obs | next_obs

    def _sent_images(self, index: np.ndarray, final_index: np.ndarray) -> Any:
        """obs and next_obs of images on the device, (S, B, O) each."""
        pair = self._image_feed.array(2, index.size, self._flat_halves.shape[1])
        for half, at in zip(pair, (2 * index, 2 * final_index + 1), strict=True):
            self._flat_halves.take(at.reshape(-1), 0, out=half, mode="clip")
        return tuple(half.reshape(*index.shape, -1) for half in self._image_feed.send())

    def state_dict(self) -> dict[str, Any]:
        """The part of the ring that is filled, a tensor for each seed, and where writing goes on.

        The tensors share the ring's memory, as PyTorch's do: a copy of a large buffer may not fit beside it.
        """
        saved = {name: self._x.saved(ring, self._filled) for name, ring in self._rings().items()}
        said = {"said": self._said.state_dict(self._filled)} if self._said else {}
        return {**saved, "cursor": self._cursor, **said}

    def _rings(self) -> dict[str, Any]:
        """By the names that they are saved under."""
        rings = {"rows": self._rows, "pixels": self._pixels}
        return {**rings, "memory": self._memory} if self._memory.shape[-1] else rings

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved ring, whichever memory that lay in.

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
        for name, ring in self._rings().items():
            self._x.load(ring, state[name], filled, name)
        self._cursor, self._filled = cursor, filled
