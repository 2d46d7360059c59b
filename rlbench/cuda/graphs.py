"""CUDA graphs: a function of tensors that a card runs at once, and not operation by operation.

Small networks leave a card idle between one operation and the next: launching costs the host several microseconds,
computing costs the card fewer. CUDA records what a function launches, and then replays all of it with one call.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EAGER = 2  # calls before a graph is made: libraries choose and load their kernels then


class Graph:
    """``function`` as it is on a CPU; on a card a graph of it, from the third call with inputs of one shape on.

    The function computes tensors from its inputs and from tensors that stay where they are (which it may change in
    place), with the same operations in every call. What it does in Python besides is done in the first calls only.

    Args:
        function: of tensors, to tensors.
        device: where they lie.
        possible: whether the function is such a one; else it stays as it is on a card, too.
    """

    def __init__(
        self, function: Callable[..., Sequence[Tensor]], device: torch.device, *, possible: bool = True
    ) -> None:
        self.function = function
        self._possible = possible and device.type == "cuda"
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: tuple[Tensor, ...] = ()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """What the function gives. On a card these tensors hold it until the next call."""
        if not self._possible:
            return self.function(*inputs)
        if self._graph is None or any(
            x.shape != kept.shape or x.dtype != kept.dtype for x, kept in zip(inputs, self._inputs, strict=True)
        ):
            self._calls += 1
            if self._graph is not None or self._calls <= EAGER:
                return self.function(*inputs)
            self._capture(inputs)
        for x, kept in zip(inputs, self._inputs, strict=True):
            kept.copy_(x)
        assert self._graph is not None
        self._graph.replay()
        return self._outputs

    def _capture(self, inputs: tuple[Tensor, ...]) -> None:
        """Record what the function launches; nothing of it is computed yet."""
        self._inputs = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs[0].device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._outputs = tuple(self.function(*self._inputs))
        self._graph = graph
