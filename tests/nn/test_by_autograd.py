"""The way back by autograd: the same as the one by hand, wherever it is called, and nothing is left behind."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from conftest import make_spec, random_transitions
from rlbench.agents import dqn
from rlbench.agents.dqn import DQN, DQNConfig
from torch import Tensor

from rlbench import nn
from rlbench.cuda.graphs import Graph
from rlbench.rng import Stream, Streams
from rlbench.types import Spec

MODES: dict[str, Any] = {"plain": contextlib.nullcontext, "no grad": torch.no_grad, "inference": torch.inference_mode}


class Wrapped(torch.nn.Module):
    """A network without a way back of its own."""

    def __init__(self, inner: nn.Network) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Doubled(nn.Layer):
    """A layer that has nothing but ``forward``."""

    def __init__(self, seeds: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((seeds, 1, 1), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def layers(init: Stream) -> list[nn.Layer]:
    return nn.mlp(3, [5, 4], 2, init)


@pytest.mark.parametrize(
    ("mode", "needed"),
    [("plain", False), ("no grad", True), ("no grad", False), ("inference", True), ("inference", False)],
)
def test_a_module_without_a_way_back_gets_the_same_gradients(mode: str, needed: bool) -> None:
    inside: AbstractContextManager[Any] = MODES[mode]()
    network = nn.Network(layers(Streams([4, 9])["init"])).requires_grad_(needed)
    wrapped = Wrapped(network)
    flat = nn.Flat(wrapped)
    with inside:
        x = Streams([4, 9])["x"].normal(18).view(2, 6, 3) * 1.0  # made in this mode, as batches are
        upstream = Streams([4, 9])["up"].normal(12).view(2, 6, 2) * 1.0
        by_hand, pull = network.vjp(x)
        pull(upstream, flat.grads)
        expected = flat.grad.clone()
        flat.grad.zero_()
        y, pull = nn.vjp(wrapped, x)
        pull(upstream, flat.grads)
        assert not y.requires_grad
        torch.testing.assert_close(y, by_hand)
        torch.testing.assert_close(flat.grad, expected)
        assert expected.any()
    assert [p.requires_grad for p in wrapped.parameters()] == [needed] * 6


@pytest.mark.parametrize("mode", MODES)
def test_a_layer_with_nothing_but_forward_stands_among_others(mode: str) -> None:
    first, second, third, *rest = layers(Streams([4, 9])["init"])
    network = nn.Network([first, Doubled(2), second, Doubled(2), third, *rest])
    flat = nn.Flat(network)
    x, upstream = Streams([4, 9])["x"].normal(18).view(2, 6, 3), torch.ones(2, 6, 2)
    expected = flat.gradient(network(x).sum())
    flat.grad.zero_()
    network.requires_grad_(False)
    with MODES[mode]():
        y, pull = network.vjp(x * 1.0)
        pull(upstream, flat.grads)
        torch.testing.assert_close(y, network(x))
    torch.testing.assert_close(flat.grad, expected)


def test_a_parameter_that_is_not_used_has_no_gradient() -> None:
    wrapped = Wrapped(nn.Network(layers(Streams([4])["init"])))
    wrapped.spare = torch.nn.Parameter(torch.ones(1, 3))
    flat = nn.Flat(wrapped)
    flat.grad.fill_(7.0)
    _, pull = nn.vjp(wrapped, torch.ones(1, 2, 3))
    pull(torch.ones(1, 2, 2), flat.grads)
    assert not flat.grads[list(wrapped.parameters()).index(wrapped.spare)].any()


class Bare(DQN):
    """DQN, whose network is differentiated by autograd."""

    def make_network(self, spec: Spec, num_actions: int, init: Stream) -> torch.nn.Module:
        network = super().make_network(spec, num_actions, init)
        assert isinstance(network, nn.Network)
        return Wrapped(network)


def learned(kind: type[DQN], seeds: list[int]) -> DQN:
    spec = make_spec(num_seeds=len(seeds), num_envs=2)
    agent = kind(spec, DQNConfig(hidden=(9, 7), batch_size=11, learning_starts=20), Streams(seeds))
    for transition in random_transitions(spec, 60):
        agent.act(transition.obs, explore=True)
        agent.observe(transition)
        agent.update()
    assert agent.updates > 30
    return agent


def test_dqn_learns_the_same_by_autograd() -> None:
    ours, theirs = learned(DQN, [3, 8]), learned(Bare, [3, 8])
    torch.testing.assert_close(theirs.online.data, ours.online.data, rtol=1e-4, atol=1e-5)
    assert not any(p.requires_grad for p in theirs.q_net.parameters())
    assert not theirs.explain(torch.zeros(2, 1, 4))["q_values"].requires_grad


def test_width_by_autograd() -> None:
    together, alone = learned(Bare, [3, 8, 5]), learned(Bare, [3])
    assert torch.equal(together.online.data[:1], alone.online.data)


def test_what_goes_through_autograd_is_not_recorded_for_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = []

    def graph(function: Any, device: torch.device, *, possible: bool = True) -> Any:
        recorded.append(possible)
        return function

    monkeypatch.setattr(dqn, "Graph", graph)
    for kind, config in ((DQN, DQNConfig()), (DQN, DQNConfig(memory="gru")), (Bare, DQNConfig())):
        kind(make_spec(), config, Streams([0]))
    assert recorded == [True] * 4 + [False] * 2
    init = Streams([0])["init"]
    assert nn.Network(layers(init)).by_hand
    assert nn.network(make_spec(num_obs=4), (3,), 2, init).by_hand  # indices become vectors before the first weights
    assert not nn.Network([*layers(init), Doubled(1)]).by_hand
    assert not Graph(len, torch.device("cuda"), possible=False)._possible
    assert Graph(len, torch.device("cuda"))._possible


class Summed(nn.Layer):
    """A layer without parameters, whose way back gives every number below the same one, in the same memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(-1, keepdim=True)


@pytest.mark.parametrize("bend", [nn.ReLU, nn.Tanh])
def test_what_comes_down_from_a_sum_is_not_written_over(bend: type[nn.Layer]) -> None:
    init = Streams([4, 9])["init"]
    network = nn.Network([nn.Linear(3, 5, init), bend(), Summed(), nn.Linear(1, 2, init)])
    flat = nn.Flat(network)
    x, upstream = Streams([4, 9])["x"].normal(6, 3), Streams([4, 9])["up"].normal(6, 2)
    expected = flat.gradient((network(x) * upstream).sum())
    with torch.no_grad():
        _, pull = network.vjp(x)
        pull(upstream, flat.grads)
    torch.testing.assert_close(flat.grad, expected)
