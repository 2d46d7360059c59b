"""The GRU cell of seeds: torch's own as oracle, its way back through time, and the width promise to the last bit."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from rlbench import nn
from rlbench.rng import Streams

SEEDS = [4, 9, 2]


def noise(*shape: int) -> Tensor:
    return Streams([7])["noise"].normal(math.prod(shape)).view(shape).float()


def plain(cell: nn.GRUCell, s: int) -> torch.nn.GRUCell:
    """The cell of seed s alone, as torch has it."""
    own = torch.nn.GRUCell(cell.weight.shape[1], cell.size)
    own.weight_ih.data, own.weight_hh.data = cell.weight[s].T.detach().clone(), cell.recurrent[s].T.detach().clone()
    own.bias_ih.data, own.bias_hh.data = cell.bias[s, 0].detach().clone(), cell.recurrent_bias[s, 0].detach().clone()
    return own


@pytest.mark.parametrize(("n_in", "size", "rows"), [(3, 5, 4), (1, 1, 1), (2, 20, 1)])
def test_it_has_the_gates_and_gradients_of_torchs(n_in: int, size: int, rows: int) -> None:
    cell = nn.GRUCell(n_in, size, Streams(SEEDS)["init"])
    x, h = (2 * noise(3, rows, n_in)).requires_grad_(), noise(3, rows, size).requires_grad_()
    out = cell(x, h)
    upstream = noise(*out.shape)
    grads = torch.autograd.grad((out * upstream).sum(), [x, h, *cell.parameters()])
    for s in range(3):
        alone, leaves = plain(cell, s), [x[s].detach().requires_grad_(), h[s].detach().requires_grad_()]
        out_alone = alone(*leaves)
        torch.testing.assert_close(out[s], out_alone)
        ordered = [alone.weight_ih, alone.weight_hh, alone.bias_ih, alone.bias_hh]
        oracle = torch.autograd.grad((out_alone * upstream[s]).sum(), [*leaves, *ordered])
        for own, theirs, turned in zip(grads, oracle, (False, False, True, True, False, False), strict=True):
            torch.testing.assert_close(own[s].reshape(-1), (theirs.T if turned else theirs).reshape(-1))


def through_time(
    cell: nn.GRUCell, inputs: Sequence[Tensor], h: Tensor, upstream: Tensor
) -> tuple[Tensor, list[Tensor], Tensor, nn.Flat]:
    """Unrolled by hand: the last memory, the gradients at the inputs, that at the first memory, and the rest flat."""
    flat, pulls = nn.Flat(cell), []
    for x in inputs:
        h, pull = cell.vjp(x, h)
        pulls.append(pull)
    at_inputs, last = [], h
    for pull in reversed(pulls):
        at_input, upstream = pull(upstream, flat.grads)
        at_inputs.insert(0, at_input)
    return last, at_inputs, upstream, flat


def test_its_way_back_through_time_is_what_autograd_finds() -> None:
    cell = nn.GRUCell(3, 5, Streams(SEEDS)["init"])
    inputs, h, upstream = [x.requires_grad_() for x in noise(4, 3, 6, 3)], noise(3, 6, 5), noise(3, 6, 5)
    h.requires_grad_()
    last = h
    for x in inputs:
        last = cell(x, last)
    oracle = torch.autograd.grad((last * upstream).sum(), [*inputs, h, *cell.parameters()])
    with torch.no_grad():
        own, at_inputs, at_memory, flat = through_time(cell, inputs, h, upstream)
    torch.testing.assert_close(own, last.detach())
    for ours, theirs in zip([*at_inputs, at_memory, *flat.grads], oracle, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    once = [grad.clone() for grad in flat.grads]
    with torch.no_grad():
        _, pull = cell.vjp(inputs[0], h)
        pull(torch.zeros(3, 6, 5), flat.grads)
    assert all(map(torch.equal, flat.grads, once))  # added to, not written over


def results(n_in: int, size: int, rows: int, seeds: slice) -> list[Tensor]:
    """All that a cell computes, forward and back through three steps, of some of the seeds; each (S, ...)."""
    cell = nn.GRUCell(n_in, size, Streams(SEEDS[seeds])["init"]).requires_grad_(False)
    inputs, h, upstream = noise(3, 3, rows, n_in), noise(3, rows, size), noise(3, rows, size) + 0.5
    inputs, h, upstream = inputs[:, seeds].clone(), h[seeds].clone(), upstream[seeds].clone()
    last, at_inputs, at_memory, flat = through_time(cell, list(inputs), h, upstream)
    return [last, *at_inputs, at_memory, cell(inputs[0], h), flat.grad]


@pytest.mark.parametrize("rows", [1, 2, 7, 50])
def test_its_width_to_the_last_bit(rows: int) -> None:
    for n_in, size in itertools.product((1, 2, 17, 33), (1, 2, 5, 33)):
        together = results(n_in, size, rows, slice(None))
        assert together[-1].abs().sum() > 0
        for s in range(3):
            alone = results(n_in, size, rows, slice(s, s + 1))
            for i, (ours, theirs) in enumerate(zip(together, alone, strict=True)):
                assert torch.equal(ours[s], theirs[0]), (n_in, size, i)


def test_its_numbers_at_first_are_spread_as_torchs() -> None:
    cell = nn.GRUCell(8, 16, Streams(range(10))["init"])
    torchs = torch.nn.GRUCell(8, 16)
    for own in cell.parameters():
        assert own.abs().max() <= 0.25  # 1 / sqrt(16)
        assert own.std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.05)
        assert len({row.sum().item() for row in own}) == 10
    assert max(own.abs().max() for own in torchs.parameters()) <= 0.25
    assert sum(own[0].numel() for own in cell.parameters()) == sum(own.numel() for own in torchs.parameters())
