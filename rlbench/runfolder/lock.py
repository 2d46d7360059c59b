"""The lock of a run folder: one process at a time writes there."""

import contextlib
import os
import time
from pathlib import Path
from typing import Self

from ..errors import RunFolderError
from ..files import unwritable

NAME = ".lock"
PATIENCE = 10.0  # seconds; workers whose parent was killed save before they end


class Lock:
    """Held while a run folder is written to. The system lets go of it when the process ends, however that happens.

    Child processes that were forked hold it too. File systems that know no locks, and systems other than POSIX, are
    taken as they are.

    Raises:
        RunFolderError: another process is at work in the folder; or it cannot be written.
    """

    def __init__(self, folder: Path, patience: float | None = None) -> None:
        self.folder, self._file = folder, -1
        try:
            import fcntl
        except ImportError:  # not POSIX
            return
        try:
            handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as e:
            raise unwritable(folder, e) from e
        until = time.monotonic() + (PATIENCE if patience is None else patience)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                owner = os.pread(handle, 20, 0).decode(errors="replace").strip()
                os.close(handle)
                raise RunFolderError(
                    f"{folder} is in use: process {owner or 'unknown'} is training there. Wait for it, stop it with "
                    f"`kill {owner}`, or choose another --out."
                ) from None
            except OSError:  # a file system without locks
                break
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        except OSError as e:  # a full disk
            os.close(handle)
            raise unwritable(folder, e) from e
        self._file = handle

    def release(self) -> None:
        """Let go; the file stays, as removing it could take another's lock away."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.release()


def holder(folder: Path) -> str:
    """Number of the process that trains in ``folder``, as text; "" where none does, or where the system knows no locks.

    Asking takes a shared lock for an instant, and takes nothing away from who holds it; trainers wait longer.
    """
    try:
        import fcntl

        handle = os.open(folder / NAME, os.O_RDONLY)
    except (ImportError, OSError):
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(handle, 20).decode(errors="replace").strip() or "unknown"
    except OSError:  # a file system without locks
        return ""
    finally:
        os.close(handle)
    return ""
