"""What networks begin with: orthogonal weights, gains of heads, activations by name."""

import math

import pytest
import torch
from conftest import make_spec
from torch import Tensor

from rlbench import nn
from rlbench.rng import Streams

SEEDS = [3, 8, 5]


@pytest.mark.parametrize("shape", [(4, 4), (33, 7), (7, 33), (3, 1), (1, 5)])
def test_weights_are_orthogonal_times_the_gain(shape: tuple[int, int]) -> None:
    layer = nn.Linear(*shape, Streams(SEEDS)["init"])
    nn.orthogonal_(layer, Streams(SEEDS)["more"], head_gain=3.0)  # alone it is the head
    assert not layer.bias.any()
    for weight in layer.matrix.detach():
        few = weight if shape[0] <= shape[1] else weight.T
        torch.testing.assert_close(few @ few.T, 9 * torch.eye(min(shape)), rtol=1e-5, atol=1e-5)
    assert len({tuple(weight.flatten().tolist()) for weight in layer.matrix}) == 3 or max(shape) < 2


def test_the_law_is_torchs() -> None:
    """Every orthogonal matrix is as likely: entries have mean 0 and variance 1/n, and no sign is preferred."""
    layer = nn.Linear(6, 6, Streams(range(2000))["init"])
    nn.orthogonal_(layer, Streams(range(2000))["more"])
    own = layer.matrix.detach()
    oracle = torch.stack(
        [torch.nn.init.orthogonal_(torch.empty(6, 6), generator=torch.Generator().manual_seed(s)) for s in range(2000)]
    )
    for x in (own, oracle):
        assert x.mean(0).abs().max() < 0.04
        torch.testing.assert_close(x.var(0), torch.full((6, 6), 1 / 6), rtol=0.15, atol=0)


def test_hidden_layers_have_the_root_of_two_and_the_head_its_own() -> None:
    spec = make_spec((5,), num_seeds=3)
    network = nn.network(spec, (9, 7), 2, Streams(SEEDS)["init"], activation="tanh", orthogonal=True, head_gain=0.01)
    linears = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    for layer, gain in zip(linears, (math.sqrt(2), math.sqrt(2), 0.01), strict=True):
        torch.testing.assert_close(torch.linalg.matrix_norm(layer.matrix, 2).detach(), torch.full((3,), gain))
        assert not layer.bias.any()


def test_convolutions_are_orthogonal_too() -> None:
    spec = make_spec((10, 10, 4), torch.uint8, num_seeds=3)
    network = nn.network(spec, (7,), 2, Streams(SEEDS)["init"], orthogonal=True)
    conv = next(layer for layer in network.layers if isinstance(layer, nn.Conv2d))
    weight = conv.weight[1].detach()  # (36, 16)
    torch.testing.assert_close(weight.T @ weight, 2 * torch.eye(16), rtol=1e-5, atol=1e-5)


def test_a_gain_alone_multiplies_the_head_of_the_same_network() -> None:
    spec = make_spec((5,), num_seeds=3)
    plain, small = (nn.network(spec, (9,), 2, Streams(SEEDS)["init"], head_gain=gain) for gain in (1.0, 0.125))
    x = Streams(SEEDS)["x"].normal(4, 5)
    assert torch.equal(small(x), plain(x) * 0.125)


def test_an_activation_goes_wherever_there_is_one() -> None:
    for name, kind in (("relu", nn.ReLU), ("tanh", nn.Tanh), ("silu", nn.SiLU)):
        network = nn.network(make_spec((10, 10, 4), torch.uint8), (5, 5), 2, Streams([0])["init"], activation=name)
        assert sum(isinstance(layer, kind) for layer in network.layers) == 3  # of the convolution, and of two more


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
@pytest.mark.parametrize("hidden", [1, 17, 33])
def test_width_of_networks_with_all_options(activation: nn.Activation, hidden: int) -> None:
    def used(seeds: list[int]) -> list[Tensor]:
        spec = make_spec((5,), num_seeds=len(seeds))
        options = {"activation": activation, "orthogonal": True, "head_gain": 0.1, "layer_norm": True}
        network = nn.network(spec, (hidden, hidden), 3, Streams(seeds)["init"], **options)
        flat = nn.Flat(network)
        network.requires_grad_(False)
        x = Streams(seeds)["x"].normal(7, 5)
        out, pull = network.vjp(x)
        pull(out * 2 + 1, flat.grads)
        return [flat.data, out, flat.grad]

    together = used(SEEDS)
    for s, seed in enumerate(SEEDS):
        assert all(torch.equal(one[0], other[s]) for one, other in zip(used([seed]), together, strict=True))
