"""Numbers that are not finite: finding them, and keeping what the agent held for a look."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import DivergedError
from ..runfolder import checkpoint_file
from ..runfolder.layout import FAULTS

if TYPE_CHECKING:
    from .session import Session


def diverged(metrics: dict[str, Tensor], training: Sequence[int]) -> dict[int, tuple[str, float]]:
    """Of the seeds at positions ``training``, those with a loss that is not finite: its name, and what it is.

    A loss is a metric whose name ends so, as "loss" and "critic_loss" do; other metrics may be NaN for good reasons.
    """
    found: dict[int, tuple[str, float]] = {}
    for name, values in metrics.items():
        if name.endswith("loss") and not torch.isfinite(values).all():
            numbers = values.tolist()
            found |= {s: (name, numbers[s]) for s in training if not math.isfinite(numbers[s])}
    return found


def broken_seeds(session: "Session") -> list[int]:
    """Positions of the seeds whose loss, rewards or observations have just become something not finite.

    What the agent holds is written to a dump first, and the user told where.

    Raises:
        AgentError: there are any, and the recipe says that the run stops then.
        RunFolderError: the dump cannot be written.
    """
    numbers, step = session.recipe.seed_numbers, session.env_steps
    found = diverged(session.metrics, session.training)
    bad = {s: f"the {name} of seed {numbers[s]} is {value}" for s, (name, value) in found.items()}
    bad |= {s: what for s, what in session.envs.broken.items() if s in session.training}
    if not bad:
        return []
    what = "; ".join(bad.values())
    path = dump(session.folder, step, [numbers[s] for s in bad], session.agent_state(), session.metrics, what)
    if session.recipe.on_nan == "stop":
        raise DivergedError(f"{what}, at step {step:,}", path)
    session.watcher.note(f"{what}, at step {step:,}: left behind. What the agent held is in {path}.")
    return list(bad)


def left_out(session: "Session") -> list[int]:
    """Positions of the seeds that an evaluation has left out as their environment gave numbers that are not finite."""
    broken = {s: what for s, what in session.evaluator.broken.items() if s in session.training}
    for what in broken.values():
        session.watcher.note(f"in an evaluation at step {session.env_steps:,}: {what}: left behind.")
    return list(broken)


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
