"""How much memory and disk there is, for this process."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

GIB = 2**30


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take, by the machine, its control groups and its own limits; None: unknown."""
    found = [free for free in (_machine(root), *_groups(root), _own_limit(root)) if free is not None]
    return max(min(found), 0) if found else None


def peak_memory(root: Path = Path("/")) -> int | None:
    """Most resident bytes that the program of this process has held so far; None: unknown.

    Linux is asked by its status file: `getrusage` counts in what the parent held when it forked.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB", _read(root / "proc/self/status"), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def free_disk(folder: Path) -> int | None:
    """Bytes that are free where ``folder`` is, or is to be; None: unknown."""
    place = Path(os.path.abspath(folder))
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def _machine(root: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _groups(root: Path) -> Iterator[int]:
    """What every control group that limits this process leaves, of either version."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")
        limit, usage, cache = names if controllers else ("max", "current", "inactive_file")
        inside = base / path.strip("/")  # inside a container its own group may be the root
        for place in dict.fromkeys((inside, *inside.parents)):
            if place != base and base not in place.parents:
                break
            most, used = (_read(place / f"memory.{name}").strip() for name in (limit, usage))
            if most.isdigit() and used.isdigit() and int(most) < 2**60:
                reclaimed = re.search(rf"^{cache} (\d+)$", _read(place / "memory.stat"), re.MULTILINE)
                yield int(most) - int(used) + (int(reclaimed[1]) if reclaimed else 0)


def _own_limit(root: Path) -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(_read(root / "proc/self/statm").split()[0])
    except (ImportError, OSError, ValueError, IndexError):
        return None
    return None if most == resource.RLIM_INFINITY else most - pages * resource.getpagesize()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
