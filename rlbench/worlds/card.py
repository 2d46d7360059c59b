"""A law as one operation on a card: a step is one kernel, and not as many as it has operations.

The kernel is put together from the straight-line form of the law, number by number, each operation by the intrinsic
that rounds once and is never fused with another. It is tried before it is used: where it gives other bits than the law
in torch does on that card, or cannot be made there, the law in torch goes on.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .straight import BOOL, F32, F64, INT, Quantity, Straight, watched
from .world import Starts, World

_TRIED = 2048  # copies, each of which goes so many steps both ways
_STEPS = 12
_C = {F64: "double", F32: "float", INT: "long long", BOOL: "bool"}
_COMPARE = {"eq": "==", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_MOST = 8  # inputs, and outputs, of a kernel


def world_on(world: World, device: torch.device) -> World:
    """``world`` on ``device``; on a card as one kernel a step, where that gives the same bits there."""
    plain = world.to(device)
    if device.type != "cuda" or world.draws or world.dtype != F64:
        return plain
    try:
        fused = Fused(plain)
        return fused if _same(fused, plain) else plain
    except (RuntimeError, AttributeError, AssertionError, TypeError, NotImplementedError):
        return plain  # another torch, whose way to make kernels is another one


class Fused(World):
    """A law whose step is one kernel, and two more to bring what comes out of it together.

    Args:
        plain: the law in torch, on the card.
        make: a function of torch tensors from the source of a kernel and the number of what comes out of it.
    """

    def __init__(self, plain: World, make: Callable[[str, int], Callable[..., Any]] | None = None) -> None:
        self.size, self.dtype, self.continuous, self.exact = plain.size, plain.dtype, plain.continuous, plain.exact
        self.device, self._plain = plain.device, plain
        make = make or _jitted
        there = plain.to(torch.device("cpu"))
        state, action = there.example()
        self._step = make(source(watched(there.step, state, action)), plain.size + 2)
        shown = watched(lambda state: [there.obs(state)], state)
        moved = all(
            n.op in ("input", "cast") for n in shown.numbers
        )  # what is seen is the state: one operation as it is
        self._obs = None if moved else make(source(shown), len(shown.outputs))

    def starts(self, seeds: np.ndarray) -> Starts:
        return self._plain.starts(seeds)

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        *new, reward, terminated = self._step(*state.unbind(1), action.reshape(len(state)))
        return torch.stack(new, 1), reward, terminated != 0

    def obs(self, state: Tensor) -> Tensor:
        return self._plain.obs(state) if self._obs is None else torch.stack(self._obs(*state.unbind(1)), 1).float()

    def to(self, device: torch.device) -> World:  # type: ignore[override]
        return self if device == self.device else world_on(self._plain, device)


def source(straight: Straight) -> str:
    """A kernel for torch's jiterator: all inputs and outputs are of float64, whatever they are inside."""
    numbers = straight.numbers
    inputs = [i for i, n in enumerate(numbers) if n.op == "input"]
    if max(len(inputs), len(straight.outputs)) > _MOST:
        raise NotImplementedError(f"{len(inputs)} inputs and {len(straight.outputs)} outputs")
    takes = [f"T i{k}" for k in range(len(inputs))] + [f"T& o{k}" for k in range(len(straight.outputs))]
    lines = [f"template <typename T> void law({', '.join(takes)}) {{"]
    for i, n in enumerate(numbers):
        of = [(f"v{j}", numbers[j].dtype) for j in n.of]
        lines.append(f"  const {_C[n.dtype]} v{i} = {_form_in_c(n, of)};")
    lines += [f"  o{k} = (T)v{i};" for k, i in enumerate(straight.outputs)]
    return "\n".join([*lines, "}"])


def _form_in_c(n: Quantity, of: Sequence[tuple[str, torch.dtype]]) -> str:
    names = [name for name, _ in of]
    a, b, c, *_ = (*names, "", "", "")
    if n.op == "input":
        return f"({_C[n.dtype]})i{n.value}"
    if n.op == "constant":
        return _literal(n.value, n.dtype)
    if n.op == "cast":
        return f"({_C[n.dtype]}){a}"
    if n.op in _COMPARE:
        return f"{a} {_COMPARE[n.op]} {b}"
    if n.op == "rsub":
        a, b = b, a
    if n.op in ("add", "sub", "rsub", "mul", "div"):
        name = "sub" if n.op == "rsub" else n.op
        if n.dtype in (F64, F32):
            return f"__{'d' if n.dtype == F64 else 'f'}{name}_rn({a}, {b})"
        return f"{a} { {'add': '+', 'sub': '-', 'mul': '*'}[name] } {b}"
    if n.op == "pick":
        index, *choices = names
        return " ".join(f"{index} == {k} ? {v} :" for k, v in enumerate(choices[:-1])) + f" {choices[-1]}"
    return {
        "neg": f"-{a}", "abs": f"::fabs({a})", "round": f"::rint({a})", "floor": f"::floor({a})",
        "trunc": f"::trunc({a})", "sign": f"({_C[n.dtype]})(({a} > 0) - ({a} < 0))",
        "minimum": f"{b} < {a} ? {b} : {a}", "maximum": f"{a} < {b} ? {b} : {a}",
        "clamp": f"{a} < {b} ? {b} : {c} < {a} ? {c} : {a}", "where": f"{a} ? {b} : {c}",
        "bitwise_and": f"{a} & {b}", "bitwise_or": f"{a} | {b}",
    }[n.op]  # fmt: skip


def _literal(value: Any, dtype: torch.dtype) -> str:
    """A constant by its bits, so that nobody has to read it as a decimal."""
    if dtype in (F64, F32):
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        return f"({_C[dtype]})__longlong_as_double(0x{bits:016x}LL)"
    return f"({_C[dtype]}){int(value)}LL"


def _jitted(code: str, outputs: int) -> Callable[..., Any]:
    from torch.cuda import jiterator

    made: Callable[..., Any] = jiterator._create_multi_output_jit_fn(code, outputs)
    return made


def _same(fused: World, plain: World) -> bool:
    """Whether both go the same way, to the bit, from the starts of episodes and from four times as far out."""
    starts = torch.from_numpy(plain.starts(np.arange(_TRIED)).state).to(plain.device)
    state = torch.cat((starts, 4 * starts))
    generator = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        shape = (len(state), 1) if plain.continuous else (len(state),)
        drawn = torch.randn(shape, generator=generator) * 2
        action = (drawn if plain.continuous else drawn.abs().long()).to(plain.device)
        ways = [(*world.step(state, action), world.obs(state)) for world in (fused, plain)]
        if not all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(*ways, strict=True)):
            return False
        state = ways[0][0]
    return True
