"""Joins the files that several processes of one run wrote, each about its seeds, to those of one run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..agent_state import join
from ..recipe import Recipe
from ..recipe.device import checked
from . import checkpoint_file
from .layout import DEBUG, TABLES, worker_folders
from .tables import join_tables


def join_workers(folder: Path) -> None:
    """Make the files at the top of ``folder`` from those of its workers."""
    places = worker_folders(folder)
    for table in (*TABLES, DEBUG):
        parts = [place / table for place in places]
        if table == DEBUG:  # a worker whose seeds stopped before its first look has none
            parts = [part for part in parts if part.exists()]
        if parts:
            join_tables(parts, folder / table)
    for name in ("checkpoint.pth", "best.pth"):
        if all((place / name).is_file() for place in places):
            checkpoint_file.save(folder / name, "checkpoint", joined(folder, name))


def joined(folder: Path, name: str) -> dict[str, Any]:
    """One checkpoint from the workers' ``name`` files: enough to play, while resuming goes by the workers' own."""
    parts = [checkpoint_file.load(place / name, "checkpoint") for place in worker_folders(folder)]
    return join_checkpoints(parts, folder)


def _cards(devices: Sequence[str]) -> str:
    """What to write as the device of a run whose workers compute on these.

    They are of several kinds where a run that goes on elsewhere was killed before all workers had saved there.
    """
    try:
        return checked(",".join(dict.fromkeys(devices)))
    except ValueError:
        return devices[0]


def join_checkpoints(parts: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """One checkpoint from the contents of the workers' of ``folder``."""
    recipe = Recipe.from_content(parts[0]["recipe"], str(folder))
    counts = [len(part["seeds"]) for part in parts]
    seeds = [seed for part in parts for seed in part["seeds"]]
    devices = [str(part["recipe"].get("device", recipe.device)) for part in parts]
    axes = next((part["axes"] for part in parts if part.get("axes")), None)  # one that began anew may not know them
    return {
        "recipe": recipe.replace(seed=seeds[0], seeds=len(seeds), workers=len(parts), device=_cards(devices)).content(),
        "seeds": seeds,
        "env_steps": max(part["env_steps"] for part in parts),
        "best_returns": [value for part in parts for value in part["best_returns"]],
        "agent": join([part["agent"] for part in parts], counts, axes),
        "axes": axes,
    }
