"""CUDA graphs: a function of tensors that a card runs at once, and not operation by operation.

Small networks leave a card idle between one operation and the next: launching costs the host several microseconds,
computing costs the card fewer. CUDA records what a function launches, and then replays all of it with one call.

The same functions are what `torch.compile` is given where that is asked for, on a CPU as well.
"""

import contextlib
import contextvars
import functools
import logging
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import first_line

EAGER = 2  # calls before a graph is made: libraries choose and load their kernels then
SHAPES = 4  # of which there are graphs of one function; what comes in others is run operation by operation

Recordable = Callable[..., Sequence[Tensor]]
Shapes = tuple[tuple[torch.Size, torch.dtype], ...]

_compiling = contextvars.ContextVar("compiling", default=False)
_recordings: "weakref.WeakSet[_Recording]" = weakref.WeakSet()  # all there are


@contextlib.contextmanager
def compiled(asked: bool) -> Iterator[None]:
    """Context in which what an agent is made of is compiled, if that is ``asked``: see `compiling`.

    What `torch.compile` cannot do is done as ever, part by part, in this process from here on.
    """
    before = _compiling.set(asked)
    try:
        if asked:
            import torch._dynamo  # a second's work

            torch._dynamo.config.suppress_errors = True
            logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
        yield
    finally:
        _compiling.reset(before)


def compiling() -> bool:
    """Whether what is made now is to be compiled: a `Graph`'s function, and what it is made of."""
    return _compiling.get()


class Graph:
    """``function`` as it is on a CPU; on a card a graph of it, from the third call with inputs of one shape on.

    The function computes tensors from its inputs and from tensors that stay where they are (which it may change in
    place), with the same operations in every call. What it does in Python besides is done in the first calls only. Of
    inputs that change from call to call and are numbers of Python's, it is given tensors of no axis on a card, where a
    number would stay what it was in the call that was recorded; on a CPU the number.

    A function that cannot be recorded after all stays as it is, and a warning says so.

    Args:
        function: of tensors and numbers, to tensors.
        device: where they lie.
        possible: whether the function is such a one; else it stays as it is on a card, too.
    """

    def __init__(self, function: Recordable, device: torch.device, *, possible: bool = True) -> None:
        self.function = function
        self._device = device
        self._possible = possible and device.type == "cuda"
        self._compiled = possible and compiling()
        if self._compiled:
            self.function = torch.compile(function, dynamic=False)
        self._calls: dict[Shapes, int] = {}
        self._given: dict[Shapes, Sequence[Tensor]] = {}  # what the newest call without a graph gave
        self._made: dict[Shapes, _Recording] = {}

    def __call__(self, *inputs: Tensor | float) -> Sequence[Tensor]:
        """What the function gives. On a card these tensors hold it until the next call."""
        if not self._possible:
            return self.function(*(self._tensors(inputs) if self._compiled else inputs))
        key = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else _NUMBER for x in inputs)
        recording = self._made.get(key)
        if recording is not None:
            return recording.replay(inputs)
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        given = self._tensors(inputs)
        if calls <= EAGER or len(self._made) == SHAPES:
            with torch.inference_mode(self._compiled or torch.is_inference_mode_enabled()):  # as when it is recorded
                made = self.function(*given)
            if calls == EAGER:
                self._given[key] = made
            return made
        try:
            recording = _Recording(self.function, given, self._given.pop(key), self._device)
        except RuntimeError as e:
            self._possible = False
            name = getattr(self.function, "__qualname__", "a function")
            warnings.warn(f"{name} runs without a CUDA graph: {first_line(e)}", RuntimeWarning, stacklevel=2)
            return self.function(*given)
        self._made[key] = recording
        return recording.replay(inputs)

    def _tensors(self, inputs: Sequence[Tensor | float]) -> list[Tensor]:
        """Numbers as tensors of no axis; filling one is an operation of the device's, which nobody waits for."""
        return [
            x if isinstance(x, Tensor) else torch.full((), x, dtype=torch.float64, device=self._device) for x in inputs
        ]


_NUMBER = (torch.Size(()), torch.float64)


@functools.cache
def _stream(device: torch.device) -> Any:
    """Where graphs of a device are recorded: torch's own stream stays on the first card that anything is recorded on.
    One for all of them, since memory of a pool is given out again on its stream alone."""
    return torch.cuda.Stream(device)


class _Recording:
    """What a function launched for inputs of one shape.

    All of a device share one pool of memory, since one runs after the other. So what a graph reads and gives lies
    outside of it: in the pool another graph would write over it.

    Args:
        function: as for `Graph`, with numbers as tensors.
        inputs: like those that it is to be replayed with.
        outputs: like those that it gives.
        device: where they lie.
    """

    def __init__(
        self, function: Recordable, inputs: Sequence[Tensor], outputs: Sequence[Tensor], device: torch.device
    ) -> None:
        self.device = device
        with torch.cuda.device(device):
            self.inputs = [x.clone() for x in inputs]
            self.outputs = tuple(torch.empty_like(x) for x in outputs)
            self.graph: Any = torch.cuda.CUDAGraph()
            pool = next((other.graph.pool() for other in _recordings if other.device == device), None)
            how: Any = {"pool": pool, "stream": _stream(device), "capture_error_mode": "thread_local"}
            with torch.cuda.graph(self.graph, **how), torch.inference_mode():
                for made, kept in zip(function(*self.inputs), self.outputs, strict=True):
                    kept.copy_(made)
        _recordings.add(self)

    def replay(self, inputs: Sequence[Tensor | float]) -> Sequence[Tensor]:
        with torch.inference_mode():  # in which any tensor may be written to
            for x, kept in zip(inputs, self.inputs, strict=True):
                kept.copy_(x) if isinstance(x, Tensor) else kept.fill_(x)
        self.graph.replay()
        return self.outputs
