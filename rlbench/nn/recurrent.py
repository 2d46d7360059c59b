"""Recurrent layers of S seeds: one step at a time, forward and back, so that an agent unrolls them as it likes.

Like the layers of `layers`, row s depends on parameters of row s alone, to the last bit. What a cell remembers is the
agent's to keep: it is handed in and comes back.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .. import functional
from ..rng import Stream
from . import kernels
from .layers import uniform
from .products import affine, product

Pull = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, Tensor]]


class GRUCell(nn.Module):
    """S gated recurrent units, with the gates of `torch.nn.GRUCell` (Cho et al. 2014, arXiv:1406.1078).

    r = sigmoid(x W_r + b_r + h U_r + c_r),  z = sigmoid(x W_z + b_z + h U_z + c_z)
    n = tanh(x W_n + b_n + r * (h U_n + c_n)),  h' = (1 - z) * n + z * h

    All numbers are uniform in +-1/sqrt(size) at first. Parameters are looked up once: write into them in place.

    Args:
        n_in: I, size of the input.
        size: H, size of what is remembered.
        init: random numbers for the parameters.

    Attributes:
        weight: (S, I, 3 H): W_r, W_z and W_n side by side.
        recurrent: (S, H, 3 H): U_r, U_z and U_n.
        bias: (S, 1, 3 H): b_r, b_z and b_n.
        recurrent_bias: (S, 1, 3 H): c_r, c_z and c_n.
    """

    def __init__(self, n_in: int, size: int, init: Stream) -> None:
        super().__init__()
        seeds, bound = len(init.seeds), 1 / math.sqrt(size)
        self.size = size
        self.weight = nn.Parameter(uniform(init, bound, n_in * 3 * size).view(seeds, n_in, 3 * size))
        self.recurrent = nn.Parameter(uniform(init, bound, size * 3 * size).view(seeds, size, 3 * size))
        self.bias = nn.Parameter(uniform(init, bound, 3 * size).view(seeds, 1, 3 * size))
        self.recurrent_bias = nn.Parameter(uniform(init, bound, 3 * size).view(seeds, 1, 3 * size))
        self._all = (self.weight, self.recurrent, self.bias, self.recurrent_bias)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """One step of N rows per seed.

        Args:
            x: (S, N, I).
            h: (S, N, H), what was remembered; zeros where an episode begins.

        Returns:
            (S, N, H), what is remembered now, which is the output as well.
        """
        return self._step(x, h)[0]

    def vjp(self, x: Tensor, h: Tensor) -> tuple[Tensor, Pull]:
        """`forward`, and the way back: ``pull(upstream, grads)`` returns the gradients at ``x`` and at ``h``.

        ``upstream`` is the gradient at what `forward` returns. The gradients of the parameters are *added* to
        ``grads``, one tensor for each parameter in their order, since through time there are many to one parameter:
        `Flat.grads`, with `Flat.grad` set to zero before the first. Back through time, the gradient at ``h`` is a part
        of the upstream of the step before. Call both under `torch.no_grad`, or of parameters that need no gradient, or
        autograd keeps its books as well.
        """
        new, (reset, update, candidate, remembered) = self._step(x, h)

        def pull(upstream: Tensor, grads: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            weight, recurrent, _, _ = self._all
            at_candidate = kernels.tanh_back(upstream * (1 - update), candidate)  # (S, N, H), as all of these
            at_update = upstream * (h - candidate) * update * (1 - update)
            at_reset = at_candidate * remembered * reset * (1 - reset)
            of_input = torch.cat((at_reset, at_update, at_candidate), -1)  # (S, N, 3 H)
            of_memory = torch.cat((at_reset, at_update, at_candidate * reset), -1)
            grads[0].add_(product(x.mT, of_input))
            grads[1].add_(product(h.mT, of_memory))
            grads[2].add_(of_input.sum(1, keepdim=True))
            grads[3].add_(of_memory.sum(1, keepdim=True))
            return product(of_input, weight.mT), product(of_memory, recurrent.mT) + upstream * update

        return new, pull

    def _step(self, x: Tensor, h: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        weight, recurrent, bias, recurrent_bias = self._all
        both = 2 * self.size
        of_input = affine(x, weight, bias)  # (S, N, 3 H)
        of_memory = affine(h, recurrent, recurrent_bias)
        gates = functional.sigmoid(of_input[..., :both] + of_memory[..., :both])
        reset, update = gates.chunk(2, -1)  # (S, N, H)
        remembered = of_memory[..., both:]
        candidate = torch.tanh(of_input[..., both:] + reset * remembered)
        return candidate + update * (h - candidate), (reset, update, candidate, remembered)
