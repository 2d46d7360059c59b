"""Stacked layers: S networks of one shape, held along a leading axis and computed together.

`mlp`, `cnn` and `network` build ordinary `torch.nn.Module`s out of them; `Flat` lays a module's parameters out as one
(S, P) tensor, which makes an optimiser step or a soft update one operation. Every layer maps (S, N, ...) to (S, N, ...)
and row s depends on parameters of row s alone, to the last bit: convolutions go through `unfold` and the same batched
product as linear layers, because grouped convolutions may pick another algorithm for another S.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .rng import Stream
from .types import Spec

ALIGN = 64  # floats; see Flat


class Linear(nn.Module):
    """S linear maps: (S, N, n_in) -> (S, N, n_out). Uniform in +-1/sqrt(n_in) at first, as `torch.nn.Linear`."""

    def __init__(self, n_in: int, n_out: int, init: Stream) -> None:
        super().__init__()
        seeds = len(init.seeds)
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(_uniform(init, bound, n_in * n_out).view(seeds, n_in, n_out))
        self.bias = nn.Parameter(_uniform(init, bound, n_out).view(seeds, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class LayerNorm(nn.Module):
    """S layer normalisations over the last axis (Ba et al. 2016, arXiv:1607.06450): (S, N, n) -> (S, N, n)."""

    def __init__(self, n: int, init: Stream) -> None:
        super().__init__()
        seeds = len(init.seeds)
        self.n = n
        self.weight = nn.Parameter(torch.ones(seeds, 1, n, device=init.device))
        self.bias = nn.Parameter(torch.zeros(seeds, 1, n, device=init.device))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, F.layer_norm(x, (self.n,)), self.weight)


class Conv2d(nn.Module):
    """S convolutions without padding: (S, N, C_in, H, W) -> (S, N, C_out, H', W')."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, init: Stream) -> None:
        super().__init__()
        seeds, fan_in = len(init.seeds), n_in * kernel * kernel
        bound = 1 / math.sqrt(fan_in)
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(_uniform(init, bound, fan_in * n_out).view(seeds, fan_in, n_out))
        self.bias = nn.Parameter(_uniform(init, bound, n_out).view(seeds, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        seeds, n = x.shape[:2]
        high, wide = ((size - self.kernel) // self.stride + 1 for size in x.shape[-2:])
        patches = F.unfold(x.flatten(0, 1), self.kernel, stride=self.stride)  # (S*N, C_in*k*k, H'*W')
        patches = patches.transpose(1, 2).reshape(seeds, n * high * wide, -1)
        out = torch.baddbmm(self.bias, patches, self.weight)  # (S, N*H'*W', C_out)
        return out.view(seeds, n, high, wide, -1).permute(0, 1, 4, 2, 3)


class OneHot(nn.Module):
    """Indices to indicator vectors: (S, N) int64 -> (S, N, n) float32."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(x, self.n).float()


class Pixels(nn.Module):
    """Images to planes: (S, N, *O) uint8 -> (S, N, C, H, W) float32 in 0..1, whichever side the channels were on."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.planes = len(shape) == 2  # without a channel axis
        self.channels_last = len(shape) == 3 and shape[2] <= shape[0]
        channels = 1 if self.planes else shape[2] if self.channels_last else shape[0]
        high, wide = shape if self.planes else shape[:2] if self.channels_last else shape[1:]
        self.shape = (channels, high, wide)

    def forward(self, x: Tensor) -> Tensor:
        if self.planes:
            x = x.unsqueeze(2)
        elif self.channels_last:
            x = x.permute(0, 1, 4, 2, 3)
        return x.float().div_(255)


class Flatten(nn.Module):
    """(S, N, ...) -> (S, N, product)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)


def mlp(n_in: int, hidden: Sequence[int], n_out: int, init: Stream, *, layer_norm: bool = False) -> list[nn.Module]:
    """Layers of S multilayer perceptrons with ReLU, (S, N, n_in) -> (S, N, n_out); LayerNorm before ReLU if asked."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(Linear(n_in, width, init))
        if layer_norm:
            layers.append(LayerNorm(width, init))
        layers.append(nn.ReLU())
        n_in = width
    return [*layers, Linear(n_in, n_out, init)]


def cnn(shape: tuple[int, int, int], init: Stream) -> tuple[list[nn.Module], int]:
    """Convolutional trunk for images of ``shape`` (C, H, W); returns its layers and the number of features it gives.

    From 36 pixels on, the three layers of Mnih et al. 2015 (Methods, doi:10.1038/nature14236); below, one 3x3 layer
    of 16 filters, as for MinAtar (Young & Tian 2019, arXiv:1903.03176).
    """
    channels, high, wide = shape
    plan = [(32, 8, 4), (64, 4, 2), (64, 3, 1)] if min(high, wide) >= 36 else [(16, min(3, high, wide), 1)]
    layers: list[nn.Module] = []
    for filters, kernel, stride in plan:
        layers += [Conv2d(channels, filters, kernel, stride, init), nn.ReLU()]
        channels, high, wide = filters, (high - kernel) // stride + 1, (wide - kernel) // stride + 1
    return [*layers, Flatten()], channels * high * wide


def network(spec: Spec, hidden: Sequence[int], n_out: int, init: Stream, *, layer_norm: bool = False) -> nn.Sequential:
    """S networks from observations as ``spec`` describes them, (S, N, *O), to (S, N, n_out).

    Images go through `cnn`, indices become one-hot, vectors enter as they are; an `mlp` follows.
    """
    layers: list[nn.Module]
    if spec.num_obs is not None:
        layers, features = [OneHot(spec.num_obs)], spec.num_obs
    elif spec.obs_dtype == torch.uint8:
        pixels = Pixels(spec.obs_shape)
        trunk, features = cnn(pixels.shape, init)
        layers = [pixels, *trunk]
    else:
        layers, features = [Flatten()] if len(spec.obs_shape) != 1 else [], math.prod(spec.obs_shape)
    return nn.Sequential(*layers, *mlp(features, hidden, n_out, init, layer_norm=layer_norm))


class Flat:
    """The parameters of a stacked module as one (S, P) tensor, of which the module's own become views.

    Each parameter starts at a multiple of 64 floats and P is one too: no operation over the whole tensor then ends in
    a remainder, whose rounding could differ with S.

    Args:
        module: every parameter has the leading S axis.

    Attributes:
        data: (S, P) float32. Write to it in place only.
    """

    def __init__(self, module: nn.Module) -> None:
        self.params = list(module.parameters())
        first = self.params[0]
        self._sizes = [p[0].numel() for p in self.params]
        self._widths = [-(-size // ALIGN) * ALIGN for size in self._sizes]
        self.data = torch.zeros(first.shape[0], sum(self._widths), device=first.device)
        at = 0
        for param, size, width in zip(self.params, self._sizes, self._widths, strict=True):
            view = self.data[:, at : at + size].view(param.shape)
            view.copy_(param.detach())
            param.data = view
            at += width

    def gradient(self, loss: Tensor) -> Tensor:
        """(S, P) gradient of the scalar ``loss``. Sum the loss over seeds: then each row is that seed's own."""
        grads = torch.autograd.grad(loss, self.params)
        seeds = self.data.shape[0]
        pieces = []
        for grad, size, width in zip(grads, self._sizes, self._widths, strict=True):
            pieces.append(grad.reshape(seeds, size))
            if width > size:
                pieces.append(grad.new_zeros(seeds, width - size))
        return torch.cat(pieces, 1)


def _uniform(init: Stream, bound: float, n: int) -> Tensor:
    return (init.uniform(n) * 2 - 1).mul_(bound).float()
