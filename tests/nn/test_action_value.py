"""Networks of observation and action, networks side by side, and the way back to inputs: autograd as the oracle."""

from typing import Any

import pytest
import torch
from conftest import make_spec
from torch import Tensor

from rlbench import nn
from rlbench.rng import Stream, Streams
from rlbench.types import Spec

SPECS: dict[str, Spec] = {
    "vector": make_spec((3,), num_actions=None, action_shape=(2,)),
    "matrix": make_spec((2, 3), num_actions=None, action_shape=(2, 2)),
    "one number": make_spec((1,), num_actions=None, action_shape=()),
    "index": make_spec(num_obs=5, num_actions=None, action_shape=(1,)),
    "image": make_spec((6, 7, 2), torch.uint8, num_actions=None, action_shape=(3,)),
}


def observed(spec: Spec, seeds: list[int], n: int) -> Tensor:
    stream = Streams(seeds)["obs"]
    if spec.num_obs is not None:
        return stream.integers(n, spec.num_obs)
    if spec.obs_dtype == torch.uint8:
        numbers = stream.integers(n * spec.obs_shape[0] * spec.obs_shape[1] * spec.obs_shape[2], 256)
        return numbers.to(torch.uint8).view(-1, n, *spec.obs_shape)
    return stream.normal(n, *spec.obs_shape)


def moved(module: Any) -> Any:
    """``module`` with other weights: LayerNorm starts at 1 and 0, which would hide a lot."""
    for i, parameter in enumerate(module.parameters()):
        parameter.data += 0.1 * torch.cos(torch.arange(parameter.numel()) + i).view_as(parameter)
    return module


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_way_back_to_parameters_and_action_is_autograds(name: str, layer_norm: bool) -> None:
    spec, seeds = SPECS[name], [4, 9]
    network = moved(nn.ActionValue(spec, (8, 6), Streams(seeds)["init"], layer_norm=layer_norm))
    flat, obs = nn.Flat(network), observed(spec, seeds, 5)
    action = Streams(seeds)["action"].normal(5, *spec.action_shape).requires_grad_()
    upstream = Streams(seeds)["up"].normal(5)
    value = network(obs, action)
    assert value.shape == (2, 5)
    expected = torch.autograd.grad((value * upstream).sum(), [action, *network.parameters()])
    with torch.no_grad():
        by_hand, kept = network.keep(obs, action)
        network.pull(kept, upstream, flat.grads)
        at_action = network.at_action(kept, upstream)
    assert network.by_hand
    torch.testing.assert_close(by_hand, value.detach())
    torch.testing.assert_close(at_action, expected[0].reshape(2, 5, -1), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(flat.grads, expected[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("n", [1, 2, 7, 33])
def test_width_of_two_critics(name: str, n: int) -> None:
    spec = SPECS[name]

    def used(seeds: list[int]) -> list[Tensor]:
        init = Streams(seeds)["init"]
        critics = nn.side_by_side([nn.ActionValue(spec, (17, 9), init, layer_norm=True) for _ in range(2)])
        obs, action = observed(spec, seeds, n), Streams(seeds)["action"].normal(n, *spec.action_shape)
        flat = nn.Flat(critics)
        with torch.no_grad():
            value, kept = critics.keep(obs.repeat_interleave(2, 0), action.repeat_interleave(2, 0))
            critics.pull(kept, torch.cos(value), flat.grads)
            found = [value, critics.at_action(kept, torch.sin(value)), flat.grad, flat.data]
        return [x.unflatten(0, (len(seeds), 2)) for x in found]

    together = used([3, 8, 5])
    for s, seed in enumerate([3, 8, 5]):
        for i, (one, other) in enumerate(zip(used([seed]), together, strict=True)):
            assert torch.equal(one[0], other[s]), f"result {i}"


def test_networks_side_by_side_are_each_what_it_was_alone() -> None:
    def three() -> list[nn.Network]:
        init = Streams([3, 8])["init"]
        return [nn.Network(nn.mlp(4, [6, 5], 2, init, layer_norm=True)) for _ in range(3)]

    alone, together = three(), nn.side_by_side(three())
    x = Streams([3, 8])["x"].normal(7, 4)
    out = together(x.repeat_interleave(3, 0)).unflatten(0, (2, 3))  # (S, n, N, 2)
    assert not torch.equal(out[:, 0], out[:, 1])
    for i, network in enumerate(alone):
        torch.testing.assert_close(out[:, i], network(x))


class Doubled(nn.Layer):
    """A layer that has nothing but ``forward``."""

    def __init__(self, seeds: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((seeds, 1, 1), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def layers(init: Stream) -> list[nn.Layer]:
    smooth: list[nn.Layer] = [nn.Linear(3, 6, init), nn.SiLU(), nn.LayerNorm(6, init), nn.Tanh(), Doubled(2)]
    return [*smooth, nn.Linear(6, 40, init), nn.ReLU(), nn.Linear(40, 2, init)]


def planes(init: Stream) -> list[nn.Layer]:
    return [nn.Conv2d(2, 3, 3, 2, init), nn.Tanh(), nn.Conv2d(3, 4, 2, 1, init), nn.Flatten(), nn.Linear(16, 2, init)]


@pytest.mark.parametrize(("build", "shape"), [(layers, (3,)), (planes, (2, 8, 7))])
def test_the_gradient_at_the_input_with_and_without_those_of_parameters(build: Any, shape: tuple[int, ...]) -> None:
    network = moved(nn.Network(build(Streams([4, 9])["init"])))
    flat = nn.Flat(network)
    x = Streams([4, 9])["x"].normal(5, *shape).requires_grad_()
    y = network(x)
    upstream = Streams([4, 9])["up"].normal(*y.shape[1:])
    expected = torch.autograd.grad((y * upstream).sum(), [x, *network.parameters()])
    with torch.no_grad():
        _, way = network.keep(x.detach())
        alone = network.below(way, upstream)
        assert not flat.grad.any()
        _, way = network.keep(x.detach())
        beside = network.pull(way, upstream, flat.grads, True)
    for found in (alone, beside):
        torch.testing.assert_close(found, expected[0], rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(flat.grads, expected[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_network_without_parameters_passes_on() -> None:
    network = nn.Network([nn.Flatten()])
    y, pull = network.vjp(torch.ones(2, 3, 2, 2))
    pull(torch.ones_like(y), [])
    assert y.shape == (2, 3, 4)
    assert nn.Network([]).by_hand
