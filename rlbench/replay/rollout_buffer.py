"""The rollout buffer: T steps in a row of every env, learned from as a whole and then forgotten.

What on-policy agents collect, and what comes back in the order in which it happened, (S, T, E). It is an agent's
``replay``: saved in replay.pth beside the checkpoints, so that a run resumes in the middle of a rollout, and not copied
into the best weights.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..rng import Stream
from ..types import Extra, Spec, Transition
from .finals import EndsAlone, EveryStep
from .minibatches import Dealer, Minibatch
from .packing import Packed, layout

_PARTS = ("action", "reward", "terminated", "truncated")  # of a transition, besides its observations


class Rollout:
    """The last T steps of each env, in order.

    Next observations take no memory of their own: they are those of the next step, and only where an episode ended is
    the true one kept beside it. On a device they do, as much as `obs`: where episodes ended is known there alone, and
    nobody waits to be told. What is read off it is meant to be read when it is `full`.

    Args:
        spec: shapes, S, E and device.
        steps: T.
        extra: what `Agent.act` returns beside its actions, or the environment says, that is to be kept: a shape each,
            of float32, or an `rlbench.types.Extra`. ``{"log_prob": (), "value": (), **spec.extras}``.
        apart: whether next observations are kept apart; None: on a device, and not on a CPU.

    Attributes:
        obs: (S, T, E, *O), as are all of these.
        action: int64, or (S, T, E, *action_shape): see `rlbench.Spec`.
        reward: float32.
        terminated: bool.
        truncated: bool.
        extras: what was declared, by name.
        full: whether T steps are there.

    Raises:
        ValueError: ``steps`` below 1.
    """

    def __init__(
        self,
        spec: Spec,
        steps: int,
        extra: Mapping[str, tuple[int, ...] | Extra] | None = None,
        *,
        apart: bool | None = None,
    ) -> None:
        if steps < 1:
            raise ValueError(f"a rollout has 1 step or more, not {steps}")
        self.spec, self.steps = spec, steps

        def room(shape: tuple[int, ...], dtype: torch.dtype, length: int = steps) -> Tensor:
            return torch.zeros(spec.num_seeds, length, spec.num_envs, *shape, dtype=dtype, device=spec.device)

        here = spec.device.type == "cpu"
        apart = not here if apart is None else apart
        self._finals: EveryStep | EndsAlone = (
            EveryStep(room(spec.obs_shape, spec.obs_dtype)) if apart else EndsAlone(spec)
        )
        self._obs = room(spec.obs_shape, spec.obs_dtype, steps + self._finals.beyond)
        self._action = room(spec.action_shape, spec.action_dtype)
        self._reward = room((), torch.float32)
        self._terminated, self._truncated = room((), torch.bool), room((), torch.bool)
        forms = {name: x if isinstance(x, Extra) else Extra(x, torch.float32) for name, x in (extra or {}).items()}
        self.extras = {name: room(form.shape, form.dtype) for name, form in forms.items()}
        self._due = {name: x[:, 0].shape for name, x in self.extras.items()}
        self._filled = 0
        self._tensors = {**self._own(), "obs": self._obs}
        # calls of NumPy cost a third of torch's where arrays are small
        self._arrays = {name: x.numpy() for name, x in self._tensors.items()} if here and not apart else {}
        self._dealer = Dealer(spec, self.capacity)
        # Steps that come as rows are kept as these first: one copy of memory a step. The columns get them all at once.
        self._layout = layout(spec)
        self._rows: np.ndarray | None = None  # (S, T, E, width), from the first of them on
        self._spread = 0  # steps that the columns have

    def __len__(self) -> int:
        """Transitions held per seed."""
        return self._filled * self.spec.num_envs

    @property
    def obs(self) -> Tensor:
        self._settle()
        return self._obs[:, : self.steps]

    @property
    def action(self) -> Tensor:
        self._settle()
        return self._action

    @property
    def reward(self) -> Tensor:
        self._settle()
        return self._reward

    @property
    def terminated(self) -> Tensor:
        self._settle()
        return self._terminated

    @property
    def truncated(self) -> Tensor:
        self._settle()
        return self._truncated

    @property
    def full(self) -> bool:
        return self._filled == self.steps

    @property
    def apart(self) -> bool:
        """Whether next observations are kept apart, so that reading it off is operations on tensors alone."""
        return isinstance(self._finals, EveryStep)

    @property
    def capacity(self) -> int:
        """Transitions of each seed that fill it."""
        return self.steps * self.spec.num_envs

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes, of all seeds together, without the observations that episodes ended with."""
        rows = 0 if self._rows is None else self._rows.nbytes
        return rows + self._finals.nbytes + sum(x.nbytes for x in (self._obs, *self._own().values()))

    def _own(self) -> dict[str, Tensor]:
        """The memory of all that has T steps, by name, (S, T, E, ...) each."""
        own = {name: getattr(self, f"_{name}") for name in _PARTS}
        return {**own, **{f"extras.{name}": x for name, x in self.extras.items()}}

    def _columns(self) -> dict[str, Tensor]:
        """All that has T steps, by name, (S, T, E, ...) each."""
        self._settle()
        return self._own()

    def _settle(self) -> None:
        """Bring the columns up to date with the steps that came as rows."""
        first, end = self._spread, self._filled
        if first == end:
            return
        assert self._rows is not None
        self._spread = end
        rows, at, columns = self._rows[:, first:end], self._layout, self._arrays
        lead, shape = rows.shape[:3], self.spec.obs_shape
        columns["action"][:, first:end] = rows[..., : at.reward].reshape(*lead, *self.spec.action_shape)
        columns["reward"][:, first:end] = rows[..., at.reward]
        flags = rows[..., at.flags : at.obs] != 0
        columns["terminated"][:, first:end], columns["truncated"][:, first:end] = flags[..., 0], flags[..., 1]
        columns["obs"][:, first:end] = rows[..., at.obs : at.next_obs].reshape(*lead, *shape)
        columns["obs"][:, end] = rows[:, -1, :, at.next_obs :].reshape(lead[0], lead[2], *shape)
        ended, after = flags.any(-1), torch.from_numpy(rows[..., at.next_obs :].reshape(*lead, *shape))
        assert isinstance(self._finals, EndsAlone)
        for t in np.flatnonzero(ended.any((0, 2))).tolist():
            self._finals.keep(first + t, ended[:, t], after[:, t])

    def add(self, transition: Transition) -> None:
        """Take in one step of every env.

        Raises:
            ValueError: it is full, or a declared extra does not come with the transition, or in another shape.
        """
        t, new = self._filled, transition
        if self.full:
            raise ValueError(
                f"the rollout is full with {self.steps} steps: learn from it and clear() it before the next"
            )
        for name, due in self._due.items():
            if name not in new.extras:
                there = ", ".join(map(repr, new.extras)) or "none"
                raise ValueError(f"transition.extras has no {name!r}, which the rollout was made for; it has {there}")
            if (here := new.extras[name].shape) != due:
                raise ValueError(
                    f"transition.extras[{name!r}] has shape {tuple(here)} where the rollout was made for {tuple(due)}"
                )
        row = new.row if self._arrays and isinstance(new, Packed) else None
        if row is None:
            self._add_apart(t, new)
        else:
            if self._rows is None:
                self._rows = np.empty((row.shape[0], self.steps, *row.shape[1:]), np.float32)
            self._rows[:, t] = row
        for name in self._due:
            self._put(f"extras.{name}", t, new.extras[name])
        self._filled = t + 1
        if row is None:
            self._spread = self._filled

    def _add_apart(self, t: int, new: Transition) -> None:
        """Write step ``t`` to the columns, part by part."""
        self._settle()
        self._put("obs", t, new.obs)
        for name in _PARTS:
            self._put(name, t, getattr(new, name))
        if isinstance(self._finals, EveryStep):
            self._finals.after[:, t] = new.next_obs
            return
        self._put("obs", t + 1, new.next_obs)
        ended: np.ndarray = new.terminated.numpy() | new.truncated.numpy()
        if ended.any():
            self._finals.keep(t, ended, self._obs[:, t + 1])

    def _put(self, name: str, t: int, x: Tensor) -> None:
        if self._arrays:
            self._arrays[name][:, t] = x.numpy()
        else:
            self._tensors[name][:, t] = x

    def cut(self, where: np.ndarray) -> None:
        """The newest step of each env in ``where``, (S, E) bool, counts as truncated; another episode follows it."""
        if not self._filled:
            return
        self._settle()
        t, mask = self._filled - 1, torch.from_numpy(where).to(self.spec.device)
        if isinstance(self._finals, EndsAlone):
            known = (self.terminated[:, t] | self.truncated[:, t]).numpy()
            self._finals.keep(t, where & ~known, self._obs[:, t + 1])
        self.truncated[:, t] |= mask

    def clear(self) -> None:
        """Forget all steps: the next one is the first of another rollout."""
        self._filled = self._spread = 0
        self._finals.clear()

    def next_obs(self) -> Tensor:
        """(S, T, E, *O): what every step truly led to, also at an episode's end. A copy as large as `obs`;
        on a device no copy: do not write to it."""
        self._settle()
        return self._finals.next_obs(self._obs)

    def next_value(self, value_of: Callable[[Tensor], Tensor], value: Tensor, parts: int = 1) -> Tensor:
        """The value of what every step truly led to, 0 where it terminated.

        Within an episode that is the value of the next step's observation. ``value_of`` is called for what follows the
        last step, and for what episodes ended with that were cut.

        Args:
            value_of: of observations (S, E, *O) to their values (S, E); always for E of each seed, some of which may be
                zeros that stand for nothing, so that the numbers of a seed do not depend on how many ends others had.
                On a device it is asked about all steps, N of a seed at a time: (S, N, *O) -> (S, N).
            value: (S, T, E), the values of `obs`.
            parts: in how many it is asked on a device: images take much memory on the way.

        Returns:
            (S, T, E), without gradient.

        Raises:
            ValueError: the rollout is not full.
        """
        if not self.full:
            raise ValueError(f"the rollout has {self._filled} of {self.steps} steps: there is no next value yet")
        self._settle()
        with torch.no_grad():
            return self._finals.next_value(self._obs, self._terminated, self._truncated, value_of, value, parts)

    def minibatches(self, count: int, stream: Stream, obs: Tensor | None = None, **more: Tensor) -> Iterator[Minibatch]:
        """All steps once, in ``count`` parts, as equal as can be; which are together is each seed's own chance.

        Args:
            count: of minibatches, from 1 to T * E. One alone has all steps as they lie, and is not to be written to.
            stream: T * E numbers of it are used, none for one alone.
            obs: (S, T, E, ...), taken for `obs`, as where they are normalised; None: those.
            **more: tensors (S, T, E, ...) that come along as extras, such as advantages.

        Raises:
            ValueError: the rollout is not full, or has fewer steps than parts.
        """
        if not self.full:
            raise ValueError(f"the rollout has {self._filled} of {self.steps} steps: there are no minibatches yet")
        if not 1 <= count <= self.capacity:
            raise ValueError(f"{count} minibatches of a rollout of {self.capacity} steps: choose 1 to {self.capacity}")
        if count == 1:  # there is nothing to be dealt out
            whole = {name: x.flatten(1, 2) for name, x in {**self.extras, **more}.items()}
            seen = self.obs if obs is None else obs
            yield Minibatch(seen.flatten(1, 2), self.action.flatten(1, 2), whole)
            return
        parts = {"action": self.action, "obs": self._obs if obs is None else obs, **self.extras, **more}
        yield from self._dealer.deal(count, stream, {name: x.flatten(1, 2) for name, x in parts.items()})

    def state_dict(self) -> dict[str, Any]:
        """The steps that are there, a tensor for each seed; they share the rollout's memory."""
        self._settle()
        n = self._filled
        obs, ends = self._finals.state_dict(self._obs, self._terminated | self._truncated, n)
        columns = {"obs": obs, **{name: x[:, :n] for name, x in self._own().items()}}
        return {"filled": n, **{name: _apart(x) for name, x in columns.items()}, **ends}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved steps.

        Raises:
            ValueError: they do not fit this rollout's shapes or length.
        """
        n = int(state["filled"])
        if not 0 <= n <= self.steps:
            raise ValueError(f"a saved rollout of {n} steps does not fit this one's {self.steps}")
        seen = torch.empty_like(self._obs[:, :1]).repeat_interleave(n + (n > 0), 1)  # with what followed the newest
        ours = {"obs": seen, **{name: x[:, :n] for name, x in self._own().items()}}
        for name, whole in ours.items():
            saved = state.get(name)
            if saved is None or [x.shape for x in saved] != [x.shape for x in whole]:
                found = "nothing" if saved is None else [tuple(x.shape) for x in saved]
                raise ValueError(f"a saved rollout with {found} of {name} does not fit this one's {list(whole.shape)}")
        for name, whole in ours.items():
            for into, saved in zip(whole, state[name], strict=True):
                into.copy_(saved)
        self._finals.load_state_dict(self._obs, seen, state, n)
        self._filled = self._spread = n


def _apart(x: Tensor) -> list[Tensor]:
    """A tensor for each seed. On the CPU through NumPy, which hands on that part of the memory and not all of it, as
    a view of torch's would when it is saved."""
    return [torch.from_numpy(own.numpy()) for own in x] if x.device.type == "cpu" else list(x)
