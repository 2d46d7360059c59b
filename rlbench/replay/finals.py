"""What a rollout's steps truly led to, kept in one of two ways, by where it lies.

Within an episode it is the observation of the next step. Where an episode ended it is none of the rollout's own: on a
host those are kept one by one; on a device, where nobody waits to be told that an episode has ended, all of them are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..types import Spec

ValueOf = Callable[[Tensor], Tensor]


class Finals(ABC):
    """Of T steps of S x E envs. ``obs`` is the rollout's (S, T, E, *O), or one step longer: see `EndsAlone`."""

    beyond = 0  # steps by which ``obs`` is longer

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes whatever happens."""
        return 0

    @abstractmethod
    def clear(self) -> None:
        """Forget all."""

    @abstractmethod
    def next_obs(self, obs: Tensor) -> Tensor:
        """(S, T, E, *O): what every step led to."""

    @abstractmethod
    def next_value(
        self, obs: Tensor, died: Tensor, cut: Tensor, value_of: ValueOf, value: Tensor, parts: int
    ) -> Tensor:
        """As `Rollout.next_value`; ``died`` and ``cut``, (S, T, E), say how episodes ended."""

    @abstractmethod
    def state_dict(self, obs: Tensor, ended: Tensor, steps: int) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """The observations of ``steps`` steps and of what follows the last, (S, steps + 1, E, *O), and, of each seed,
        where episodes ended (t * E + e) and with what. ``ended`` is (S, T, E)."""

    @abstractmethod
    def load_state_dict(self, obs: Tensor, seen: Tensor, state: Mapping[str, Any], steps: int) -> None:
        """Take over what `state_dict` gave; ``seen`` are those observations, and go to ``obs``."""


class EndsAlone(Finals):
    """On a host: ``obs`` is one step longer, and holds what follows the newest; the ends of episodes are in lists.

    Args:
        spec: S, E and the device.
    """

    beyond = 1

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        # Of each seed, where episodes ended (t * E + e), and the observation that they ended with.
        self._ends: list[list[int]] = [[] for _ in range(spec.num_seeds)]
        self._finals: list[list[Tensor]] = [[] for _ in range(spec.num_seeds)]

    def keep(self, t: int, ended: np.ndarray, after: Tensor) -> None:
        """Keep what step ``t`` led to, ``after`` (S, E, *O), where an episode ended, (S, E)."""
        for s, e in zip(*ended.nonzero(), strict=True):
            self._ends[s].append(t * self.spec.num_envs + int(e))
            self._finals[s].append(after[s, e].clone())

    def clear(self) -> None:
        for ends, finals in zip(self._ends, self._finals, strict=True):
            ends.clear()
            finals.clear()

    def next_obs(self, obs: Tensor) -> Tensor:
        whole = obs[:, 1:].clone()
        for own, ends, finals in zip(whole.flatten(1, 2), self._ends, self._finals, strict=True):
            if ends:
                own[ends] = torch.stack(finals)
        return whole

    def next_value(
        self, obs: Tensor, died: Tensor, cut: Tensor, value_of: ValueOf, value: Tensor, parts: int
    ) -> Tensor:
        spec, envs = self.spec, self.spec.num_envs
        after = torch.cat([value[:, 1:], value_of(obs[:, -1]).unsqueeze(1)], 1).flatten(1)  # (S, T * E)
        last = after.shape[1] - envs  # the final observations of the last step are among those that follow it
        dead = died.flatten(1).numpy()
        wanted = [
            [(i, final) for i, final in zip(ends, finals, strict=True) if i < last and not over[i]]
            for ends, finals, over in zip(self._ends, self._finals, dead, strict=True)
        ]
        for first in range(0, max(map(len, wanted)), envs):
            rows = torch.zeros(spec.num_seeds, envs, *spec.obs_shape, dtype=spec.obs_dtype)
            owns = [own[first : first + envs] for own in wanted]
            for s, part in enumerate(owns):
                for n, (_, final) in enumerate(part):
                    rows[s, n] = final
            found = value_of(rows)  # (S, E)
            for s, part in enumerate(owns):
                after[s, [i for i, _ in part]] = found[s, : len(part)]
        return after.view_as(value).masked_fill_(died, 0.0)

    def state_dict(self, obs: Tensor, ended: Tensor, steps: int) -> tuple[Tensor, dict[str, list[Tensor]]]:
        none = torch.zeros(0, *self.spec.obs_shape, dtype=self.spec.obs_dtype)
        ends = [torch.tensor(own, dtype=torch.int64) for own in self._ends]
        finals = [torch.stack(own) if own else none for own in self._finals]
        return obs[:, : steps + 1 if steps else 0], {"ends": ends, "finals": finals}

    def load_state_dict(self, obs: Tensor, seen: Tensor, state: Mapping[str, Any], steps: int) -> None:
        obs[:, : seen.shape[1]] = seen
        self._ends = [ends.tolist() for ends in state["ends"]]
        self._finals = [list(finals.to(obs.device, copy=True)) for finals in state["finals"]]


class EveryStep(Finals):
    """On a device: ``after``, (S, T, E, *O), is what every step led to; reading it is operations on tensors alone.

    Args:
        after: memory for it.
    """

    def __init__(self, after: Tensor) -> None:
        self.after = after

    @property
    def nbytes(self) -> int:
        return self.after.nbytes

    def clear(self) -> None:
        """What is there is written over."""

    def next_obs(self, obs: Tensor) -> Tensor:
        return self.after

    def next_value(
        self, obs: Tensor, died: Tensor, cut: Tensor, value_of: ValueOf, value: Tensor, parts: int
    ) -> Tensor:
        """Of all steps, though few are taken. Within an episode it is what ``value`` says, as on a CPU."""
        every = self.after.flatten(1, 2).tensor_split(parts, 1)
        found = torch.cat([value_of(own) for own in every], 1).view_as(value)
        found[:, :-1] = torch.where((died | cut)[:, :-1], found[:, :-1], value[:, 1:])
        return found.masked_fill_(died, 0.0)

    def state_dict(self, obs: Tensor, ended: Tensor, steps: int) -> tuple[Tensor, dict[str, list[Tensor]]]:
        ends = [own.nonzero().squeeze(-1) for own in ended[:, :steps].flatten(1).cpu()]
        after = self.after[:, :steps].flatten(1, 2)
        finals = [own[at.to(own.device)] for own, at in zip(after, ends, strict=True)]
        whole = torch.cat((obs[:, :steps], self.after[:, max(0, steps - 1) : steps]), 1)
        return whole, {"ends": ends, "finals": finals}

    def load_state_dict(self, obs: Tensor, seen: Tensor, state: Mapping[str, Any], steps: int) -> None:
        obs[:, :steps], self.after[:, :steps] = seen[:, :steps], seen[:, 1:]
        for own, ends, finals in zip(self.after[:, :steps], state["ends"], state["finals"], strict=True):
            own.flatten(0, 1)[ends.to(obs.device)] = finals.to(obs.device)
