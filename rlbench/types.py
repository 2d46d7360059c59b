"""What passes between the parts: named tuples of tensors, without behaviour.

Axes: S seeds, E envs per seed, B batch, A actions, *O observation shape. The S axis is always there.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Spec(NamedTuple):
    """What an agent must know of the world before it is built.

    Observations come in one of three forms, told apart by ``obs_dtype``: ``float32`` vectors of shape ``obs_shape``,
    ``uint8`` images of shape ``obs_shape`` in 0..255, and ``int64`` indices in ``[0, num_obs)`` with an empty shape.
    Actions are indices in ``[0, num_actions)``, or, where ``num_actions`` is None, ``float32`` of ``action_shape``
    between ``action_low`` and ``action_high``.
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


class Transition(NamedTuple):
    """What happened in one step of every env; each leaf starts with (S, E).

    ``next_obs`` is the true next observation, also at an episode's end, never the first one of the next episode.
    """

    obs: Tensor  # (S, E, *O)
    action: Tensor  # (S, E) int64, or (S, E, *action_shape) float32
    reward: Tensor  # (S, E) float32
    next_obs: Tensor  # (S, E, *O)
    terminated: Tensor  # (S, E) bool: the task itself ended; nothing follows
    truncated: Tensor  # (S, E) bool: a time limit cut the episode; its value goes on


class Batch(NamedTuple):
    """What is learned from; each leaf starts with (S, B). ``discount`` is gamma**k * (1 - terminated)."""

    obs: Tensor  # (S, B, *O)
    action: Tensor  # (S, B) int64, or (S, B, *action_shape) float32
    reward: Tensor  # (S, B) float32: the sum over k steps of gamma**i * r
    discount: Tensor  # (S, B) float32
    next_obs: Tensor  # (S, B, *O): the observation k steps later
