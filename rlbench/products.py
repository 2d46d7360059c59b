"""Matrix products of S seeds that give row k the same bits alone and among S; every layer of `nn` goes through them.

What a library makes of a product depends on shapes and strides that differ between one seed and several: an axis of
size 1 is where it changes its mind, since a product with one is a vector's where it stands alone, and one whose inner
axis is 1 may add a bias in the same rounding or in a second one. So no such product reaches the library here: one
column is computed as two, one row lies as a row should, and an inner axis of 1 is multiplied element by element.
`width` looks at the others on the machine at hand.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

THIN = 16  # columns; of fewer, the transposed product takes a half to a quarter of the time


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x @ weight + bias per seed.

    Args:
        x: (S, N, n_in).
        weight: (S, n_in, n_out).
        bias: (S, 1, n_out).

    Returns:
        (S, N, n_out); where n_out is below 16, its memory may lie as (S, n_out, N).
    """
    n_in, n_out = weight.shape[1:]
    if n_in == 1:
        return x * weight + bias
    if n_out == 1:
        return affine(x, F.pad(weight, (0, 1)), F.pad(bias, (0, 1)))[..., :1]
    if x.shape[1] == 1:
        return torch.baddbmm(bias, _row(x), weight)
    if n_out < THIN:
        return torch.baddbmm(bias.mT, weight.mT, x.mT).mT
    return torch.baddbmm(bias, x, weight)


def product(x: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """x @ y per seed: (S, N, K), (S, K, M) -> (S, N, M), written to ``out`` if that is given."""
    if y.shape[1] == 1:
        return torch.mul(x, y, out=out)
    if y.shape[2] == 1:
        narrow = torch.bmm(_row(x), F.pad(y, (0, 1)))[..., :1]
        return narrow if out is None else out.copy_(narrow)
    return torch.bmm(_row(x), y, out=out)


def _row(x: Tensor) -> Tensor:
    """``x`` (S, N, K); where N is 1, with the strides of a row, whatever that axis said before."""
    if x.shape[1] > 1 or x.stride() == (x.shape[2], x.shape[2], 1):
        return x
    return x.reshape(x.shape[0], -1).unsqueeze(1)
