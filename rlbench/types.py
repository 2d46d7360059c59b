"""What passes between the parts: named tuples of tensors, without behaviour.

Axes: S seeds, E envs per seed, B batch, A actions, *O observation shape. The S axis is always there.

What an environment says besides its observations, and what an agent says besides its actions, are *extras*: by name,
and apart from the tuple's own fields, so that an agent which asks for none sees none.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

Extras = Mapping[str, Tensor]  # name -> (S, E, ...), or (S, B, ...) of a batch
NO_EXTRAS: Extras = MappingProxyType({})


class Extra(NamedTuple):
    """What one thing looks like that an environment says of a copy besides its observation."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class Spec(NamedTuple):
    """What an agent must know of the world before it is built.

    Observations come in one of three forms, told apart by ``obs_dtype``: ``float32`` vectors of shape ``obs_shape``,
    ``uint8`` images of shape ``obs_shape`` in 0..255, and ``int64`` indices in ``[0, num_obs)`` with an empty shape.
    Actions do too. Where ``num_actions`` is given they are indices in ``[0, num_actions)``. Where ``action_sizes`` is,
    an action is several indices at once, number i of them in ``[0, action_sizes[i])``: ``int64`` of ``action_shape``,
    which is ``(len(action_sizes),)``; so come MultiDiscrete, and MultiBinary with sizes of 2. Where neither is given,
    they are ``float32`` of ``action_shape`` between ``action_low`` and ``action_high``.
    """

    obs_shape: tuple[int, ...]
    obs_dtype: torch.dtype
    num_obs: int | None
    num_actions: int | None
    action_shape: tuple[int, ...] = ()
    action_low: Tensor | None = None
    action_high: Tensor | None = None
    num_seeds: int = 1
    num_envs: int = 1
    device: torch.device = torch.device("cpu")
    total_steps: int = 0  # env steps per seed that the run is to take; 0: not known
    whole_actions: bool = False  # of a Box of whole numbers: what lies between two of them is rounded to the nearer
    extras: Mapping[str, Extra] = MappingProxyType({})  # of what `Agent.wants`: that which this environment says
    action_sizes: tuple[int, ...] | None = None
    time_limit: int | None = None  # steps after which an episode is cut at the latest; None: not known
    precision: str = "float32"  # in which networks of images multiply: that, or bf16
    replay: str = "auto"  # where `Replay` lies: host, device, or auto, on a card with room for it; the same batches

    @property
    def action_dtype(self) -> torch.dtype:
        """int64 of indices, of one or several at once; float32 of numbers in between."""
        return torch.float32 if self.num_actions is None and self.action_sizes is None else torch.int64


class _Transition(NamedTuple):
    obs: Tensor  # (S, E, *O)
    action: Tensor  # (S, E) int64, or (S, E, *action_shape): see `Spec`
    reward: Tensor  # (S, E) float32
    next_obs: Tensor  # (S, E, *O)
    terminated: Tensor  # (S, E) bool: the task itself ended; nothing follows
    truncated: Tensor  # (S, E) bool: a time limit cut the episode; its value goes on


class Transition(_Transition):
    """What happened in one step of every env; each leaf starts with (S, E).

    ``next_obs`` is the true next observation, also at an episode's end, never the first one of the next episode.

    Attributes:
        extras: what the environment said with ``obs`` of that which the agent ``wants``, and what ``act`` returned
            beside the action. Not one of the six fields: unpacking and `_make`, which is the faster way where there
            are none, leave it out.
        next_extras: what the environment said with ``next_obs``.
    """

    extras: Extras = NO_EXTRAS
    next_extras: Extras = NO_EXTRAS

    def __new__(
        cls,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        terminated: Tensor,
        truncated: Tensor,
        *,
        extras: Extras = NO_EXTRAS,
        next_extras: Extras = NO_EXTRAS,
    ) -> "Transition":
        self = super().__new__(cls, obs, action, reward, next_obs, terminated, truncated)
        self.extras, self.next_extras = extras, next_extras
        return self

    def _replace(self, **changes: Any) -> "Transition":
        """This one with some of its fields, or extras, exchanged; of no subclass, which would hold the old ones too.

        Raises:
            ValueError: it has no such field.
        """
        extras = {name: changes.pop(name, getattr(self, name)) for name in ("extras", "next_extras")}
        return Transition(*_Transition(*self)._replace(**changes), **extras)


class _Batch(NamedTuple):
    obs: Tensor  # (S, B, *O)
    action: Tensor  # (S, B) int64, or (S, B, *action_shape): see `Spec`
    reward: Tensor  # (S, B) float32: the sum over k steps of gamma**i * r
    discount: Tensor  # (S, B) float32
    next_obs: Tensor  # (S, B, *O): the observation k steps later


class Batch(_Batch):
    """What is learned from; each leaf starts with (S, B). ``discount`` is gamma**k * (1 - terminated).

    Attributes:
        extras: what the environment said with ``obs``. Not one of the five fields, as with `Transition`.
        next_extras: what it said with ``next_obs``.
    """

    extras: Extras = NO_EXTRAS
    next_extras: Extras = NO_EXTRAS

    def __new__(
        cls,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        *,
        extras: Extras = NO_EXTRAS,
        next_extras: Extras = NO_EXTRAS,
    ) -> "Batch":
        self = super().__new__(cls, obs, action, reward, discount, next_obs)
        self.extras, self.next_extras = extras, next_extras
        return self

    def _replace(self, **changes: Any) -> "Batch":
        """This one with some of its fields, or extras, exchanged; of no subclass, which would hold the old ones too.

        Raises:
            ValueError: it has no such field.
        """
        extras = {name: changes.pop(name, getattr(self, name)) for name in ("extras", "next_extras")}
        return Batch(*_Batch(*self)._replace(**changes), **extras)
