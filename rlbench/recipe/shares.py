"""How the seeds of a run are dealt out to processes, and where these compute."""

import itertools
import os

import torch

from ..errors import UsageError
from .build import trains_on_cpu
from .device import listed, resolve_device
from .recipe import Recipe
from .width import name_of


def dealt(recipe: Recipe) -> Recipe:
    """The recipe of a run that begins, with a process for each of several cards at least.

    Raises:
        UsageError: there are fewer seeds than cards, or cards would have unequal numbers of processes.
    """
    cards = listed(recipe.device)
    if len(cards) == 1:
        return recipe
    for card in cards:
        resolve_device(card)  # says so if it is not there
    if recipe.seeds < len(cards):
        raise UsageError(
            f"--device {recipe.device}: {recipe.seeds} seeds cannot be dealt out to {len(cards)} cards. Use fewer: "
            f"--device {','.join(cards[: recipe.seeds])}"
        )
    workers = recipe.workers or len(cards)
    if workers % len(cards):
        more = -(-workers // len(cards)) * len(cards)
        raise UsageError(
            f"--device {recipe.device}: {workers} processes cannot be dealt out evenly to {len(cards)} cards. "
            f"Use --workers {more}."
        )
    return recipe.replace(workers=workers)


def check_dealt(recipe: Recipe, processes: int) -> None:
    """See that a run of so many ``processes`` can go on where its recipe says.

    Raises:
        UsageError: there are more cards than processes.
    """
    cards = listed(recipe.device)
    if len(cards) > processes:
        count = "1 process" if processes == 1 else f"{processes} processes"
        raise UsageError(
            f"--device {recipe.device}: this run was begun with {count}, which cannot be taken apart. Use --device "
            f"{','.join(cards[:processes])}."
        )


def shares(recipe: Recipe) -> list[Recipe]:
    """The recipe's seeds dealt out to its workers, in order and as evenly as can be. The first one makes the films.

    Of several cards each takes as many workers as the others, one after the other.
    """
    cards = listed(recipe.device)
    workers = min(recipe.workers or len(cards), recipe.seeds)
    edges = [recipe.seeds * k // workers for k in range(workers + 1)]
    return [
        recipe.replace(
            workers=1,
            seed=recipe.seed + low,
            seeds=high - low,
            video_every=0 if low else recipe.video_every,
            device=cards[k * len(cards) // workers],
        )
        for k, (low, high) in enumerate(itertools.pairwise(edges))
    ]


def placed_shares(recipe: Recipe) -> tuple[list[Recipe], bool]:
    """The recipes of the workers, and whether they compute on the CPU: all in one place, however few seeds each has."""
    parts = shares(recipe)
    cpu = trains_on_cpu(recipe, len(parts))
    if recipe.device == "auto" and (card := resolve_device("auto")).type != "cpu":
        parts = [share.replace(device="cpu" if cpu else str(card)) for share in parts]
    return parts, cpu


def places(recipe: Recipe, device: torch.device) -> list[dict[str, str | int]]:
    """Which seeds are computed where, for run.json.

    Args:
        recipe: of the run.
        device: where its agent was built.
    """
    parts = shares(recipe)
    if len(parts) > 1:
        parts, _ = placed_shares(recipe)
    devices = [resolve_device(share.device) for share in parts] if len(parts) > 1 else [device]
    return [
        {"first_seed": share.seed, "seeds": share.seeds, "device": str(device), "name": name_of(device)}
        for share, device in zip(parts, devices, strict=True)
    ]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
