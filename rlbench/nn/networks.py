"""Networks of stacked layers: a list of layers as one module, laid out flat, and the usual ones for a space."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from ..rng import Stream
from ..types import Spec
from .flat import Flat as Flat
from .layers import Conv2d, Flatten, Layer, LayerNorm, Linear, OneHot, Pixels, ReLU, Residuals, SiLU, Tanh
from .lower import LowConv2d, LowLinear
from .orthogonal import orthogonal_

Activation = Literal["relu", "tanh", "silu"]
_Module = TypeVar("_Module", bound=nn.Module)
Way = list[Residuals]  # those of the layers of a network
ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "tanh": Tanh, "silu": SiLU}


class Network(nn.Module):
    """Layers one after the other. Called like any module, with autograd; `vjp` differentiates it without."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._chain = list(layers)
        counts = [len(list(layer.parameters())) for layer in layers]
        # below the first of them there is nothing to differentiate
        self._first = next((i for i, n in enumerate(counts) if n), len(counts))
        self._fresh = bool(layers) and isinstance(layers[-1], Linear)  # what it hands down is not what it was given
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
        y, way = self.keep(x)

        def pull_all(grad: Tensor, into: Sequence[Tensor]) -> None:
            self.pull(way, grad, into, False)

        return y, pull_all

    def keep(self, x: Tensor) -> tuple[Tensor, Way]:
        """The output for ``x``, and what `pull` and `below` need, which a network has as its layers have them."""
        for layer in self._chain[: self._first]:
            x = layer.forward(x)
        way = []
        for layer in self._chain[self._first :]:
            x, kept = layer.keep(x)
            way.append(kept)
        return x, way

    def pull(self, way: Way, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        """As `Layer.pull`. The input is that of the first layer with parameters, and of a network without any the
        output."""
        below: Tensor | None = grad if self._fresh else grad.clone()
        for i in range(len(way) - 1, -1, -1):
            assert below is not None
            at = self._first + i
            below = self._chain[at].pull(way[i], below, into[self._own[at]], wanted or i > 0)
        return below if wanted else None

    def below(self, way: Way, grad: Tensor) -> Tensor:
        """As `Layer.below`, at the input that `pull` means."""
        grad = grad if self._fresh else grad.clone()
        for layer, kept in zip(reversed(self._chain[self._first :]), reversed(way), strict=True):
            grad = layer.below(kept, grad)
        return grad


def mlp(
    n_in: int,
    hidden: Sequence[int],
    n_out: int,
    init: Stream,
    *,
    layer_norm: bool = False,
    activation: Activation = "relu",
    low: bool = False,
) -> list[Layer]:
    """Layers of S multilayer perceptrons, (S, N, n_in) -> (S, N, n_out); LayerNorm before ``activation`` if asked.

    With ``low`` they multiply in bfloat16: see `lower`.
    """
    layers: list[Layer] = []
    for width in hidden:
        layers.append(LowLinear(n_in, width, init, last=layer_norm) if low else Linear(n_in, width, init))
        if layer_norm:
            layers.append(LayerNorm(width, init))
        layers.append(ACTIVATIONS[activation]())
        n_in = width
    return [*layers, LowLinear(n_in, n_out, init, last=True) if low else Linear(n_in, n_out, init)]


def cnn(
    shape: tuple[int, int, int], init: Stream, *, activation: Activation = "relu", low: bool = False
) -> tuple[list[Layer], int]:
    """Convolutional trunk for images of ``shape`` (C, H, W); returns its layers and the number of features it gives.

    From 36 pixels on, the three layers of Mnih et al. 2015 (Methods, doi:10.1038/nature14236); below, one 3x3 layer
    of 16 filters, as for MinAtar (Young & Tian 2019, arXiv:1903.03176). With ``low`` they multiply in bfloat16, which
    they give, too.
    """
    convolution = LowConv2d if low else Conv2d
    channels, high, wide = shape
    plan = [(32, 8, 4), (64, 4, 2), (64, 3, 1)] if min(high, wide) >= 36 else [(16, min(3, high, wide), 1)]
    layers: list[Layer] = []
    for filters, kernel, stride in plan:
        layers += [convolution(channels, filters, kernel, stride, init), ACTIVATIONS[activation]()]
        channels, high, wide = filters, (high - kernel) // stride + 1, (wide - kernel) // stride + 1
    return [*layers, Flatten()], channels * high * wide


def trunk(spec: Spec, init: Stream, *, activation: Activation = "relu", low: bool = False) -> tuple[list[Layer], int]:
    """The layers from observations as ``spec`` describes them to a vector, and its size.

    Images go through `cnn`, indices become one-hot, vectors enter as they are. ``low`` is that of `cnn`.
    """
    if spec.num_obs is not None:
        return [OneHot(spec.num_obs)], spec.num_obs
    if spec.obs_dtype == torch.uint8:
        pixels = Pixels(spec.obs_shape)
        layers, features = cnn(pixels.shape, init, activation=activation, low=low)
        return [pixels, *layers], features
    return [Flatten()] if len(spec.obs_shape) != 1 else [], math.prod(spec.obs_shape)


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

    A `trunk` makes vectors of them; an `mlp` follows. With ``spec.precision`` "bf16" a network of images multiplies in
    bfloat16.

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
    low = spec.precision == "bf16" and spec.obs_dtype == torch.uint8
    layers, features = trunk(spec, init, activation=activation, low=low)
    body = mlp(features, hidden, n_out, init, layer_norm=layer_norm, activation=activation, low=low)
    whole = Network([*layers, *body])
    if orthogonal:
        orthogonal_(whole, init, head_gain=head_gain)
    elif head_gain != 1:
        for parameter in body[-1].parameters():
            parameter.data.mul_(head_gain)
    return whole


def side_by_side(networks: Sequence[_Module]) -> _Module:
    """n networks of one shape, of S seeds each, as one of S * n rows, those of a seed one after the other.

    An ensemble then costs the calls of one network. Its input is ``x.repeat_interleave(n, 0)``, its output
    ``y.unflatten(0, (S, n))``.

    Args:
        networks: not to be used any more: the first one of them becomes the whole.
    """
    whole, *others = networks
    for own in zip(*(network.parameters() for network in (whole, *others)), strict=True):
        own[0].data = torch.stack([parameter.data for parameter in own], 1).flatten(0, 1)
    return whole
