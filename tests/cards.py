"""What a card does, done on the CPU, for code that is to run on one: a graph that repeats what was recorded, and a
guard that finds what would wait.

    monkeypatch.setattr(dqn, "Graph", Recorded)        # of the module that makes graphs
    with never_waiting():
        agent.update()
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rlbench.cuda.graphs import EAGER

aten = torch.ops.aten
#: Operations whose result has to be known to the host before it can go on.
WAITS = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.nonzero_numpy.default, aten.masked_select.default,
    aten.equal.default, aten.is_nonzero.default, aten.item.default, aten._unique2.default, aten.unique_dim.default,
    aten.unique_consecutive.default, aten.bincount.default, aten.repeat_interleave.Tensor, aten.allclose.default,
}  # fmt: skip
#: Likewise what is asked of a tensor in Python, some of which is no operation on a CPU.
ASKS = {
    "item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__contains__",
    "nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount", "equal", "allclose",
    "tensor", "as_tensor", "asarray", "__array__", "__format__", "__repr__", "is_nonzero",
}  # fmt: skip


class Waits(AssertionError):
    """The host would stand still until the card has come this far."""


def _masks(args: Any) -> bool:
    """Whether a boolean tensor chooses elements: how many is known only when it is."""
    return any(isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8) for x in tree_leaves(args))


class _Asked(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ASKS:
            raise Waits(name)
        if name in ("__getitem__", "__setitem__") and _masks(args[1]):
            raise Waits(f"{name} by a mask")
        if name == "one_hot":  # which looks at the indices on a CPU, and not on a card
            index, count = args
            return (index.unsqueeze(-1) == torch.arange(count)).long()
        return func(*args, **(kwargs or {}))


class _Operated(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        _no_wait(func, args)
        return func(*args, **(kwargs or {}))


def _no_wait(func: Any, args: Any) -> None:
    if func in WAITS:
        raise Waits(str(func))
    if func.overloadpacket in (aten.index, aten.index_put, aten.index_put_) and _masks(args[1]):
        raise Waits(f"{func} by a mask")


@contextlib.contextmanager
def never_waiting() -> Iterator[None]:
    """Context in which whatever would wait for a card raises `Waits`. What copies between host and card is not seen: on
    a CPU there is no difference between them."""
    with _Asked(), _Operated():
        yield


def _places(nested: Any) -> set[int]:
    """The memory of all tensors. What an operation says of itself is not enough: `reshape` may copy."""
    return {x.untyped_storage().data_ptr() for x in tree_leaves(nested) if isinstance(x, Tensor)}


class _Recorder(TorchDispatchMode):
    """Writes down the operations that are done, and what tensors they were done with."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        _no_wait(func, args)
        made = func(*args, **(kwargs or {}))
        writes = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
        if writes or not _places(made) <= _places((args, kwargs)):  # else a view, which stays one of the same memory
            self.steps.append((func, args, kwargs or {}, None if writes else made))
        return made


class Recorded:
    """Stands for `rlbench.cuda.graphs.Graph`: from the third call on, the operations of that call are done again, with
    the very tensors and numbers of that time, and no line of Python is run.

    So a number that changes from call to call and is no tensor is found out: it stays what it was. As of a graph, what
    it gives is overwritten by the next call.
    """

    made: "list[Recorded]" = []  # all there are, for tests to count what was recorded

    def __init__(
        self, function: Callable[..., Sequence[Tensor]], device: torch.device, *, possible: bool = True, **_: Any
    ) -> None:
        self.function, self.possible = function, possible
        self.calls = self.repeated = 0
        self.recorder: _Recorder | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.outputs: tuple[Tensor, ...] = ()
        self.made.append(self)

    def __call__(self, *given: Tensor | float) -> Sequence[Tensor]:
        if not self.possible:
            return self.function(*given)
        inputs = [x if isinstance(x, Tensor) else torch.full((), x, dtype=torch.float64) for x in given]
        if self.recorder is None:
            self.calls += 1
            if self.calls <= EAGER:
                return self.function(*inputs)
            self.inputs = tuple(x.clone() for x in inputs)
            self.recorder = _Recorder()
            with _Asked(), self.recorder:
                self.outputs = tuple(self.function(*self.inputs))
            return self.outputs  # recording has computed it, which it does not on a card
        if any(x.shape != kept.shape or x.dtype != kept.dtype for x, kept in zip(inputs, self.inputs, strict=True)):
            return self.function(*inputs)
        self.repeated += 1
        with torch.inference_mode():
            for x, kept in zip(inputs, self.inputs, strict=True):
                kept.copy_(x)
            for func, args, kwargs, made in self.recorder.steps:
                again = func(*args, **kwargs)
                for new, old in zip(tree_leaves(again), tree_leaves(made), strict=True) if made is not None else ():
                    if isinstance(old, Tensor):
                        old.copy_(new)
        return self.outputs
