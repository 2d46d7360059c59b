"""A law as straight-line code: each operation on plain numbers, one after the other, as it is done for one copy.

A law in torch is some dozens, or hundreds, of operations on small tensors, and what they cost is that each is begun.
Here it is watched for one step of one copy, and written down number by number: to be done in Python where one copy is
stepped, and, by `card`, to be one kernel. The operations are the same in the same order, and so the bits are.
"""

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

F64, F32, INT, BOOL = torch.float64, torch.float32, torch.int64, torch.bool
_MOVES = {
    "slice", "select", "unbind", "permute", "transpose", "t", "expand", "view", "_unsafe_view", "unsqueeze", "alias",
    "detach", "clone", "lift_fresh",
}  # fmt: skip
_COMPARE = {"eq": "==", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ARITHMETIC = {"add", "sub", "rsub", "mul", "div", "neg", "abs", "sign", "round", "floor", "trunc", "clamp"}


class Quantity(NamedTuple):
    """One number of a step: given, constant, or what an operation makes of others."""

    dtype: torch.dtype
    op: str  # "input", "constant", or the operation's name
    of: tuple[int, ...] = ()  # the numbers that it is made of
    value: Any = None  # of a constant; the place of an input


class Straight(NamedTuple):
    """A law for one copy: all its numbers in order, and which of them come out."""

    numbers: list[Quantity]
    outputs: list[int]


def watched(function: Callable[..., Sequence[Tensor]], *inputs: Tensor) -> Straight:
    """What ``function`` does to ``inputs``, whose numbers are given anew each time; all other tensors are constants.

    Raises:
        NotImplementedError: an operation that has no form here.
    """
    watch = _Watch()
    place = itertools.count()
    for tensor in inputs:
        fresh = [watch.number(tensor.dtype, "input", (), next(place)) for _ in range(tensor.numel())]
        watch.keep(tensor, torch.tensor(fresh).reshape(tensor.shape))
    with watch:
        results = function(*inputs)
    outputs = [i for tensor in results for i in watch.ids(tensor).flatten().tolist()]
    return _needed(Straight(watch.numbers, outputs), sum(tensor.numel() for tensor in inputs))


def _needed(whole: Straight, inputs: int) -> Straight:
    """Without numbers that nothing comes of; inputs stay."""
    used = set(whole.outputs) | set(range(inputs))
    for i in reversed(range(len(whole.numbers))):
        if i in used:
            used.update(whole.numbers[i].of)
    place = {old: new for new, old in enumerate(sorted(used))}
    kept = [whole.numbers[old] for old in place]
    return Straight([n._replace(of=tuple(place[i] for i in n.of)) for n in kept], [place[i] for i in whole.outputs])


class _Watch(TorchDispatchMode):
    """Follows each number through a law: of every tensor, which numbers stand where."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers: list[Quantity] = []
        self._known: dict[Quantity, int] = {}
        self._ids: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # a tensor that is gone could give its id to another

    def number(self, dtype: torch.dtype, op: str, of: tuple[int, ...] = (), value: Any = None) -> int:
        one = Quantity(dtype, op, of, repr(value) if op == "constant" else value)  # -0.0 is not 0.0
        if one not in self._known:
            self._known[one] = len(self.numbers)
            self.numbers.append(one._replace(value=value))
        return self._known[one]

    def keep(self, tensor: Tensor, ids: Tensor) -> None:
        self._ids[id(tensor)] = ids
        self._kept.append(tensor)

    def ids(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self._ids:
            fresh = [self.number(tensor.dtype, "constant", (), value) for value in tensor.flatten().tolist()]
            self.keep(tensor, torch.tensor(fresh, dtype=torch.int64).reshape(tensor.shape))
        return self._ids[id(tensor)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in _MOVES:
            moved = func(*(self.ids(a) if isinstance(a, Tensor) else a for a in args))
            pairs = zip(result, moved, strict=True) if isinstance(moved, (list, tuple)) else [(result, moved)]
            for tensor, ids in pairs:
                self.keep(tensor, ids)
        elif name in ("stack", "cat"):
            self.keep(result, func([self.ids(a) for a in args[0]], *args[1:]))
        elif name == "any":
            columns = self.ids(args[0]).movedim(args[1], 0)
            found = columns[0]
            for other in columns[1:]:
                found = self._each("bitwise_or", BOOL, (found, other), BOOL)
            self.keep(result, found)
        elif name == "index_select":
            table, dim, index = args
            choices = [
                self.ids(table).select(dim, k).unsqueeze(dim).expand(result.shape) for k in range(table.shape[dim])
            ]
            shape = [1] * result.dim()
            shape[dim] = -1
            self.keep(result, self._each("pick", result.dtype, (self.ids(index).reshape(shape), *choices), None))
        elif name == "_to_copy":
            self.keep(result, self._each("cast", result.dtype, (self.ids(args[0]),), None))
        elif name == "where":
            condition, *values = args
            chosen = [self._cast(self._of(v, result.dtype), result.dtype) for v in values]
            self.keep(result, self._each("where", result.dtype, (self.ids(condition), *chosen), None))
        elif name in _COMPARE:
            within = torch.result_type(*args)
            self.keep(result, self._each(name, BOOL, tuple(self._of(a, within) for a in args), within))
        elif name in _ARITHMETIC or name in ("minimum", "maximum", "bitwise_and", "bitwise_or"):
            if kwargs.get("alpha", 1) != 1 or len(args) > (3 if name == "clamp" else 2):
                raise NotImplementedError(f"{func} with {args[2:]} {kwargs}")
            of = tuple(self._of(a, result.dtype) for a in args)
            self.keep(result, self._each(name, result.dtype, of, result.dtype))
        else:
            raise NotImplementedError(str(func))
        return result

    def _of(self, value: Any, dtype: torch.dtype) -> Tensor:
        """The numbers of an operand; a number of Python's is a constant of the operation's own type."""
        if isinstance(value, Tensor):
            return self.ids(value)
        return torch.tensor(self.number(dtype, "constant", (), torch.tensor(value, dtype=dtype).item()))

    def _cast(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        flat = [
            i if self.numbers[i].dtype == dtype else self.number(dtype, "cast", (i,)) for i in ids.flatten().tolist()
        ]
        return torch.tensor(flat, dtype=torch.int64).reshape(ids.shape)

    def _each(self, op: str, dtype: torch.dtype, of: tuple[Tensor, ...], within: torch.dtype | None) -> Tensor:
        """``op`` element by element; ``within``: the type that all operands are brought to first."""
        of = tuple(self._cast(ids, within) for ids in of) if within else of
        rows = torch.broadcast_tensors(*of)
        flat = [self.number(dtype, op, one) for one in zip(*(row.flatten().tolist() for row in rows), strict=True)]
        return torch.tensor(flat, dtype=torch.int64).reshape(rows[0].shape)


class OneByOne:
    """A law done number by number, over Python's own numbers: of one copy, quicker than torch.

    Args:
        straight: from `watched`.
    """

    def __init__(self, straight: Straight) -> None:
        self._values: list[Any] = [n.value if n.op == "constant" else None for n in straight.numbers]
        self._inputs = [i for i, n in enumerate(straight.numbers) if n.op == "input"]
        self._outputs = straight.outputs
        self._steps: list[tuple[int, Callable[..., Any], tuple[int, ...]]] = []
        for i, n in enumerate(straight.numbers):
            if n.op not in ("input", "constant"):
                self._steps.append((i, _form(n, straight.numbers), n.of))

    def __call__(self, *inputs: Any) -> list[Any]:
        """The outputs, of as many inputs as there are."""
        values = self._values
        for i, value in zip(self._inputs, inputs, strict=True):
            values[i] = value
        for i, form, of in self._steps:
            values[i] = form(*[values[j] for j in of])
        return [values[i] for i in self._outputs]


def _f32(x: float) -> float:
    return float(np.float32(x))


def _rounded(form: Callable[[float], int]) -> Callable[[float], float]:
    return lambda x: math.copysign(form(x), x)  # -0.3 becomes -0.0


_FORMS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "rsub": lambda a, b: b - a, "mul": operator.mul, "div": operator.truediv,
    "neg": operator.neg, "abs": operator.abs, "sign": lambda a: float((a > 0) - (a < 0)),
    "round": _rounded(round), "floor": _rounded(math.floor), "trunc": _rounded(math.trunc),
    "minimum": lambda a, b: b if b < a else a, "maximum": lambda a, b: b if a < b else a,
    "clamp": lambda a, low, high: low if a < low else high if high < a else a,
    "eq": operator.eq, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "bitwise_and": operator.and_, "bitwise_or": operator.or_,
    "where": lambda condition, a, b: a if condition else b, "pick": lambda i, *choices: choices[i],
}  # fmt: skip
_CASTS: Mapping[torch.dtype, Callable[..., Any]] = {F64: float, F32: _f32, INT: int, BOOL: bool}


def _form(n: Quantity, numbers: Sequence[Quantity]) -> Callable[..., Any]:
    if n.op == "cast":
        return _CASTS[n.dtype]
    form = _FORMS[n.op]
    if n.dtype == F32 and n.op in ("add", "sub", "rsub", "mul", "div"):  # once more rounded is rounded once
        return lambda *of: _f32(form(*of))
    return form
