"""Orthogonal weights at first, for stacked layers of any network."""

import math

import torch
from torch import Tensor, nn

from ..rng import Stream
from .layers import Conv2d, Linear


def orthogonal_(module: nn.Module, init: Stream, *, gain: float = math.sqrt(2), head_gain: float = 1.0) -> None:
    """Make the weights of all linear layers and convolutions orthogonal, and their biases zero, in place.

    Saxe et al. 2014, arXiv:1312.6120; with these gains usual for policy gradients (Engstrom et al. 2020,
    arXiv:2005.12729), with 0.01 for the head of a policy.

    Args:
        module: with `Linear` and `Conv2d` anywhere in it.
        init: random numbers for the weights.
        gain: what the weights are multiplied by; the root of 2 keeps the size of what goes through a ReLU.
        head_gain: the same, of the last such layer.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, (Linear, Conv2d))]
    with torch.no_grad():
        for layer in layers:
            weight = layer.matrix if isinstance(layer, Linear) else layer.weight  # (S, n_in, n_out)
            scale = head_gain if layer is layers[-1] else gain
            noise = init.normal(*weight.shape[1:]).double().cpu()
            for own, numbers in zip(weight, noise, strict=True):  # one by one: a batch of them may take another way
                own.copy_(_orthogonal(numbers) * scale)
            layer.bias.zero_()


def _orthogonal(x: Tensor) -> Tensor:
    """From normal numbers (n, m) a matrix with orthonormal rows or columns, whichever are fewer; each as likely."""
    if x.shape[0] < x.shape[1]:
        return _orthogonal(x.mT).mT
    q, r = torch.linalg.qr(x)
    return q * r.diagonal().sign()
