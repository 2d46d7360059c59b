"""Layers are heard however they are called, and are as they were afterwards."""

from collections.abc import Callable

import pytest
import torch
from conftest import make_spec
from torch import Tensor
from torch.nn import functional as F

from rlbench import nn
from rlbench.inspection.capture import listening
from rlbench.inspection.networks import AgentNetwork, networks
from rlbench.rng import Stream

INIT = Stream([3], "init")
ROWS = 6


def hear(module: torch.nn.Module, call: Callable[[], object]) -> list[tuple[str, str, tuple[int, ...]]]:
    with listening([AgentNetwork("net", module)]) as heard, torch.no_grad(), heard.asked(ROWS):
        call()
    return [(one.network, one.kind, tuple(one.output.shape)) for one in heard.layers()]


@pytest.mark.parametrize("by_forward", [False, True])
def test_stacked_layers_are_heard_before_another_works_in_place(by_forward: bool) -> None:
    net, x = nn.network(make_spec(), (8,), 2, INIT), torch.randn(1, ROWS, 4)
    expected = net.layers[0](x)
    with listening([AgentNetwork("net", net)]) as heard, torch.no_grad(), heard.asked(ROWS):
        (net.forward if by_forward else net)(x)
    first, second, third = heard.layers()
    assert [one.kind for one in (first, second, third)] == ["Linear", "ReLU", "Linear"]
    torch.testing.assert_close(first.output, expected[0])
    assert (first.output < 0).any()  # a ReLU that works in place has not touched it
    torch.testing.assert_close(second.output, expected[0].relu())
    torch.testing.assert_close(heard.features["net"], expected[0].relu())


class Plain(torch.nn.Module):
    """One seed's, with activations that are functions and no layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = torch.nn.Linear(4, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(torch.tanh(self.second(F.relu(self.first(x)))))


def test_activations_that_are_functions_are_heard() -> None:
    net = Plain()
    assert hear(net, lambda: net(torch.randn(ROWS, 4))) == [
        ("net", "Linear", (ROWS, 8)),
        ("net", "relu", (ROWS, 8)),
        ("net", "Linear", (ROWS, 8)),
        ("net", "tanh", (ROWS, 8)),
        ("net", "Linear", (ROWS, 2)),
    ]


def test_a_second_call_does_not_count() -> None:
    net = Plain()
    once = hear(net, lambda: net(torch.randn(ROWS, 4)))
    assert hear(net, lambda: (net(torch.randn(ROWS, 4)), net(torch.randn(ROWS, 4)))) == once


def test_parts_that_are_asked_one_after_the_other_are_put_together() -> None:
    net, x = Plain(), torch.randn(2 * ROWS, 4)
    with listening([AgentNetwork("net", net)]) as heard, torch.no_grad():
        for part in x.split(ROWS):
            with heard.asked(ROWS):
                net(part)
    torch.testing.assert_close(heard.layers()[-1].output, net(x))


def test_networks_that_are_rows_of_one_are_told_apart() -> None:
    net = nn.side_by_side([nn.network(make_spec(), (8,), 1, INIT) for _ in range(2)])
    found = hear(net, lambda: net(torch.randn(2, ROWS, 4)))
    assert {name for name, _, _ in found} == {"net 1 of 2", "net 2 of 2"}
    assert len(found) == 6


def test_modules_are_as_they_were_afterwards() -> None:
    net = Plain()
    before = [dict(vars(module)) for module in net.modules()]
    hear(net, lambda: net(torch.randn(ROWS, 4)))
    assert [dict(vars(module)) for module in net.modules()] == before

    def fails() -> None:
        net(torch.randn(ROWS, 5))

    with pytest.raises(RuntimeError):
        hear(net, fails)
    assert [dict(vars(module)) for module in net.modules()] == before


class Helper:
    def __init__(self) -> None:
        self.nets = {"a": torch.nn.Linear(2, 3), "b": [torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)]}


class Holder:
    def __init__(self) -> None:
        self.policy, self.value = torch.nn.Linear(4, 2), torch.nn.Linear(4, 1)
        self.both = torch.nn.ModuleList([self.policy, self.value])
        self.helper = Helper()
        self.again, self.itself = self.policy, self
        self.number, self.table = 3, torch.zeros(5, 5)


def test_networks_are_found_wherever_they_are_none_twice() -> None:
    found = networks(Holder())
    assert [(one.name, one.parameters) for one in found] == [
        ("policy", 10), ("value", 5), ("helper.nets.a", 9), ("helper.nets.b.0", 6), ("helper.nets.b.1", 6),
    ]  # fmt: skip
