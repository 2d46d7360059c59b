"""Who works at a cell of a store on this machine: one process at a time, for the whole of its life.

Sweeps with one store, each in a folder of its own, may come to the same cell at once. The store takes one of them in
the end; on one machine the second finds out before it begins.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from .order import Order

PATIENCE = 10.0  # seconds for a worker whose sweep was killed, which saves and ends
LEFT = 60.0  # and for one of this very sweep, whose folder is ours


class Claim:
    """Held from before anything is written until what lies in the folder is removed or left.

    Where the system knows no locks, or none can be made, the claim is taken for granted.

    Attributes:
        refused: in words, who has the cell; "": we have.
        left: whoever has it works in this very folder, where nothing may be touched.
    """

    def __init__(self, order: Order) -> None:
        self.refused, self.left, self._file = "", False, -1
        self.path = claim_file(order)
        self._own = {"process": os.getpid(), "sweep": order.sweep, "attempt": order.attempt}
        began = time.monotonic()
        while (owner := self._take()) is not None:
            self.left = owner.get("sweep") == order.sweep
            if time.monotonic() - began >= (LEFT if self.left else PATIENCE):
                self.refused = _told(owner)
                return
            time.sleep(0.1)
        self.left = False

    def release(self) -> None:
        """Let go. The file goes first: whoever waits for it looks whether it is still the one that has the name."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._file)
            self._file = -1

    def _take(self) -> dict[str, Any] | None:
        """Take the lock, and give None; else what its owner says of itself."""
        try:
            import fcntl

            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except (ImportError, OSError):
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(handle)
            os.close(handle)
            return owner
        except OSError:  # a file system without locks
            os.close(handle)
            return None
        if not _named(handle, self.path):  # its owner let go, and another may have the name by now
            os.close(handle)
            return {}
        os.ftruncate(handle, 0)
        with contextlib.suppress(OSError):  # a full disk takes no words, and the lock holds
            os.pwrite(handle, json.dumps(self._own).encode(), 0)
        self._file = handle
        return None


def claim_file(order: Order) -> Path:
    """The lock of a cell's address, the same for all sweeps of this user on this machine."""
    place = Path(order._replace(folder="", sweep="").placed().folder)
    return place.with_name(f"{place.name}.lock")


def _owner(handle: int) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        said = json.loads(os.pread(handle, 4096, 0))
        if isinstance(said, dict):
            return said
    return {}


def _told(owner: dict[str, Any]) -> str:
    process, sweep = owner.get("process", "unknown"), owner.get("sweep", "another folder")
    return (
        f"process {process}, of the sweep in {sweep}, is at work at this cell in the same store (attempt "
        f"{owner.get('attempt', 1)}). Once it has ended, the same command brings down what was done"
    )


def _named(handle: int, path: Path) -> bool:
    try:
        there, own = os.stat(path), os.fstat(handle)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
