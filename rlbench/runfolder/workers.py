"""The files of a run whose seeds were split over processes become those of one run."""

import contextlib
import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..agent_state import join
from ..files import replacing
from ..recipe import Recipe
from . import checkpoint_file
from .layout import TABLES, worker_folders


def join_workers(folder: Path) -> None:
    """Make the files at the top of ``folder`` from those of its workers."""
    places = worker_folders(folder)
    for table in TABLES:
        join_tables([place / table for place in places], folder / table)
    for name in ("checkpoint.pth", "best.pth"):
        if all((place / name).is_file() for place in places):
            checkpoint_file.save(folder / name, "checkpoint", joined(folder, name))


def joined(folder: Path, name: str) -> dict[str, Any]:
    """One checkpoint from the workers' ``name`` files: enough to play, while resuming goes by the workers' own."""
    parts = [checkpoint_file.load(place / name, "checkpoint") for place in worker_folders(folder)]
    return join_checkpoints(parts, folder)


def join_checkpoints(parts: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """One checkpoint from the contents of the workers' of ``folder``."""
    recipe = Recipe.from_content(parts[0]["recipe"], str(folder))
    counts = [len(part["seeds"]) for part in parts]
    seeds = [seed for part in parts for seed in part["seeds"]]
    return {
        "recipe": recipe.replace(seed=seeds[0], seeds=len(seeds), workers=len(parts)).content(),
        "seeds": seeds,
        "env_steps": max(part["env_steps"] for part in parts),
        "best_returns": [value for part in parts for value in part["best_returns"]],
        "agent": join([part["agent"] for part in parts], counts),
    }


def join_tables(parts: list[Path], whole: Path) -> None:
    """One CSV file from those of several groups of seeds, in the order in which one process would have written it.

    Each is in the order of env steps, and the parts come in the order of their seeds; they may have millions of rows.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open(encoding="utf-8")) for path in parts]
        header = next(filter(None, [next(file, "") for file in files]), "")
        at = header.rstrip("\n").split(",").index("env_steps") if header else 0
        rows = heapq.merge(*files, key=lambda line: int(line.split(",", at + 1)[at]))
        with replacing(whole) as temporary, temporary.open("w", encoding="utf-8") as out:
            out.write(header)
            out.writelines(rows)
