"""Networks of stacked layers: a list of layers as one module, laid out flat, and the usual ones for a space."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..rng import Stream
from ..types import Spec
from .flat import Flat as Flat
from .layers import Conv2d, Flatten, Layer, LayerNorm, Linear, OneHot, Pixels, ReLU, SiLU, Tanh
from .orthogonal import orthogonal_

Activation = Literal["relu", "tanh", "silu"]
ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "tanh": Tanh, "silu": SiLU}


class Network(nn.Module):
    """Layers one after the other. Called like any module, with autograd; `vjp` differentiates it without."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._chain = list(layers)
        counts = [len(list(layer.parameters())) for layer in layers]
        self._first = next(i for i, n in enumerate(counts) if n)  # below it there is nothing to differentiate
        ends = list(itertools.accumulate(counts))
        self._own = [slice(end - n, end) for n, end in zip(counts, ends, strict=True)]  # of all parameters

    def forward(self, x: Tensor) -> Tensor:
        for layer in self._chain:
            x = layer.forward(x)
        return x

    @property
    def by_hand(self) -> bool:
        """Whether `vjp` goes without autograd all the way: it is the same operations on tensors then, every time."""
        return all(type(layer).pull is not Layer.pull for layer in self._chain[self._first :])

    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor, Sequence[Tensor]], None]]:
        """The output for ``x``, and the function that turns the gradient at the output into those of the parameters.

        It writes them into the tensors it is given, one per parameter in their order: `Flat.grads`. Call both under
        `torch.no_grad`, or of parameters that need no gradient, or autograd keeps its books as well.
        """
        for layer in self._chain[: self._first]:
            x = layer.forward(x)
        way = []
        for layer, own in zip(self._chain[self._first :], self._own[self._first :], strict=True):
            x, kept = layer.keep(x)
            way.append((layer, own, kept))

        def pull_all(grad: Tensor, into: Sequence[Tensor]) -> None:
            below: Tensor | None = grad
            for i in range(len(way) - 1, -1, -1):
                layer, own, kept = way[i]
                assert below is not None
                below = layer.pull(kept, below, into[own], i > 0)

        return x, pull_all


def mlp(
    n_in: int,
    hidden: Sequence[int],
    n_out: int,
    init: Stream,
    *,
    layer_norm: bool = False,
    activation: Activation = "relu",
) -> list[Layer]:
    """Layers of S multilayer perceptrons, (S, N, n_in) -> (S, N, n_out); LayerNorm before ``activation`` if asked."""
    layers: list[Layer] = []
    for width in hidden:
        layers.append(Linear(n_in, width, init))
        if layer_norm:
            layers.append(LayerNorm(width, init))
        layers.append(ACTIVATIONS[activation]())
        n_in = width
    return [*layers, Linear(n_in, n_out, init)]


def cnn(shape: tuple[int, int, int], init: Stream, *, activation: Activation = "relu") -> tuple[list[Layer], int]:
    """Convolutional trunk for images of ``shape`` (C, H, W); returns its layers and the number of features it gives.

    From 36 pixels on, the three layers of Mnih et al. 2015 (Methods, doi:10.1038/nature14236); below, one 3x3 layer
    of 16 filters, as for MinAtar (Young & Tian 2019, arXiv:1903.03176).
    """
    channels, high, wide = shape
    plan = [(32, 8, 4), (64, 4, 2), (64, 3, 1)] if min(high, wide) >= 36 else [(16, min(3, high, wide), 1)]
    layers: list[Layer] = []
    for filters, kernel, stride in plan:
        layers += [Conv2d(channels, filters, kernel, stride, init), ACTIVATIONS[activation]()]
        channels, high, wide = filters, (high - kernel) // stride + 1, (wide - kernel) // stride + 1
    return [*layers, Flatten()], channels * high * wide


def network(
    spec: Spec,
    hidden: Sequence[int],
    n_out: int,
    init: Stream,
    *,
    layer_norm: bool = False,
    activation: Activation = "relu",
    orthogonal: bool = False,
    head_gain: float = 1.0,
) -> Network:
    """S networks from observations as ``spec`` describes them, (S, N, *O), to (S, N, n_out).

    Images go through `cnn`, indices become one-hot, vectors enter as they are; an `mlp` follows.

    Args:
        spec: what is observed.
        hidden: widths of the hidden layers.
        n_out: numbers that come out.
        init: random numbers for the weights.
        layer_norm: LayerNorm before each activation of the `mlp`.
        activation: "relu", "tanh" or "silu".
        orthogonal: see `orthogonal_`; else uniform, as `torch.nn` has it.
        head_gain: what the weights and biases of the last layer are multiplied by. With 0.01 a policy begins with
            actions that are nearly all as likely.
    """
    layers: list[Layer]
    if spec.num_obs is not None:
        layers, features = [OneHot(spec.num_obs)], spec.num_obs
    elif spec.obs_dtype == torch.uint8:
        pixels = Pixels(spec.obs_shape)
        trunk, features = cnn(pixels.shape, init, activation=activation)
        layers = [pixels, *trunk]
    else:
        layers, features = [Flatten()] if len(spec.obs_shape) != 1 else [], math.prod(spec.obs_shape)
    body = mlp(features, hidden, n_out, init, layer_norm=layer_norm, activation=activation)
    whole = Network([*layers, *body])
    if orthogonal:
        orthogonal_(whole, init, head_gain=head_gain)
    elif head_gain != 1:
        for parameter in body[-1].parameters():
            parameter.data.mul_(head_gain)
    return whole
