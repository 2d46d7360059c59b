"""Where a run computes: by name, or chosen by what there is to compute.

A card is slow to start: an operation costs the host some microseconds, however small it is. A few small networks are
through on a CPU by then. What decides is how many numbers are learned together, of all seeds; `experiments/bench/cuda`
shows where the lines cross.
"""

import torch

from .agent import Agent
from .errors import UsageError
from .types import Spec

WORTH = 250_000  # parameters of all seeds, target networks among them, from which a card is quicker
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


def worth_a_card(agent: Agent, spec: Spec, seeds: int) -> bool:
    """Whether ``seeds`` learners like ``agent``, which is of one seed, have enough to compute for a card.

    Pictures always have: their convolutions are large.
    """
    if spec.obs_dtype == torch.uint8 and len(spec.obs_shape) > 1 and min(sorted(spec.obs_shape)[-2:]) >= 36:
        return True
    modules = [held for held in vars(agent).values() if isinstance(held, torch.nn.Module)]
    return seeds * sum(param.numel() for module in modules for param in module.parameters()) >= WORTH
