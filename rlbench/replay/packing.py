"""A transition as one row of float32 per copy: how `EnvBatch` hands it over and `Replay` keeps it, so that storing a
vector step is one copy of memory and not six.

    action | reward | terminated | truncated | obs | next_obs
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cuda.feed import memory
from ..types import Spec, Transition

_BYTES = 2**16  # allocated at once, unless one row is larger


class Layout(NamedTuple):
    """Where the parts of a row begin; images are not part of it."""

    reward: int  # and before it the action
    flags: int  # terminated, truncated
    obs: int
    next_obs: int
    width: int


def layout(spec: Spec) -> Layout:
    """The row of ``spec``'s transitions."""
    action, obs = math.prod(spec.action_shape), 0 if spec.obs_dtype == torch.uint8 else math.prod(spec.obs_shape)
    return Layout(action, action + 1, action + 3, action + 3 + obs, action + 3 + 2 * obs)


class Packed(Transition):
    """A transition that also lies in the host's memory as ``row``, (S, E, width), or on a device as ``there``; without
    either it is like any other."""

    row: np.ndarray | None = None
    there: Tensor | None = None  # the device that its leaves lie on


class Twofold(Transition):
    """A transition on a device that also lies in the host's memory, as ``host``; without, it is like any other."""

    host: Transition | None = None


class Page(NamedTuple):
    """A row for every copy, zero but for what is written to it, and views into it."""

    row: np.ndarray  # (S, E, width)
    whole: Tensor  # the same
    action: np.ndarray  # (n, *action_shape)
    rewards: np.ndarray  # (n,)
    flags: np.ndarray  # (n, 2)
    obs: np.ndarray  # (n, *O)
    after: np.ndarray  # (n, *O)
    reward: Tensor  # (S, E)
    next_obs: Tensor  # (S, E, *O)


class Rows:
    """A supply of pages, none of which is given out twice; made many at a time, since one by one they cost more.

    Args:
        spec: S, E, the device, and what stands in a row. Observations are vectors.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec, self.layout = spec, layout(spec)
        self._pages: Iterator[Page] = iter(())

    def take(self) -> Page:
        for page in self._pages:
            return page
        spec, at = self.spec, self.layout
        lead = (spec.num_seeds, spec.num_envs)
        n = lead[0] * lead[1]
        count = max(1, _BYTES // (4 * n * at.width))
        whole = memory((count, *lead, at.width), torch.float32, spec.device).zero_()
        rows = whole.numpy().reshape(count, n, at.width)
        views: tuple[Any, ...] = (
            rows.reshape(count, *lead, at.width),
            whole.unbind(),
            rows[..., : at.reward].reshape(count, n, *spec.action_shape),
            rows[..., at.reward],
            rows[..., at.flags : at.obs],
            rows[..., at.obs : at.next_obs].reshape(count, n, *spec.obs_shape),
            rows[..., at.next_obs :].reshape(count, n, *spec.obs_shape),
            whole[..., at.reward].unbind(),
            whole[..., at.next_obs :].view(count, *lead, *spec.obs_shape).unbind(),
        )
        self._pages = map(Page, *views)
        return self.take()
