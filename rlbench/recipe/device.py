"""Where a run computes: by name, or chosen by what there is to compute.

A card is slow to start: an operation costs the host some microseconds, however small it is. A few small networks are
through on a CPU by then, and many cores with many of them. `experiments/bench/cuda` shows where the lines cross.
"""

import torch

from ..agent import Agent
from ..errors import UsageError
from ..types import Spec

# Microseconds of a vector step, by an NVIDIA H200 and one core beside it: CartPole, an update every 4 steps.
LAUNCHES = 40.0  # that a card takes longer, however little there is to compute
COMPUTED = 29 / 9_220  # that a core takes for each parameter of each seed, target networks among them
ALONGSIDE = 4.0  # that the host takes for each seed either way, and several processes share
SMALL = (
    "Computing on the CPU: networks as small as these, of as few seeds, are quicker there than on the card "
    "(--device cuda uses it)."
)


def resolve_device(name: str) -> torch.device:
    """The device meant by ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` is CUDA where there is any.

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UsageError(
            f"--device {name}: torch {torch.__version__} sees {count} CUDA devices. Use --device cpu or auto."
        )
    return device


def worth_a_card(agent: Agent, spec: Spec, seeds: int, processes: int = 1) -> bool:
    """Whether a card is through sooner with ``seeds`` learners than as many ``processes`` on as many cores.

    Pictures always are worth one: their convolutions are large.

    Args:
        agent: one like them, of one seed.
        spec: what it sees.
        seeds: how many there are.
        processes: over which the seeds would be dealt out on the CPU.
    """
    if spec.obs_dtype == torch.uint8 and len(spec.obs_shape) > 1 and min(sorted(spec.obs_shape)[-2:]) >= 36:
        return True
    modules = [held for held in vars(agent).values() if isinstance(held, torch.nn.Module)]
    params = sum(param.numel() for module in modules for param in module.parameters())
    saved = (COMPUTED * params + ALONGSIDE) / min(processes, seeds) - ALONGSIDE
    return seeds * saved > LAUNCHES
