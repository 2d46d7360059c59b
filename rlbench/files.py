"""Files written whole: under another name first, then put in their place at once. Nobody ever finds half of one.

Everything that this house writes anew goes by here; what only grows, as the CSV files do, is written where it lies.
"""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import RunFolderError

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@contextlib.contextmanager
def replacing(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """An empty file beside ``path`` to write to; in the end it takes its place, or goes where an error came.

    Args:
        path: where; its folder exists.
        sync: wait until all of it is on the disk, for what must be whole even where the machine loses power.

    Raises:
        OSError: nothing can be written there. What was there is untouched.
    """
    with replacing_all([path], sync=sync) as (temporary,):
        yield temporary


@contextlib.contextmanager
def replacing_all(paths: Sequence[Path], *, sync: bool = False) -> Iterator[list[Path]]:
    """Several files of one folder, each as `replacing`; none takes its place before all are written.

    Files that belong together, such as a checkpoint and its replay buffer, so stay of one step where the disk fills up.
    """
    staged: list[Path] = []
    try:
        for path in paths:
            staged.append(_beside(path))
        yield list(staged)
        if sync:
            for temporary in staged:
                _sync(temporary, os.O_RDWR)
        for temporary, path in zip(staged, paths, strict=True):
            os.replace(temporary, path)
        if sync and os.name == "posix":
            _sync(paths[0].parent, os.O_RDONLY)  # where the names are
    finally:
        for temporary in staged:  # gone already, where all went well
            with contextlib.suppress(OSError):
                temporary.unlink()


@contextlib.contextmanager
def exporting(path: Path, option: str = "") -> Iterator[Path]:
    """As `replacing`, for a file that somebody asked for: its folder is made if need be.

    Raises:
        RunFolderError: nothing can be written there; it names ``option``, if there is one, as the way to another place.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            yield temporary
    except OSError as e:
        raise unwritable(path, e, f"Give another place: {option}" if option else "") from e


def check_writable(path: Path, option: str = "") -> None:
    """See whether `exporting` will be able to write ``path``, before the work for it is done. Nothing is left there.

    Raises:
        RunFolderError: as of `exporting`.
    """
    folder = next(place for place in (path.absolute().parent, *path.absolute().parents) if place.exists())
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        _beside(folder / path.name).unlink()
    except OSError as e:
        raise unwritable(path, e, f"Give another place: {option}" if option else "") from e


def write_text(path: Path, content: str, *, sync: bool = False) -> None:
    """Write a text as `replacing` does."""
    with replacing(path, sync=sync) as temporary:
        temporary.write_text(content, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any], *, sync: bool = False) -> None:
    """Write JSON as `replacing` does."""
    write_text(path, json.dumps(content, indent=2) + "\n", sync=sync)


def unwritable(place: Path | str, e: Exception, then: str = "") -> RunFolderError:
    """The error where ``place`` cannot be written: what, why, and with ``then`` the next command."""
    cause = e.__context__ if not isinstance(e, OSError) and isinstance(e.__context__, OSError) else e
    reason = getattr(cause, "strerror", None) or cause
    return RunFolderError(f"cannot write {place}: {reason}.{' ' * bool(then)}{then}")


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is one that is being written, or was when its process was killed."""
    return name.startswith(".") and name.endswith(".tmp")


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left in ``folder``; nobody may be writing there."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A new, empty file beside ``path``. Its name is absolute: ffmpeg takes what stands before a colon for a protocol.

    The system gives it the permissions of any other file of the user's. `tempfile` would make it private; the umask,
    by which that could be put right, can only be read by setting it, for all threads of the process.
    """
    while True:
        name = path.absolute().with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            return name


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
