"""Matrix products of S seeds that give row k the same bits alone and among S; every layer of `nn` goes through them.

What a library makes of a product depends on shapes and strides that differ between one seed and several: an axis of
size 1 is where it changes its mind, since a product with one is a vector's where it stands alone, and one whose inner
axis is 1 may add a bias in the same rounding or in a second one. So no such product reaches the library here: one
column is summed up or computed as two, one row lies as a row should, and an inner axis of 1 is multiplied element by
element.
`width` looks at the others on the machine at hand.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

THIN = 16  # columns; of fewer, the transposed product takes a half to a quarter of the time
FEW = 8  # rows; up to so many, it takes twice the time
_any_rows = False


@contextlib.contextmanager
def any_rows() -> Iterator[None]:
    """Context in which products are the same operations for any number of rows, for those who write them down to be
    done elsewhere. The last bits may be others."""
    global _any_rows
    before, _any_rows = _any_rows, True
    try:
        yield
    finally:
        _any_rows = before


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x @ weight + bias per seed.

    Args:
        x: (S, N, n_in).
        weight: (S, n_in, n_out).
        bias: (S, 1, n_out).

    Returns:
        (S, N, n_out); where n_out is below 16 and N above 8, its memory may lie as (S, n_out, N).
    """
    if _any_rows:
        return torch.bmm(x, weight) + bias
    _, n_in, n_out = weight.shape
    if x.shape[1] == 1:
        x = _row(x)
    elif 1 < n_out < THIN and n_in > 1 and x.shape[1] > FEW:
        return torch.baddbmm(bias.mT, weight.mT, x.mT).mT
    if n_in > 1 and n_out > 1:
        return torch.baddbmm(bias, x, weight)
    if n_in == 1:
        return x * weight + bias
    return (x * weight.mT).sum(-1, keepdim=True) + bias  # a quarter of the time of a product with a second column


def product(x: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """x @ y per seed: (S, N, K), (S, K, M) -> (S, N, M), written to ``out`` if that is given."""
    if _any_rows:
        return torch.bmm(x, y) if out is None else torch.bmm(x, y, out=out)
    _, inner, columns = y.shape
    if x.shape[1] == 1:
        x = _row(x)
    if inner > 1 and columns > 1:
        return torch.bmm(x, y, out=out)
    if inner == 1:
        return torch.mul(x, y, out=out)
    narrow = torch.bmm(x, F.pad(y, (0, 1)))[..., :1]
    return narrow if out is None else out.copy_(narrow)


def _row(x: Tensor) -> Tensor:
    """``x`` (S, 1, K) with the strides of a row, whatever those of the axis of 1 said before."""
    if x.stride(1) == x.shape[2] and x.stride(2) == 1:
        return x
    return x.reshape(x.shape[0], -1).unsqueeze(1)
