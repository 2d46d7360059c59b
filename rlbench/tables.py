"""The CSV files of a run whose seeds were split over processes: where they lie, and how they become one."""

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
    """One CSV file from those of several groups of seeds, in the order in which one process would have written it."""
    rows: list[tuple[int, int, int, str]] = []
    header = ""
    for path in parts:
        with path.open(encoding="utf-8") as file:
            header = next(file, "") or header
            names = header.rstrip("\n").split(",")
            for line in file:
                cells = line.split(",")
                env = int(cells[names.index("env")]) if "env" in names else 0
                rows.append((int(cells[names.index("env_steps")]), int(cells[0]), env, line))
    rows.sort(key=lambda row: row[:3])
    temporary = whole.with_name(f".{whole.name}.tmp")
    temporary.write_text(header + "".join(row[3] for row in rows), encoding="utf-8")
    os.replace(temporary, whole)
