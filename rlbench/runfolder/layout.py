"""The CSV files of a run whose seeds were split over processes: where they lie, and how they become one."""

import contextlib
import heapq
import os
from pathlib import Path

TABLES = ("episodes.csv", "evaluations.csv", "updates.csv")
WORKERS = "workers"


def worker_folders(run: Path) -> list[Path]:
    """The workers' own run folders under a run folder, in the order of their seeds; none for a run of one process."""
    places = (run / WORKERS).glob("*/") if (run / WORKERS).is_dir() else iter(())
    return sorted((place for place in places if place.name.isdigit()), key=lambda place: int(place.name))


def whole_run(place: Path) -> Path:
    """The run folder that ``place`` belongs to, which is a run folder itself or that of a worker."""
    return place.parents[1] if place.parent.name == WORKERS else place


def under_way(run: Path) -> list[Path]:
    """`worker_folders`, while the files at the top of the run folder do not stand for them yet."""
    return [] if (run / "summary.json").exists() else worker_folders(run)


def join_tables(parts: list[Path], whole: Path) -> None:
    """One CSV file from those of several groups of seeds, in the order in which one process would have written it.

    Each is in the order of env steps, and the parts come in the order of their seeds; they may have millions of rows.
    """
    temporary = whole.with_name(f".{whole.name}.tmp")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open(encoding="utf-8")) for path in parts]
        header = next(filter(None, [next(file, "") for file in files]), "")
        at = header.rstrip("\n").split(",").index("env_steps") if header else 0
        rows = heapq.merge(*files, key=lambda line: int(line.split(",", at + 1)[at]))
        out = stack.enter_context(temporary.open("w", encoding="utf-8"))
        out.write(header)
        out.writelines(rows)
    os.replace(temporary, whole)
