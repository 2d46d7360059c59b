"""Statistics of what a layer gives: spread, units that never fire or never move, and how many directions there are."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .capture import BOUNDED, RECTIFIED, Heard

DORMANT = 0.025  # tau: a unit is dormant whose mean size is this share of its layer's, or less
AT_BOUND = 0.99  # of a tanh, and 0.995 or 0.005 of a sigmoid: values that are as good as the bound
ALWAYS = 0.95  # share of the observations in which a unit that is saturated is at a bound
DELTA = 0.01  # of the singular values, by their sum, the share that the effective rank leaves out
BINS = 40


class LayerStats(NamedTuple):
    """What is known of a layer, over the observations that the agent was asked about.

    Attributes:
        network: whose it is.
        place: counted from 1 in its network; 0 of what that gives in the end.
        kind: "ReLU", "tanh", "Linear", ...
        units: how many; of a convolution its channels.
        mean: of all values, as ``std``, ``low`` and ``high`` are.
        dead: share of the units that were never above zero; None where that is no failure, as of a tanh.
        saturated: share of the units that are at a bound in nearly all observations; None where there is none.
        dormant: share of the units whose mean size is next to nothing beside the others'; None of an output.
        edges: of the histogram, one more than counts.
        counts: values in each bin.
    """

    network: str
    place: int
    kind: str
    units: int
    mean: float
    std: float
    low: float
    high: float
    dead: float | None
    saturated: float | None
    dormant: float | None
    edges: list[float]
    counts: list[int]

    @property
    def title(self) -> str:
        """What it is called: "layer 2 of q_net"."""
        return f"layer {self.place} of {self.network}" if self.place else f"the output of {self.network}"


class Rank(NamedTuple):
    """How many directions the features of a network's last hidden layer take.

    Attributes:
        network: whose they are.
        effective: the effective rank.
        most: what it could be: units, or observations where these are fewer.
        spectrum: singular values, the largest as 1, at most 256 of them.
    """

    network: str
    effective: int
    most: int
    spectrum: list[float]


def statistics(heard: Sequence[Heard]) -> list[LayerStats]:
    """Of every network its activations, in their order, and what it gives in the end.

    What an activation is fed with says nothing that it does not say itself; where a network has none, all layers are
    there.
    """
    found: list[LayerStats] = []
    for network in dict.fromkeys(one.network for one in heard):
        own = [one for one in heard if one.network == network]
        shown = [one for one in own if one.failing] or own[:-1]
        found += [_layer(one, place) for place, one in enumerate(shown, 1)]
        if own and own[-1] is not (shown[-1] if shown else None):
            found.append(_layer(own[-1], 0))
    return found


def _layer(heard: Heard, place: int) -> LayerStats:
    x = heard.output.double().flatten(2) if heard.output.dim() > 2 else heard.output.double().unsqueeze(2)
    finite = x[torch.isfinite(x)]  # (N, units, positions) before
    finite = finite if len(finite) else torch.zeros(1, dtype=torch.float64)
    counts, edges = torch.histogram(finite, BINS) if finite.min() < finite.max() else _one_bin(finite)
    return LayerStats(
        network=heard.network,
        place=place,
        kind=heard.kind,
        units=x.shape[1],
        mean=float(finite.mean()),
        std=float(finite.std(correction=0)),
        low=float(finite.min()),
        high=float(finite.max()),
        dead=_share((x <= 0).all(2).all(0)) if heard.failing == RECTIFIED else None,
        saturated=_share(at_bound(x, heard.kind)) if heard.failing == BOUNDED else None,
        dormant=_share(dormant(x)) if place else None,
        edges=edges.tolist(),
        counts=[int(n) for n in counts],
    )


def dormant(x: Tensor) -> Tensor:
    """Which units are dormant, (units,) bool, of activations (N, units, positions).

    A unit's score is its mean size over the observations, by the mean of all units of the layer: it is dormant where
    that is at most `DORMANT` (Sokar et al. 2023, arXiv:2302.12902, definition 3.1). Where all give zero, all are.
    """
    size = x.abs().mean((0, 2))
    return size <= DORMANT * size.mean()


def at_bound(x: Tensor, kind: str) -> Tensor:
    """Which units of a tanh or sigmoid, (units,) bool, are at a bound in nearly all of (N, units, positions)."""
    centred = 2 * x - 1 if "sigmoid" in kind.lower() else x
    return (centred.abs() >= AT_BOUND).double().mean((0, 2)) >= ALWAYS


def rank(network: str, features: Tensor) -> Rank:
    """The effective rank of features (N, d): how many singular values make up all but `DELTA` of their sum.

    srank_delta = min k: sum_{i <= k} sigma_i / sum_i sigma_i >= 1 - delta   (Kumar et al. 2021, arXiv:2010.14498,
    section 3); 0 where all features are zero.
    """
    x = features.double()
    sigma = torch.linalg.svdvals(torch.where(torch.isfinite(x), x, 0.0))
    total = float(sigma.sum())
    if not total:
        return Rank(network, 0, min(features.shape), [])
    share = sigma.cumsum(0) / total
    effective = int((share < 1 - DELTA).sum()) + 1
    return Rank(network, effective, min(features.shape), (sigma[:256] / sigma[0]).tolist())


def _share(units: Tensor) -> float:
    return float(units.double().mean())


def _one_bin(x: Tensor) -> tuple[Tensor, Tensor]:
    """A histogram of equal numbers."""
    at = float(x[0])
    return torch.tensor([float(len(x))]), torch.tensor([at - 0.5, at + 0.5])
