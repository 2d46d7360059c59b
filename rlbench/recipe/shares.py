"""How the seeds of a run are dealt out to processes, and where these compute."""

import itertools
import os

from .build import trains_on_cpu
from .device import resolve_device
from .recipe import Recipe


def shares(recipe: Recipe) -> list[Recipe]:
    """The recipe's seeds dealt out to its workers, in order and as evenly as can be. The first one makes the films."""
    workers = min(recipe.workers or 1, recipe.seeds)
    edges = [recipe.seeds * k // workers for k in range(workers + 1)]
    return [
        recipe.replace(
            workers=1, seed=recipe.seed + low, seeds=high - low, video_every=0 if low else recipe.video_every
        )
        for low, high in itertools.pairwise(edges)
    ]


def placed_shares(recipe: Recipe) -> tuple[list[Recipe], bool]:
    """The recipes of the workers, and whether they compute on the CPU: all in one place, however few seeds each has."""
    parts = shares(recipe)
    cpu = trains_on_cpu(recipe, len(parts))
    if recipe.device == "auto" and (card := resolve_device("auto")).type != "cpu":
        parts = [share.replace(device="cpu" if cpu else str(card)) for share in parts]
    return parts, cpu


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
