"""Optuna's journal, a file of JSON lines beside the runs, which a process may die at writing to.

A line without its newline was cut short by a crash or a full disk. The next one would be glued to it, and the journal
be lost: so whoever appends cuts it off first, under the lock that everybody takes who writes. Imports Optuna.
"""

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from ..errors import RunFolderError, first_line
from ..files import unwritable
from ..process.places import shown

_TAIL = 1 << 20  # bytes; far more than a line


class WholeLines(JournalFileBackend):
    """Optuna's own backend and format, but for what it appends to.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._taken = path, JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._taken)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, all or none of them.

        Raises:
            RunFolderError: they cannot be written.
        """
        data = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode()
        try:
            self._taken.acquire()
            try:
                self._append(data)
            finally:
                self._taken.release()
        except OSError as e:
            raise unwritable(shown(self._path), e) from e

    def _append(self, data: bytes) -> None:
        with self._path.open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            start = max(end - _TAIL, 0)
            file.seek(start)
            tail = file.read(end - start)
            whole = start + tail.rfind(b"\n") + 1
            file.truncate(whole)
            file.seek(whole)
            try:
                if file.write(data) < len(data):
                    raise OSError(28, os.strerror(28))  # ENOSPC
                os.fsync(file.fileno())
            except OSError:
                file.truncate(whole)
                raise


def open_journal(path: Path) -> JournalStorage:
    """The storage in ``path``, which is made if need be.

    Raises:
        RunFolderError: it is damaged, or cannot be written.
    """
    try:
        backend = WholeLines(path)
        backend.append_logs([])  # cuts off what a crash has left
        return JournalStorage(backend)
    except OSError as e:
        raise unwritable(shown(path), e) from e
    except (ValueError, KeyError, TypeError) as e:
        raise RunFolderError(
            f"{shown(path)} is damaged: {first_line(e)}. Its runs are whole; to search on, begin in another --out."
        ) from e
