"""The rollout buffer: T steps in a row of every env, learned from as a whole and then forgotten.

What on-policy agents collect, and what comes back in the order in which it happened, (S, T, E). It is an agent's
``replay``: saved in replay.pth beside the checkpoints, so that a run resumes in the middle of a rollout, and not copied
into the best weights.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..rng import Stream
from ..types import Extra, Spec, Transition

_GATHERED = 2**22  # bytes of minibatches that are picked out at once, unless one is larger


class Minibatch(NamedTuple):
    """Some steps of a rollout; each leaf starts with (S, B)."""

    obs: Tensor  # (S, B, *O)
    action: Tensor  # (S, B) int64, or (S, B, *action_shape): see `rlbench.Spec`
    extras: dict[str, Tensor]  # (S, B, ...): what was declared, and what was given to `Rollout.minibatches`


class Rollout:
    """The last T steps of each env, in order.

    Next observations take no memory of their own: they are those of the next step, and only where an episode ended is
    the true one kept beside it. What is read off it is meant to be read when it is `full`.

    Args:
        spec: shapes, S, E and device.
        steps: T.
        extra: what `Agent.act` returns beside its actions, or the environment says, that is to be kept: a shape each,
            of float32, or an `rlbench.types.Extra`. ``{"log_prob": (), "value": (), **spec.extras}``.

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

    def __init__(self, spec: Spec, steps: int, extra: Mapping[str, tuple[int, ...] | Extra] | None = None) -> None:
        if steps < 1:
            raise ValueError(f"a rollout has 1 step or more, not {steps}")
        self.spec, self.steps = spec, steps

        def room(shape: tuple[int, ...], dtype: torch.dtype, length: int = steps) -> Tensor:
            return torch.zeros(spec.num_seeds, length, spec.num_envs, *shape, dtype=dtype, device=spec.device)

        self._obs = room(spec.obs_shape, spec.obs_dtype, steps + 1)  # the last is what follows the newest step
        self.obs = self._obs[:, :steps]
        self.action = room(spec.action_shape, spec.action_dtype)
        self.reward = room((), torch.float32)
        self.terminated, self.truncated = room((), torch.bool), room((), torch.bool)
        forms = {name: x if isinstance(x, Extra) else Extra(x, torch.float32) for name, x in (extra or {}).items()}
        self.extras = {name: room(form.shape, form.dtype) for name, form in forms.items()}
        self._filled = 0
        here = spec.device.type == "cpu"  # calls of NumPy cost a third of torch's where arrays are small
        self._tensors = {**self._columns(), "obs": self._obs}
        self._arrays = {name: x.numpy() for name, x in self._tensors.items()} if here else {}
        self._deals: dict[int, tuple[list[int], Tensor, Tensor]] = {}
        # Of each seed, where episodes ended (t * E + e), and the observation that they ended with.
        self._ends: list[list[int]] = [[] for _ in range(spec.num_seeds)]
        self._finals: list[list[Tensor]] = [[] for _ in range(spec.num_seeds)]

    def __len__(self) -> int:
        """Transitions held per seed."""
        return self._filled * self.spec.num_envs

    @property
    def full(self) -> bool:
        return self._filled == self.steps

    @property
    def capacity(self) -> int:
        """Transitions of each seed that fill it."""
        return self.steps * self.spec.num_envs

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes, of all seeds together, without the observations that episodes ended with."""
        return sum(x.nbytes for x in (self._obs, *self._columns().values()))

    def _columns(self) -> dict[str, Tensor]:
        """All that has T steps, by name, (S, T, E, ...) each."""
        own = {name: getattr(self, name) for name in ("action", "reward", "terminated", "truncated")}
        return {**own, **{f"extras.{name}": x for name, x in self.extras.items()}}

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
        if missing := [name for name in self.extras if name not in new.extras]:
            there = ", ".join(map(repr, new.extras)) or "none"
            raise ValueError(f"transition.extras has no {missing[0]!r}, which the rollout was made for; it has {there}")
        for name, column in self.extras.items():
            if new.extras[name].shape != column[:, t].shape:
                here, due = tuple(new.extras[name].shape), tuple(column[:, t].shape)
                raise ValueError(f"transition.extras[{name!r}] has shape {here} where the rollout was made for {due}")
        said = [(f"extras.{name}", t, new.extras[name]) for name in self.extras]
        flags = [("terminated", t, new.terminated), ("truncated", t, new.truncated)]
        seen = [("obs", t, new.obs), ("obs", t + 1, new.next_obs)]
        for name, at, x in (*seen, ("action", t, new.action), ("reward", t, new.reward), *flags, *said):
            if self._arrays:
                self._arrays[name][:, at] = x.numpy()
            else:
                self._tensors[name][:, at] = x
        self._filled = t + 1
        host = getattr(new, "host", None) or new  # where the step is on a device, its flags may be here already
        ended: np.ndarray = host.terminated.cpu().numpy() | host.truncated.cpu().numpy()
        if ended.any():
            self._keep_finals(ended)

    def cut(self, where: np.ndarray) -> None:
        """The newest step of each env in ``where``, (S, E) bool, counts as truncated; another episode follows it."""
        if not self._filled:
            return
        t, mask = self._filled - 1, torch.from_numpy(where).to(self.spec.device)
        known = (self.terminated[:, t] | self.truncated[:, t]).cpu().numpy()
        self.truncated[:, t] |= mask
        self._keep_finals(where & ~known)

    def _keep_finals(self, ended: np.ndarray) -> None:
        """Keep what the newest step led to where an episode ended, (S, E), before the next step is written over it."""
        t = self._filled - 1
        for s, e in zip(*ended.nonzero(), strict=True):
            self._ends[s].append(t * self.spec.num_envs + int(e))
            self._finals[s].append(self._obs[s, t + 1, e].clone())

    def clear(self) -> None:
        """Forget all steps: the next one is the first of another rollout."""
        self._filled = 0
        for ends, finals in zip(self._ends, self._finals, strict=True):
            ends.clear()
            finals.clear()

    def next_obs(self) -> Tensor:
        """(S, T, E, *O): what every step truly led to, also at an episode's end. A copy as large as `obs`."""
        whole = self._obs[:, 1:].clone()
        for own, ends, finals in zip(whole.flatten(1, 2), self._ends, self._finals, strict=True):
            if ends:
                own[ends] = torch.stack(finals)
        return whole

    def next_value(self, value_of: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
        """The value of what every step truly led to, 0 where it terminated.

        Within an episode that is the value of the next step's observation. ``value_of`` is called for what follows the
        last step, and for what episodes ended with that were cut.

        Args:
            value_of: of observations (S, E, *O) to their values (S, E); always for E of each seed, some of which may be
                zeros that stand for nothing, so that the numbers of a seed do not depend on how many ends others had.
            value: (S, T, E), the values of `obs`.

        Returns:
            (S, T, E), without gradient.

        Raises:
            ValueError: the rollout is not full.
        """
        if not self.full:
            raise ValueError(f"the rollout has {self._filled} of {self.steps} steps: there is no next value yet")
        spec, envs = self.spec, self.spec.num_envs
        with torch.no_grad():
            after = torch.cat([value[:, 1:], value_of(self._obs[:, -1]).unsqueeze(1)], 1).flatten(1)  # (S, T * E)
            last = self.capacity - envs  # the final observations of the last step are among those that follow it
            died = self.terminated.flatten(1).cpu().numpy()
            wanted = [
                [(i, final) for i, final in zip(ends, finals, strict=True) if i < last and not dead[i]]
                for ends, finals, dead in zip(self._ends, self._finals, died, strict=True)
            ]
            for first in range(0, max(map(len, wanted)), envs):
                rows = torch.zeros(spec.num_seeds, envs, *spec.obs_shape, dtype=spec.obs_dtype, device=spec.device)
                parts = [own[first : first + envs] for own in wanted]
                for s, part in enumerate(parts):
                    for n, (_, final) in enumerate(part):
                        rows[s, n] = final
                found = value_of(rows)  # (S, E)
                for s, part in enumerate(parts):
                    after[s, [i for i, _ in part]] = found[s, : len(part)]
        return after.view_as(value).masked_fill_(self.terminated, 0.0)

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
        rows = {name: x.flatten(0, 2) for name, x in parts.items()}  # (S * T * E, ...)
        sizes, place, offsets = self._dealt(count)
        order = stream.permutation(self.capacity).add_(offsets).view(-1).take(place)
        width = sum(x.nbytes for x in rows.values()) // len(order)
        together = max(1, _GATHERED // (sizes[0] * width))  # minibatches that are picked out at once: an operation on
        for first in range(0, count, together):  # many rows costs hardly more than one on few
            own = sizes[first : first + together]
            at, order = order[: sum(own)], order[sum(own) :]
            picked = {name: x.index_select(0, at).split(own) for name, x in rows.items() if name != "obs"}
            if obs is None:  # in ours one step more lies between two seeds
                at = at + torch.div(at, self.capacity, rounding_mode="floor") * self.spec.num_envs
            picked["obs"] = rows["obs"].index_select(0, at).split(own)
            for i in range(len(own)):
                part = {name: x[i].view(self.spec.num_seeds, -1, *x[i].shape[1:]) for name, x in picked.items()}
                yield Minibatch(part.pop("obs"), part.pop("action"), part)

    def _dealt(self, count: int) -> tuple[list[int], Tensor, Tensor]:
        """How ``count`` minibatches come out of steps that lie seed by seed.

        Returns:
            How many steps each has, of all seeds together; where those of the first lie, of all seeds, then those of
            the second, and so on, (S * T * E,); and where each seed begins, (S, 1).
        """
        if count not in self._deals:
            seeds, device = self.spec.num_seeds, self.spec.device
            parts = torch.arange(seeds * self.capacity, device=device).view(seeds, -1).tensor_split(count, 1)
            offsets = torch.arange(seeds, device=device).unsqueeze(1) * self.capacity
            place = torch.cat([part.flatten() for part in parts])
            self._deals[count] = [part.numel() for part in parts], place, offsets
        return self._deals[count]

    def state_dict(self) -> dict[str, Any]:
        """The steps that are there, a tensor for each seed; they share the rollout's memory."""
        shape, n = self.spec.obs_shape, self._filled
        none = torch.zeros(0, *shape, dtype=self.spec.obs_dtype, device=self.spec.device)
        return {
            "filled": n,
            "obs": _apart(self._obs[:, : n + 1 if n else 0]),
            **{name: _apart(x[:, :n]) for name, x in self._columns().items()},
            "ends": [torch.tensor(own, dtype=torch.int64) for own in self._ends],
            "finals": [torch.stack(own) if own else none for own in self._finals],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved steps.

        Raises:
            ValueError: they do not fit this rollout's shapes or length.
        """
        n = int(state["filled"])
        if not 0 <= n <= self.steps:
            raise ValueError(f"a saved rollout of {n} steps does not fit this one's {self.steps}")
        ours = {"obs": self._obs[:, : n + 1 if n else 0], **{name: x[:, :n] for name, x in self._columns().items()}}
        for name, whole in ours.items():
            saved = state.get(name)
            if saved is None or [x.shape for x in saved] != [x.shape for x in whole]:
                found = "nothing" if saved is None else [tuple(x.shape) for x in saved]
                raise ValueError(f"a saved rollout with {found} of {name} does not fit this one's {list(whole.shape)}")
        for name, whole in ours.items():
            for into, saved in zip(whole, state[name], strict=True):
                into.copy_(saved)
        self._filled = n
        self._ends = [ends.tolist() for ends in state["ends"]]
        self._finals = [list(finals.to(self.spec.device, copy=True)) for finals in state["finals"]]


def _apart(x: Tensor) -> list[Tensor]:
    """A tensor for each seed. On the CPU through NumPy, which hands on that part of the memory and not all of it, as
    a view of torch's would when it is saved."""
    return [torch.from_numpy(own.numpy()) for own in x] if x.device.type == "cpu" else list(x)
