"""Where the files of a run lie, of one whose seeds were split over processes too."""

from pathlib import Path

TABLES = ("episodes.csv", "evaluations.csv", "updates.csv")
DEBUG = "debug.csv"  # of a run that looks inside its agent
WORKERS = "workers"
SWEEP, CELLS = "sweep.json", "cells"  # of the folder of a sweep: what it is, and where its runs lie


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


FAULTS = "faults"
