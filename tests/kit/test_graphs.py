"""What is run as a graph: which calls of a function are recorded, and what becomes of those that cannot be."""

import contextlib
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rlbench.cuda import graphs
from rlbench.cuda.graphs import EAGER, SHAPES, Graph

CARD = torch.device("cuda")


class Replayed:
    """Stands for what a card recorded: runs the function on tensors of its own, and tells of it."""

    made: "list[Replayed]" = []

    def __init__(self, function: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor], device: Any) -> None:
        self.function = function
        self.inputs, self.outputs = [x.clone() for x in inputs], [torch.empty_like(x) for x in outputs]
        self.replays = 0
        self.made.append(self)

    def replay(self, inputs: Sequence[Any]) -> Sequence[Tensor]:
        self.replays += 1
        for x, kept in zip(inputs, self.inputs, strict=True):
            kept.copy_(x) if isinstance(x, Tensor) else kept.fill_(x)
        for made, kept in zip(self.function(*self.inputs), self.outputs, strict=True):
            kept.copy_(made)
        return self.outputs


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[Replayed]:
    """A card that records; tensors stay where they are."""
    monkeypatch.setattr(graphs, "_Recording", Replayed)
    full = torch.full
    monkeypatch.setattr(torch, "full", lambda *args, device=None, **how: full(*args, **how))
    Replayed.made = []
    return Replayed.made


def test_numbers_are_tensors_on_a_card_and_numbers_on_a_cpu(card: list[Replayed]) -> None:
    kinds = []

    def scaled(x: Tensor, by: Any) -> tuple[Tensor]:
        kinds.append(type(by))
        return (x * by,)

    there, here = Graph(scaled, CARD), Graph(scaled, torch.device("cpu"))
    for i in range(6):
        x = torch.arange(3.0) + i
        assert torch.equal(there(x, 0.5 * i)[0], here(x, 0.5 * i)[0])
    assert set(kinds) == {Tensor, float}
    assert kinds.count(float) == 6
    assert [r.replays for r in card] == [6 - EAGER]


def test_every_shape_has_a_graph_until_there_are_too_many(card: list[Replayed]) -> None:
    graph = Graph(lambda x: (x + 1,), CARD)
    for _ in range(5):
        for n in range(1, SHAPES + 3):
            assert torch.equal(graph(torch.ones(n))[0], torch.full((n,), 2.0))
    assert [len(r.inputs[0]) for r in card] == list(range(1, SHAPES + 1))
    assert {r.replays for r in card} == {5 - EAGER}
    graph(torch.ones(1, dtype=torch.float64))
    assert len(card) == SHAPES


def test_what_cannot_be_recorded_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> Any:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(graphs, "_Recording", refused)
    graph = Graph(lambda x: (x * 2,), CARD)
    x = torch.ones(2)
    for _ in range(EAGER):
        graph(x)
    with pytest.warns(RuntimeWarning, match="runs without a CUDA graph: .*operation not permitted") as told:
        assert graph(x)[0].tolist() == [2, 2]
    assert len(told) == 1
    for _ in range(3):  # and no other warning
        assert graph(x)[0].tolist() == [2, 2]


def test_every_card_records_on_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives its graphs one pool of memory."""
    told: list[Any] = []

    class Made:
        def pool(self) -> int:
            return id(self)

    def records(graph: Any, **how: Any) -> Any:
        told.append((graph, how["pool"], how["stream"]))
        return contextlib.nullcontext()

    for name, stand_in in (("graph", records), ("CUDAGraph", Made), ("Stream", lambda device: f"of {device}")):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    graphs._stream.cache_clear()
    monkeypatch.setattr(graphs, "_recordings", weakref.WeakSet())
    x = torch.ones(2)
    held = [graphs._Recording(lambda x: (x * 2,), [x], [x], torch.device("cuda", i)) for i in (0, 1, 0, 1)]
    graphs._stream.cache_clear()
    first, second = held[0].graph.pool(), held[1].graph.pool()
    assert [pool for _, pool, _ in told] == [None, None, first, second]
    assert [stream for _, _, stream in told] == ["of cuda:0", "of cuda:1"] * 2


def test_what_may_not_be_recorded_is_not(card: list[Replayed]) -> None:
    graph = Graph(lambda x: (x * 2,), CARD, possible=False)
    for _ in range(4):
        graph(torch.ones(2))
    assert not card


def test_what_is_made_to_be_compiled_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions of tensors alone, while that is asked for; numbers come to them as tensors."""
    asked: list[Any] = []

    def compile(function: Any, *, dynamic: bool) -> Any:
        asked.append((function, dynamic))
        return lambda *inputs: [x * 2 for x in function(*inputs)]

    def scaled(x: Tensor, by: Any) -> tuple[Tensor]:
        assert isinstance(by, Tensor)
        return (x * by,)

    monkeypatch.setattr(torch, "compile", compile)
    cpu = torch.device("cpu")
    with graphs.compiled(True):
        graph, other = Graph(scaled, cpu), Graph(scaled, cpu, possible=False)
        with graphs.compiled(False):
            plain = Graph(lambda x: (x,), cpu)
    after = Graph(lambda x: (x,), cpu)
    assert asked == [(scaled, False)]
    assert graph(torch.ones(2), 3.0)[0].tolist() == [6.0, 6.0]
    assert [each(torch.ones(1))[0].item() for each in (plain, after)] == [1.0, 1.0]
    with pytest.raises(AssertionError):
        other(torch.ones(1), 2.0)
    assert not graphs.compiling()
