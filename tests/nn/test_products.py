"""Products of seeds: right, and for every seed the same bits alone and among several, over odd sizes and strides."""

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from rlbench.nn.products import affine, any_rows, product

SIZES = (1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 64, 65)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(7**i * n for i, n in enumerate(shape))))


def lain(x: Tensor) -> Iterator[Tensor]:
    """``x`` as memory may hold it: by rows, by columns, with gaps, and with axes of size 1 that have odd strides."""
    yield x.contiguous()
    yield x.mT.contiguous().mT
    wide = torch.zeros(x.shape[0], x.shape[1], x.shape[2] + 3)
    wide[..., : x.shape[2]] = x
    yield wide[..., : x.shape[2]]
    if 1 in x.shape[1:]:
        strides = [1 if n == 1 else step for n, step in zip(x.shape, x.contiguous().stride(), strict=True)]
        yield x.contiguous().as_strided(x.shape, strides)


def strays(function: Callable[..., Tensor], *operands: Tensor) -> list[int]:
    """The seeds whose numbers depend on whether the others are there, in memory of their own too."""
    together = function(*operands)
    found = []
    for s in (0, len(together) - 1):
        own = [x[s : s + 1] for x in operands]
        copies = [torch.empty_strided(x.shape, x.stride()).copy_(x) for x in own]
        if not (torch.equal(function(*own)[0], together[s]) and torch.equal(function(*copies)[0], together[s])):
            found.append(s)
    return found


@pytest.mark.parametrize("rows", SIZES)
def test_products_of_every_size_keep_their_bits(rows: int) -> None:
    bad = []
    for inner, columns in itertools.product(SIZES, SIZES):
        seeds = 2 + (rows + inner + columns) % 3
        x, y, bias = noise(seeds, rows, inner), noise(seeds, inner, columns), noise(seeds, 1, columns)
        for left, right in itertools.product(lain(x), lain(y)):
            if strays(affine, left, right, bias) or strays(product, left, right):
                bad.append((rows, inner, columns, left.stride(), right.stride()))
    assert bad == []


@pytest.mark.parametrize("seeds", [2, 10, 33])
@pytest.mark.parametrize("rows", [1, 64])
def test_products_of_layers_as_people_choose_them_keep_their_bits(seeds: int, rows: int) -> None:
    for inner, columns in [(4, 64), (64, 64), (64, 2), (64, 1), (1, 64), (128, 120), (120, 84), (84, 18), (256, 6)]:
        x, y, bias = noise(seeds, rows, inner), noise(seeds, inner, columns), noise(seeds, 1, columns)
        grad = noise(seeds, rows, columns)
        for weight in lain(y):
            assert strays(affine, x, weight, bias) == []
            assert strays(product, grad, weight.mT) == []
        for upstream in lain(grad):
            assert strays(product, x.mT, upstream) == []
            assert strays(product, upstream.mT, x) == []


@pytest.mark.parametrize(("rows", "inner", "columns"), list(itertools.product((1, 2, 5), (1, 2, 6), (1, 3, 20))))
def test_they_are_what_einsum_says_and_autograd_keeps_bits_too(rows: int, inner: int, columns: int) -> None:
    x, y, bias = noise(3, rows, inner), noise(3, inner, columns), noise(3, 1, columns)
    expected = torch.einsum("snk,skm->snm", x, y)
    torch.testing.assert_close(product(x, y), expected)
    torch.testing.assert_close(affine(x, y, bias), expected + bias)
    out = torch.full((3, rows, columns), 7.0)
    assert product(x, y, out=out) is out
    torch.testing.assert_close(out, expected)

    upstream = noise(3, rows, columns) + 1
    by_hand = (torch.einsum("snm,skm->snk", upstream, y), torch.einsum("snk,snm->skm", x, upstream), upstream.sum(1))

    def gradients(*operands: Tensor) -> tuple[Tensor, ...]:
        leaves = [x.clone().requires_grad_() for x in operands[:3]]
        return torch.autograd.grad((affine(*leaves) * operands[3]).sum(), leaves)

    for i, (found, wanted) in enumerate(zip(gradients(x, y, bias, upstream), by_hand, strict=True)):
        torch.testing.assert_close(found, wanted.view(found.shape))
        assert strays(lambda *operands, i=i: gradients(*operands)[i], x, y, bias, upstream) == []


@pytest.mark.parametrize(("rows", "inner", "columns"), list(itertools.product((1, 2, 9), (1, 6), (1, 3, 20))))
def test_in_the_form_for_any_number_of_rows_they_are_the_same_products(rows: int, inner: int, columns: int) -> None:
    x, y, bias = noise(3, rows, inner), noise(3, inner, columns), noise(3, 1, columns)
    expected = affine(x, y, bias), product(x, y)
    with any_rows():
        torch.testing.assert_close((affine(x, y, bias), product(x, y)), expected)
        out = torch.empty(3, rows, columns)
        assert product(x, y, out=out) is out
    torch.testing.assert_close(out, expected[1])


def test_any_number_of_rows_is_one_graph() -> None:
    """Whichever number it was traced with; and afterwards products are as they were."""
    weight, bias = noise(2, 4, 3), noise(2, 1, 3)

    class Product(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return affine(x, weight, bias)

    batch = torch.export.Dim("batch")
    with any_rows():
        program = torch.export.export(Product(), (noise(2, 3, 4),), dynamic_shapes=({1: batch},)).module()
    for rows in (1, 2, 7, 8, 9, 300):
        x = noise(2, rows, 4)
        torch.testing.assert_close(program(x), affine(x, weight, bias))
    assert affine(noise(2, 9, 4), weight, bias).stride() != torch.empty(2, 9, 3).stride()
