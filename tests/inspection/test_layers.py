"""Statistics of layers against numbers worked out by hand."""

import pytest
import torch
from torch import Tensor

from rlbench.inspection.capture import BOUNDED, OTHER, RECTIFIED, Heard
from rlbench.inspection.layers import dormant, rank, statistics


def heard(kind: str, failing: str, output: Tensor, network: str = "net") -> Heard:
    return Heard(network, kind, failing, output)


def test_dead_units_are_those_that_never_fire() -> None:
    x = torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]])  # of four units two
    (layer,) = statistics([heard("ReLU", RECTIFIED, x)])
    assert (layer.units, layer.place, layer.dead, layer.saturated) == (4, 1, 0.5, None)
    assert (layer.mean, layer.low, layer.high) == (0.5, 0.0, 2.0)
    assert layer.std == pytest.approx(x.double().std(correction=0).item())
    assert sum(layer.counts) == 8
    assert len(layer.edges) == len(layer.counts) + 1


@pytest.mark.parametrize(("kind", "high", "low"), [("Tanh", 0.995, -0.995), ("Sigmoid", 0.999, 0.001)])
def test_saturated_units_are_at_a_bound_in_nearly_all_states(kind: str, high: float, low: float) -> None:
    x = torch.full((100, 4), 0.5)
    x[:, 0], x[:, 1] = high, low
    x[:96, 2] = high  # in 96 of 100
    x[:90, 3] = high
    (layer,) = statistics([heard(kind, BOUNDED, x)])
    assert (layer.saturated, layer.dead) == (0.75, None)


def test_dormant_units_are_small_beside_their_layer() -> None:
    sizes = torch.tensor([1.0, 1.0, 0.02, 0.1])  # their mean is 0.53, of which 0.025 is 0.01325
    x = torch.stack([sizes, -sizes]).unsqueeze(2)
    assert dormant(x).tolist() == [False, False, False, False]
    x[:, 2] *= 0.5
    assert dormant(x).tolist() == [False, False, True, False]
    assert dormant(torch.zeros(2, 3, 1)).all()


def test_units_of_a_convolution_are_its_channels() -> None:
    x = torch.zeros(5, 3, 4, 4)
    x[2, 1, 3, 3] = 1.0  # one channel fires, in one state and place
    (layer,) = statistics([heard("ReLU", RECTIFIED, x)])
    assert (layer.units, layer.dead) == (3, pytest.approx(2 / 3))


def test_what_feeds_an_activation_is_left_out_and_the_output_is_named() -> None:
    x = torch.rand(3, 2)
    layers = [heard("Linear", "", x), heard("SiLU", OTHER, x), heard("Linear", "", x), heard("Linear", "", x, "other")]
    found = statistics(layers)
    assert [one.title for one in found] == ["layer 1 of net", "the output of net", "the output of other"]
    assert [one.dormant is None for one in found] == [False, True, True]
    assert found[0].dead is None  # what a SiLU gives below zero is no death


def test_numbers_that_are_not_finite_spoil_no_statistics() -> None:
    x = torch.tensor([[1.0, float("nan")], [float("inf"), 3.0]])
    (layer,) = statistics([heard("ReLU", RECTIFIED, x)])
    assert (layer.mean, layer.low, layer.high) == (2.0, 1.0, 3.0)
    assert statistics([heard("ReLU", RECTIFIED, x * float("nan"))])[0].mean == 0


def test_the_effective_rank_leaves_a_hundredth_out() -> None:
    basis = torch.linalg.qr(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)))[0]
    for sigma, expected in (
        ([1.0] * 8, 8),
        ([1.0, 1.0, 0, 0, 0, 0, 0, 0], 2),
        ([1.0, 1.0, 0.02, 0, 0, 0, 0, 0], 2),  # 2 of 2.02 are more than 99 %
        ([1.0, 1.0, 0.03, 0, 0, 0, 0, 0], 3),
    ):
        found = rank("net", basis * torch.tensor(sigma))
        assert (found.effective, found.most) == (expected, 8)
        assert found.spectrum[0] == 1
    assert rank("net", torch.zeros(9, 4)).effective == 0
    assert rank("net", torch.ones(3, 40)).most == 3  # no more than there are states
