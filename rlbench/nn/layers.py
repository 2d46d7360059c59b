"""Stacked layers: S networks of one shape, held along a leading axis and computed together.

`networks` builds ordinary `torch.nn.Module`s out of them; `Flat` lays the parameters out as one (S, P) tensor, which
makes an optimiser step or a soft update one operation. Every layer maps (S, N, ...) to (S, N, ...)
and row s depends on parameters of row s alone, to the last bit: convolutions go through `unfold` and the same batched
product as linear layers, because grouped convolutions may pick another algorithm for another S.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import functional
from ..rng import Stream
from . import by_autograd, kernels
from .flat import Flat as Flat
from .products import affine, product

Residuals = tuple[Tensor, ...]  # what a layer needs for its way back


class Layer(nn.Module):
    """A layer that can also be differentiated without autograd, whose bookkeeping costs more than small layers do.

    A layer of one's own needs no more than ``forward``: `keep` and `pull` are autograd's where none are written.
    Layers look their parameters up once: write into them in place. `torch.func.functional_call` would go unnoticed.
    """

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        """The output for ``x``, and what `pull` needs."""
        return by_autograd.keep(self, x)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        """Pull a gradient back through the layer (a vector-Jacobian product).

        Args:
            kept: from `keep`.
            grad: the gradient at the output.
            into: one tensor for each parameter, into which that parameter's gradient is written.
            wanted: whether to return the gradient at the input, too; else None is returned.
        """
        return by_autograd.pull(self, kept, grad, into, wanted)

    def below(self, kept: Residuals, grad: Tensor) -> Tensor:
        """What `pull` returns, where nobody asks for the gradients of the parameters: the one at the input alone."""
        unasked = [torch.empty_like(parameter) for parameter in self.parameters()]
        at_input = self.pull(kept, grad, unasked, True)
        assert at_input is not None
        return at_input


class Linear(Layer):
    """S linear maps: (S, N, n_in) -> (S, N, n_out). Uniform in +-1/sqrt(n_in) at first, as `torch.nn.Linear`.

    The weight lies as (S, n_in, n_out), or as (S, n_out, n_in) where that is narrower: products with a short last
    axis cost two to four times more.
    """

    def __init__(self, n_in: int, n_out: int, init: Stream) -> None:
        super().__init__()
        seeds = len(init.seeds)
        bound = 1 / math.sqrt(n_in)
        weight = uniform(init, bound, n_in * n_out).view(seeds, n_in, n_out)
        self.narrow = n_out < n_in
        self.weight = nn.Parameter(weight.mT.contiguous() if self.narrow else weight)
        self.bias = nn.Parameter(uniform(init, bound, n_out).view(seeds, 1, n_out))
        self._both = (self.weight, self.bias)  # a module looks its parameters up slowly

    @property
    def matrix(self) -> Tensor:
        """The weight as (S, n_in, n_out), however it lies."""
        return self._both[0].mT if self.narrow else self._both[0]

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.matrix, self._both[1])

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        return affine(x, self.matrix, self._both[1]), (x,)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        (x,) = kept
        product(*((grad.mT, x) if self.narrow else (x.mT, grad)), out=into[0])
        torch.sum(grad, 1, keepdim=True, out=into[1])
        return self.below(kept, grad) if wanted else None

    def below(self, kept: Residuals, grad: Tensor) -> Tensor:
        return product(grad, self.matrix.mT)


class LayerNorm(Layer):
    """S layer normalisations over the last axis (Ba et al. 2016, arXiv:1607.06450): (S, N, n) -> (S, N, n)."""

    def __init__(self, n: int, init: Stream) -> None:
        super().__init__()
        seeds = len(init.seeds)
        self.shape = (n,)
        self.weight = nn.Parameter(torch.ones(seeds, 1, n, device=init.device))
        self.bias = nn.Parameter(torch.zeros(seeds, 1, n, device=init.device))
        self._both = (self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self._both
        return torch.addcmul(bias, torch.layer_norm(x, self.shape), weight)

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        weight, bias = self._both
        normed, mean, rstd = kernels.layer_norm(x)
        return torch.addcmul(bias, normed, weight), (x, normed, mean, rstd)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        torch.sum(grad * kept[1], 1, keepdim=True, out=into[0])
        torch.sum(grad, 1, keepdim=True, out=into[1])
        return self.below(kept, grad) if wanted else None

    def below(self, kept: Residuals, grad: Tensor) -> Tensor:
        x, _, mean, rstd = kept
        return kernels.layer_norm_back(grad * self._both[0], x, mean, rstd)


class ReLU(Layer):
    """max(x, 0), any shape. In place, as `torch.nn.ReLU(inplace=True)`, on the way back too: give it what another layer
    made."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(x)

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        y = torch.relu_(x)
        return y, (y,)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        if not wanted:
            return None
        return (kernels.relu_back_over if _whole(grad) else kernels.relu_back)(grad, kept[0])


class Tanh(Layer):
    """The hyperbolic tangent, any shape, as `torch.nn.Tanh`.

    `keep` and `pull` work in place: give them what another layer made.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        y = torch.tanh_(x)
        return y, (y,)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        if not wanted:
            return None
        return (kernels.tanh_back_over if _whole(grad) else kernels.tanh_back)(grad, kept[0])


class SiLU(Layer):
    """x * sigmoid(x), any shape, as `torch.nn.SiLU`, whose last bits for a seed depend on those beside it."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(x)

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        gate = functional.sigmoid(x)
        return x * gate, (x, gate)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        if not wanted:
            return None
        x, gate = kept
        return (1 - gate).mul_(x).add_(1).mul_(gate).mul_(grad)  # gate * (1 + x * (1 - gate))


class Conv2d(Layer):
    """S convolutions without padding: (S, N, C_in, H, W) -> (S, N, C_out, H', W')."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, init: Stream) -> None:
        super().__init__()
        seeds, fan_in = len(init.seeds), n_in * kernel * kernel
        bound = 1 / math.sqrt(fan_in)
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(uniform(init, bound, fan_in * n_out).view(seeds, fan_in, n_out))
        self.bias = nn.Parameter(uniform(init, bound, n_out).view(seeds, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return self._planes(affine(self._patches(x), self.weight, self.bias), x)

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        patches = self._patches(x)
        return self._planes(affine(patches, self.weight, self.bias), x), (x, patches)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        x, patches = kept
        rows = grad.permute(0, 1, 3, 4, 2).reshape(*patches.shape[:2], -1)  # (S, N*H'*W', C_out)
        product(patches.mT, rows, out=into[0])
        torch.sum(rows, 1, keepdim=True, out=into[1])
        return self._below(x, rows) if wanted else None

    def below(self, kept: Residuals, grad: Tensor) -> Tensor:
        x, patches = kept
        return self._below(x, grad.permute(0, 1, 3, 4, 2).reshape(*patches.shape[:2], -1))

    def _below(self, x: Tensor, rows: Tensor) -> Tensor:
        columns = product(rows, self.weight.mT).reshape(x.shape[0] * x.shape[1], -1, self.weight.shape[1])
        return F.fold(columns.mT, x.shape[-2:], self.kernel, stride=self.stride).view(x.shape)

    def _patches(self, x: Tensor) -> Tensor:
        """(S, N*H'*W', C_in*k*k): what each output position sees."""
        patches = F.unfold(x.flatten(0, 1), self.kernel, stride=self.stride)  # (S*N, C_in*k*k, H'*W')
        return patches.transpose(1, 2).reshape(x.shape[0], -1, patches.shape[1])

    def _planes(self, rows: Tensor, x: Tensor) -> Tensor:
        high, wide = ((size - self.kernel) // self.stride + 1 for size in x.shape[-2:])
        return rows.reshape(*x.shape[:2], high, wide, -1).permute(0, 1, 4, 2, 3)


class OneHot(Layer):
    """Indices to indicator vectors: (S, N) int64 -> (S, N, n) float32."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(x, self.n).float()


class Pixels(Layer):
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


class Flatten(Layer):
    """(S, N, ...) -> (S, N, product)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], -1)  # a product of no factors is 1

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        return self.forward(x), (x,)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        return grad.view(kept[0].shape)


def _whole(grad: Tensor) -> bool:
    """Whether there is memory for every number of ``grad``: what came down from a sum may be one number, many times."""
    return grad.is_contiguous()


def uniform(init: Stream, bound: float, n: int) -> Tensor:
    """(S, n) float32, uniform in +-bound."""
    return (init.uniform(n) * 2 - 1).mul_(bound).float()
