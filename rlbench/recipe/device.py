"""Where a run computes: by name, or chosen by what there is to compute.

A card is slow to start: an operation costs the host some microseconds, however small it is. A few small networks are
through on a CPU by then, and many cores with many of them. `experiments/bench/cuda` shows where the lines cross.
"""

import importlib.util
import os
import shutil
from typing import NamedTuple

import torch

from ..agent import Agent
from ..errors import UsageError
from ..types import Spec


class Costs(NamedTuple):
    """Microseconds of a vector step."""

    launches: float  # that a card takes longer, however little there is to compute
    computed: float  # that a core takes for each parameter of each seed, target networks among them
    alongside: float  # that the host takes for each seed either way, and several processes share


# Of an NVIDIA H200 and a core beside it, in two runs: DQN on CartPole, an update every 4 steps. The stage `crossing` of
# `python -m rlbench.experiments.bench.cuda` prints what to put here for another card.
COSTS = Costs(launches=130.0, computed=20 / 9_344, alongside=6.5)  # environments and buffers on the host
THERE = Costs(launches=40.0, computed=23 / 9_344, alongside=0.3)  # on the card
SMALL = (
    "Computing on the CPU: networks as small as these, of as few seeds, are quicker there than on the card "
    "(--device cuda uses it)."
)


def listed(text: str) -> tuple[str, ...]:
    """The names in ``text``, which has commas where there are several."""
    return tuple(name.strip() for name in text.split(","))


def checked(text: str) -> str:
    """``text`` in its one spelling: a device, or several cards, each by its number and once.

    Raises:
        ValueError: it is something else; says what.
    """
    names = listed(text)
    if len(names) > 1 and not all(name.startswith("cuda:") for name in names):
        raise ValueError("several devices are cards, each by its number, as cuda:0,cuda:1")
    names = tuple(f"cuda:{int(name[5:])}" if name.startswith("cuda:") else name for name in names)
    if len(set(names)) < len(names):
        raise ValueError("a card is named twice; several processes share one by --workers")
    return ",".join(names)


def resolve_device(name: str) -> torch.device:
    """The device meant by ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` is CUDA where there is any.

    Raises:
        UsageError: CUDA is asked for and not there, or several devices are.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if len(names := listed(name)) > 1:  # to take the first of them would hide what was meant
        raise UsageError(
            f"--device {name}: one device is wanted here; seeds that are trained are dealt out to several. "
            f"Use --device {names[0]}."
        )
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise UsageError(f"--device {name}: there are auto, cpu, cuda and cuda:N.") from e
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UsageError(f"--device {name}: {_there(count)}")
    return device


def _there(count: int) -> str:
    """Which cards there are."""
    torch_is = f"torch {torch.__version__}"
    if not count:
        built = "" if torch.version.cuda else ", as it is built for CPUs alone"
        return f"{torch_is} sees no CUDA device{built}. Use --device cpu or auto."
    cards = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
    return f"{torch_is} sees {count} CUDA device{'s' * (count > 1)}. Use {cards}, or --device cpu."


def check_compiler(device: torch.device) -> None:
    """See that `torch.compile` finds on this machine what it needs to make code for ``device``.

    A run that goes on cannot leave ``compile`` out, so the advice is of one that begins.

    Raises:
        UsageError: it does not.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise UsageError(
                "--compile needs Triton for a card, which is not installed: pip install triton, or begin a run without "
                "--compile."
            )
        return
    command = os.environ.get("CXX", "g++")
    if not any(shutil.which(name) for name in (command, "clang++")):
        raise UsageError(
            f"--compile needs a C++ compiler, and neither {command} nor clang++ is there. Install one, or begin a run "
            "without --compile."
        )


def settle(device: torch.device) -> None:
    """Have ``device``, if it is a card, be what this process means by "the card": pinned memory opens it, too."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def worth_a_card(agent: Agent, spec: Spec, seeds: int, processes: int = 1, costs: Costs = COSTS) -> bool:
    """Whether a card is through sooner with ``seeds`` learners than as many ``processes`` on as many cores.

    Pictures always are worth one: their convolutions are large.

    Args:
        agent: one like them, of one seed.
        spec: what it sees.
        seeds: how many there are.
        processes: over which the seeds would be dealt out on the CPU.
        costs: of what is computed.
    """
    if spec.obs_dtype == torch.uint8 and len(spec.obs_shape) > 1 and min(sorted(spec.obs_shape)[-2:]) >= 36:
        return True
    modules = [held for held in vars(agent).values() if isinstance(held, torch.nn.Module)]
    params = sum(param.numel() for module in modules for param in module.parameters())
    saved = (costs.computed * params + costs.alongside) / min(processes, seeds) - costs.alongside
    return seeds * saved > costs.launches
