"""Numbers that are not finite: finding them, and keeping what the agent held for a look."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoint

FOLDER = "faults"


def diverged(metrics: dict[str, Tensor], training: Sequence[int]) -> dict[int, float]:
    """Of the seeds at positions ``training``, those whose metric "loss" is not finite, and what it is."""
    if "loss" not in metrics:
        return {}
    loss = metrics["loss"].tolist()
    finite = torch.isfinite(metrics["loss"]).tolist()
    return {s: loss[s] for s in training if not finite[s]}


def dump(
    folder: Path, env_steps: int, seeds: Sequence[int], agent: dict[str, Any], metrics: dict[str, Tensor], what: str
) -> Path:
    """Write what the agent held when ``seeds`` went wrong to faults/step-N.pth; ``torch.load`` opens it.

    Raises:
        RunFolderError: it cannot be written.
    """
    path = folder / FOLDER / f"step-{env_steps}.pth"
    path.parent.mkdir(exist_ok=True)
    content = {"env_steps": env_steps, "seeds": list(seeds), "what": what, "agent": agent, "metrics": dict(metrics)}
    checkpoint.save(path, "dump", content)
    return path
