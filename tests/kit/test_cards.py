"""The stand-ins for a card find what they are there to find."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cards import Recorded, Waits, never_waiting
from torch import Tensor

CPU = torch.device("cpu")


class Counter:
    """Adds up inputs, times a number that changes, which lies in a tensor or does not."""

    def __init__(self) -> None:
        self.total, self.share, self.number = torch.zeros(3), torch.zeros(()), 0.0

    def baked(self, x: Tensor) -> tuple[Tensor]:
        self.total += x * self.number
        return (self.total[1:] * 2,)

    def safe(self, x: Tensor) -> tuple[Tensor]:
        self.total += x * self.share
        return (self.total[1:] * 2,)


@pytest.mark.parametrize(("which", "right"), [("baked", False), ("safe", True)])
def test_a_number_that_does_not_change_with_the_calls_is_found_out(which: str, right: bool) -> None:
    plain, other = Counter(), Counter()
    graph = Recorded(getattr(other, which), CPU)
    same = []
    for i in range(6):
        x = torch.full((3,), float(i + 1))
        for each in (plain, other):
            each.number = float(i)
            each.share.fill_(i)
        same.append(torch.equal(getattr(plain, which)(x)[0], graph(x)[0].clone()))
    assert graph.repeated == 3
    assert all(same) == right
    assert torch.equal(plain.total, other.total) == right


def test_what_a_graph_gives_is_its_own() -> None:
    graph = Recorded(lambda x: (x + 1,), CPU)
    given = [graph(torch.tensor([float(i)]))[0] for i in range(5)]
    assert [float(x) for x in given] == [1, 2, 5, 5, 5]


def test_a_copy_that_might_have_been_a_view_is_made_again() -> None:
    held = torch.zeros(2, 3, dtype=torch.float64)
    with torch.inference_mode():
        graph = Recorded(lambda: (held.float(), held.mT.reshape(-1), held.mT.contiguous()), CPU)
        for i in range(5):
            held.fill_(i)
            assert all((x == i).all() for x in graph())


ASKING: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: bool((x > 0).any()),
    "if": lambda x: 1 if (x > 0).any() else 0,
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "cpu": lambda x: x.cpu(),
    "mask": lambda x: x[x > 0],
    "write by a mask": lambda x: x.__setitem__(x > 0, 1.0),
    "nonzero": lambda x: x.nonzero(),
    "made of Python's": lambda x: x + torch.tensor([1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("how", ASKING)
def test_what_waits_is_found(how: str) -> None:
    x = torch.tensor([1.0, -2.0, 3.0])
    ASKING[how](x.clone())
    with pytest.raises(Waits), never_waiting():
        ASKING[how](x)
    never = Recorded(lambda x: (ASKING[how](x),), CPU)
    for _ in range(2):
        never(x.clone())
    with pytest.raises(Waits):
        never(x)


def test_what_does_not_wait_goes_on() -> None:
    x = torch.tensor([1.0, -2.0, 3.0])
    with never_waiting():
        x[torch.where(x > 0, 0, 1)].add_(1).masked_fill_(x < 0, 2.0)
        x[1:].fill_(3.0)
        x.index_select(0, x.argsort(stable=True))
    assert x.tolist() == [1.0, 3.0, 3.0]
