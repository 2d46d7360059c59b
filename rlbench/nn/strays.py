"""Whether what is computed of a seed's numbers has the same bits alone and among others: tried, not believed."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..agent_state import same

Function = Callable[[Tensor], Tensor]
Shape = tuple[int, int]  # (N, M)

SIZES = (1, 2, 3, 5, 7, 9, 17, 33, 50, 65, 100, 130)  # with all kinds of rest by 4, 8 and 16


class Strays(NamedTuple):
    """Shapes for which a seed's bits depend on those beside it, forward and in autograd's gradient."""

    forward: tuple[Shape, ...]
    gradient: tuple[Shape, ...]
    tried: int


def shapes(sizes: Iterable[int] = SIZES) -> list[Shape]:
    """(N, M) of all ``sizes``: one column, a few columns, and a few rows."""
    return [shape for n in sizes for shape in ((n, 1), (n, 3), (5, n))]


def strays(function: Function, tried: Iterable[Shape], seeds: int = 3) -> Strays:
    """Try ``function`` on several seeds and on each of them alone.

    Args:
        function: of a tensor (S, N, M), which it may not change; keeps the S axis, and is differentiable.
        tried: the shapes (N, M).
        seeds: S.
    """
    tried = list(tried)
    found: tuple[list[Shape], list[Shape]] = ([], [])
    for n, m in tried:
        source = torch.Generator().manual_seed(1000 * n + m)
        x = 2 * torch.randn(seeds, n, m, generator=source)
        together = _both(function, x)
        each = [_both(function, x[s : s + 1].clone()) for s in range(seeds)]
        for part, strayed in enumerate(found):
            if not all(same(together[part][s], alone[part][0]) for s, alone in enumerate(each)):
                strayed.append((n, m))
    return Strays(tuple(found[0]), tuple(found[1]), len(tried))


def _both(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output for ``x``, and the gradient of a sum of it in which no two numbers weigh the same."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        out = function(leaf)
        weight = torch.arange(1.0, out[0].numel() + 1).sqrt().view(out.shape[1:])
        return out.detach(), torch.autograd.grad((out * weight).sum(), leaf)[0]
