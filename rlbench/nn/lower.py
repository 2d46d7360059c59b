"""Layers that multiply in bfloat16, as autocast would have it: weights, their gradients and the optimiser stay float32.

For networks with convolutions, whose products are large enough to be worth it on a card. What goes from one such layer
to the next is bfloat16, half the memory; the last one gives float32, in which losses are computed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..rng import Stream
from .layers import Conv2d, Linear, Residuals
from .products import affine, product

LOW = torch.bfloat16


class LowLinear(Linear):
    """`Linear`, its products in bfloat16: (S, N, n_in) -> (S, N, n_out).

    Args:
        last: whether it gives float32, being the last layer of a network; else bfloat16.
    """

    def __init__(self, n_in: int, n_out: int, init: Stream, *, last: bool = False) -> None:
        super().__init__(n_in, n_out, init)
        self.gives = torch.float32 if last else LOW

    def forward(self, x: Tensor) -> Tensor:
        return affine(x.to(LOW), self.matrix.to(LOW), self.bias.to(LOW)).to(self.gives)

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        return self.forward(x), (x,)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        (x,) = kept
        low, seen = grad.to(LOW), x.to(LOW)
        into[0].copy_(product(*((low.mT, seen) if self.narrow else (seen.mT, low))))
        torch.sum(grad, 1, keepdim=True, dtype=torch.float32, out=into[1])
        return self.below(kept, low) if wanted else None

    def below(self, kept: Residuals, grad: Tensor) -> Tensor:
        return product(grad.to(LOW), self.matrix.mT.to(LOW)).to(kept[0].dtype)


class LowConv2d(Conv2d):
    """`Conv2d`, its products in bfloat16: (S, N, C_in, H, W) -> (S, N, C_out, H', W') of bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return self.keep(x)[0]

    def keep(self, x: Tensor) -> tuple[Tensor, Residuals]:
        patches = self._patches(x.to(LOW))
        return self._planes(affine(patches, self.weight.to(LOW), self.bias.to(LOW)), x), (x, patches)

    def pull(self, kept: Residuals, grad: Tensor, into: Sequence[Tensor], wanted: bool) -> Tensor | None:
        x, patches = kept
        rows = self._rows(grad, patches)
        into[0].copy_(product(patches.mT, rows))
        torch.sum(rows, 1, keepdim=True, dtype=torch.float32, out=into[1])
        return self._below(x, rows) if wanted else None

    def below(self, kept: Residuals, grad: Tensor) -> Tensor:
        return self._below(kept[0], self._rows(grad, kept[1]))

    @staticmethod
    def _rows(grad: Tensor, patches: Tensor) -> Tensor:
        """(S, N*H'*W', C_out)."""
        return grad.to(LOW).permute(0, 1, 3, 4, 2).reshape(*patches.shape[:2], -1)

    def _below(self, x: Tensor, rows: Tensor) -> Tensor:
        columns = product(rows, self.weight.mT.to(LOW)).reshape(x.shape[0] * x.shape[1], -1, self.weight.shape[1])
        size = x.shape[-2:]
        planes = torch.nn.functional.fold(columns.mT, size, self.kernel, stride=self.stride)
        return planes.view(x.shape).to(x.dtype)


def lowered(agent: Any) -> bool:
    """Whether any network that ``agent`` holds multiplies in bfloat16."""
    modules = (held for held in vars(agent).values() if isinstance(held, torch.nn.Module))
    return any(isinstance(module, (LowLinear, LowConv2d)) for held in modules for module in held.modules())
