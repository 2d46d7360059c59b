"""Numbers that are not finite: finding them, and keeping what the agent held for a look."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..runfolder import checkpoint_file
from ..runfolder.layout import FAULTS


def diverged(
    metrics: dict[str, Tensor],
    training: Sequence[int],
    *,
    nan_is_silence: bool = False,
    infinite: Mapping[str, Tensor] = MappingProxyType({}),
) -> dict[int, tuple[str, float]]:
    """Of the seeds at positions ``training``, those with a loss that is not finite: its name, and what it is.

    A loss is a metric whose name ends so, as "loss" and "critic_loss" do; other metrics may be NaN for good reasons,
    and with ``nan_is_silence`` losses too: see `rlbench.Agent`. None may be infinite.

    Args:
        metrics: of the newest update, (S,) each.
        training: positions of seeds that train.
        nan_is_silence: whether NaN is no fault.
        infinite: of updates before: names of metrics -> (S,), for which seeds they were infinite.
    """
    found = {s: (name, math.inf) for name, wild in infinite.items() for s in training if wild[s]}
    for name, values in metrics.items():
        if name.endswith("loss") and not torch.isfinite(values).all():
            wrong = math.isinf if nan_is_silence else _not_finite
            numbers = values.tolist()
            found |= {s: (name, numbers[s]) for s in training if wrong(numbers[s])}
    return found


def _not_finite(x: float) -> bool:
    return not math.isfinite(x)


def dump(
    folder: Path, env_steps: int, seeds: Sequence[int], agent: dict[str, Any], metrics: dict[str, Tensor], what: str
) -> Path:
    """Write what the agent held when ``seeds`` went wrong to faults/step-N.pth; ``torch.load`` opens it.

    Raises:
        RunFolderError: it cannot be written.
    """
    path = folder / FAULTS / f"step-{env_steps}.pth"
    path.parent.mkdir(exist_ok=True)
    content = {"env_steps": env_steps, "seeds": list(seeds), "what": what, "agent": agent, "metrics": dict(metrics)}
    checkpoint_file.save(path, "dump", content)
    return path
