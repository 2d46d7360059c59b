"""Minibatches: the steps of a rollout dealt out at random, each seed's by its own numbers."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..rng import Stream
from ..types import Spec

_GATHERED = 2**22  # bytes of minibatches that are picked out at once, unless one is larger


class Minibatch(NamedTuple):
    """Some steps of a rollout; each leaf starts with (S, B)."""

    obs: Tensor  # (S, B, *O)
    action: Tensor  # (S, B) int64, or (S, B, *action_shape): see `rlbench.Spec`
    extras: dict[str, Tensor]  # (S, B, ...): what was declared, and what was given to `Rollout.minibatches`


class Dealer:
    """Deals out steps of S seeds, over and over.

    Args:
        spec: S and the device.
        steps: of each seed, N.
    """

    def __init__(self, spec: Spec, steps: int) -> None:
        self.spec, self.steps = spec, steps
        self._deals: dict[int, tuple[list[int], Tensor, Tensor]] = {}

    def deal(self, count: int, stream: Stream, parts: Mapping[str, Tensor]) -> Iterator[Minibatch]:
        """All steps once, in ``count`` minibatches.

        Args:
            count: from 1 to N.
            stream: N numbers of it are used.
            parts: "obs", "action" and extras, (S, N, ...) each, or (S, N + n, ...) of which the last n are left out.
        """
        rows = {name: x.flatten(0, 1) for name, x in parts.items()}
        more = {name: x.shape[1] - self.steps for name, x in parts.items()}  # rows between those of two seeds
        sizes, place, offsets = self._dealt(count)
        order = stream.permutation(self.steps).add_(offsets).view(-1).take(place)
        width = sum(x.nbytes for x in rows.values()) // len(order)
        together = max(1, _GATHERED // (sizes[0] * width))  # minibatches that are picked out at once: an operation on
        for first in range(0, count, together):  # many rows costs hardly more than one on few
            own = sizes[first : first + together]
            at, order = order[: sum(own)], order[sum(own) :]
            seed = torch.div(at, self.steps, rounding_mode="floor") if any(more.values()) else at
            picked = {
                name: x.index_select(0, at + seed * more[name] if more[name] else at).split(own)
                for name, x in rows.items()
            }
            for i in range(len(own)):
                part = {name: x[i].view(self.spec.num_seeds, -1, *x[i].shape[1:]) for name, x in picked.items()}
                yield Minibatch(part.pop("obs"), part.pop("action"), part)

    def _dealt(self, count: int) -> tuple[list[int], Tensor, Tensor]:
        """How ``count`` minibatches come out of steps that lie seed by seed.

        Returns:
            How many steps each has, of all seeds together; where those of the first lie, of all seeds, then those of
            the second, and so on, (S * N,); and where each seed begins, (S, 1).
        """
        if count not in self._deals:
            seeds, device = self.spec.num_seeds, self.spec.device
            parts = torch.arange(seeds * self.steps, device=device).view(seeds, -1).tensor_split(count, 1)
            offsets = torch.arange(seeds, device=device).unsqueeze(1) * self.steps
            place = torch.cat([part.flatten() for part in parts])
            self._deals[count] = [part.numel() for part in parts], place, offsets
        return self._deals[count]
