"""Before a run begins: does the state of its agent have its seeds where they can be found again?

The agent is built once more, for another number of seeds, and what it would save is compared. That takes a few
milliseconds and the memory of a seed or two, which are free again before the first step.
"""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..agent import Agent
from ..errors import UsageError
from ..process.resources import free_memory
from ..seed_axis import Axes, AxisError, axes_of
from ..user_code.commands import ref
from .build import Parts
from .recipe import Recipe

SHARE = 0.25  # of the memory that is free, at most, may be taken for it


def looked_at(parts: Parts, recipe: Recipe) -> Axes:
    """What belongs to the seeds in the agent's state, for those who pick, join and merge; None where nobody looked.

    A run of one seed has none to be told apart. An agent of which one seed is very large, or which cannot be built for
    another number of them, is not looked at.

    Args:
        parts: with an agent just built, of all seeds of the run or of some.
        recipe: of the run.

    Raises:
        UsageError: a part of its state, or of its replay buffer's, has no axis of the seeds where it should.
    """
    seeds, built = recipe.seed_numbers, parts.spec.num_seeds
    others = seeds[:1] if built > 1 else seeds[:2]
    if len(seeds) < 2 or not _affordable(parts, len(others)):
        return None
    state, replay = _states(parts.agent)
    with _undisturbed(parts.device):
        try:
            agent, _ = parts.made(others)
            other_state, other_replay = _states(agent)
        except Exception:  # whatever its code raises: where that number of seeds is needed it will be told
            return None
    counts = built, len(others)
    try:
        axes = axes_of(state, other_state, counts)
        axes_of(replay, other_replay, counts, "replay.state_dict()")
    except AxisError as e:
        raise UsageError(f"{ref(recipe.agent)}: {e}") from e
    return axes


def _states(agent: Agent) -> tuple[Any, Any]:
    return agent.state_dict(), None if agent.replay is None else agent.replay.state_dict()


def _affordable(parts: Parts, seeds: int) -> bool:
    """Whether as many more seeds take little of the memory that is free, here and on the card."""
    need, free = parts.need, free_memory()
    if need is None:
        return False
    on_card = (need.weights - need.host) * seeds // need.seeds
    if on_card and on_card > SHARE * torch.cuda.mem_get_info()[0]:
        return False
    return free is None or (need.replay + need.host) * seeds // need.seeds <= SHARE * free


@contextlib.contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Context in which an agent is built as if it were not: the process's generators, which it should leave alone, are
    afterwards where they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  (whatever the agent may use)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
