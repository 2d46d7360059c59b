"""Whether products on this machine give a seed the same bits alone and among others, tried on a run's own shapes.

`products` avoids the shapes that are known to fail. Whether the rest hold depends on the CPU and on the code path that
MKL has taken (`mkl`): a run looks, in a few milliseconds, before it begins, and puts what it saw into run.json.
"""

import ctypes
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import nn
from ..agent import Agent
from ..nn.products import affine, product
from ..process import mkl
from ..rollout.evaluation import EVAL_COPIES
from .recipe import Recipe

_WORK = 10_000_000  # multiplications of one trial, at most; more seeds than that allows are not tried
_NAMES = {2: "AUTO", 3: "COMPATIBLE", 10: "AVX2", 12: "AVX512", 14: "AVX512_E1"}  # of `mkl_cbwr_get`


class Width(NamedTuple):
    """What a look at the products of a run found; ``strayed`` are the sizes (rows, inner, columns) that failed."""

    cpu: str
    mkl_mode: str
    tried: int
    strayed: tuple[tuple[int, int, int], ...] = ()
    promised: bool = True

    def facts(self) -> dict[str, Any]:
        """For run.json."""
        kept = "kept" if not self.strayed else f"lost for {', '.join(map(str, self.strayed[:5]))}"
        known = {"cpu": self.cpu, "mkl_mode": self.mkl_mode}
        return {**known, "width": kept, "products_tried": self.tried} if self.promised else {**known, "width": "none"}

    def warning(self) -> str:
        """One line for the user."""
        return (
            f"on this CPU ({self.cpu}, MKL mode {self.mkl_mode}) the last bits of a seed's numbers depend on how many "
            f"train beside it: of {self.tried} products tried, {len(self.strayed)} differ. Another mode may be exact: "
            f"start again with {mkl.VARIABLE}=COMPATIBLE before the command."
        )


def check(agent: Agent, recipe: Recipe, device: torch.device) -> Width:
    """Try the products that the stacked layers of ``agent`` are made of, with several seeds and with one.

    Width is promised on a CPU with one thread, in float32, not compiled; elsewhere nothing is tried.
    """
    if device.type != "cpu" or recipe.threads > 1 or recipe.precision != "float32" or recipe.compile:
        return Width(mkl.cpu() if device.type == "cpu" else name_of(device), mkl_mode(), 0, promised=False)
    batch_size = recipe.hyper.get("batch_size")
    rows = dict.fromkeys([recipe.num_envs, EVAL_COPIES, batch_size if isinstance(batch_size, int) else 1])
    sizes = [(n, *layer) for layer in dict.fromkeys(_layers(agent)) for n in rows]
    seeds = -(-recipe.seeds // max(1, recipe.workers))  # in one process
    return Width(mkl.cpu(), mkl_mode(), len(sizes), tuple(size for size in sizes if not keeps(seeds, *size)))


def name_of(device: torch.device) -> str:
    """What stands for the numbers that a device makes: its type, of a card its name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def recorded_mode(about: Mapping[str, Any]) -> str:
    """The mode that a run was trained in, by its run.json, where this CPU has it too; else "", the fastest."""
    try:
        recorded = about["numerics"]["mkl_mode"]
    except (KeyError, TypeError):
        return ""
    return recorded if recorded in mkl.modes() else ""


def keeps(seeds: int, rows: int, inner: int, columns: int) -> bool:
    """Whether the products of a layer (forward, and back to weight, input and bias) are the same for a seed alone.

    Args:
        seeds: S, as many as train side by side; of one, two are tried, and of large layers fewer than S.
        rows: N, observations of a seed.
        inner: the layer's inputs.
        columns: its outputs.
    """
    seeds = min(max(seeds, 2), max(2, _WORK // (rows * inner * columns)))
    source = torch.Generator().manual_seed(rows + inner + columns)
    x, weight, bias, grad = (
        torch.rand(seeds, *size, generator=source) - 0.5
        for size in ((rows, inner), (inner, columns), (1, columns), (rows, columns))
    )
    if columns < inner:  # as `nn.Linear` keeps it
        weight = weight.mT.contiguous().mT
    operands = (x, weight, bias, grad)
    together = _products(*operands)
    for s in (0, seeds - 1):
        alone = _products(*(part[s : s + 1].clone() for part in operands))
        if not all(torch.equal(some[s], one[0]) for some, one in zip(together, alone, strict=True)):
            return False
    return True


def _products(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    back = product(grad.mT, x) if weight.shape[2] < weight.shape[1] else product(x.mT, grad)
    return affine(x, weight, bias), back, product(grad, weight.mT), torch.sum(grad, 1)


def _layers(agent: Agent) -> Iterator[tuple[int, int]]:
    """Inputs and outputs of the stacked layers in the modules that ``agent`` holds."""
    for held in vars(agent).values():
        for module in held.modules() if isinstance(held, torch.nn.Module) else ():
            if isinstance(module, nn.Linear):
                yield module.matrix.shape[1], module.matrix.shape[2]
            elif isinstance(module, nn.Conv2d):
                yield module.weight.shape[1], module.weight.shape[2]


@functools.cache
def mkl_mode() -> str:
    """The code path that MKL has taken, and from now on keeps; "none" where torch has no MKL, else "unknown"."""
    if not torch.backends.mkl.is_available():
        return "none"
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "torch_cpu.dll", "libtorch_cpu.dylib"):
        try:
            number = ctypes.CDLL(str(folder / name)).mkl_serv_cbwr_get(1)
        except (OSError, AttributeError):
            continue
        return _NAMES.get(number, f"branch {number}")
    return "unknown"
