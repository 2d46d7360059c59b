"""Where the user stands: paths are made absolute at once, and printed as seen from the folder that a command began in.

An environment may change the working folder whenever it likes; the user's shell stays where it was. So a path that
comes from the user goes through `absolute` before any foreign code runs, and one that is printed through `shown`.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError


def _working() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return Path("/")


_home = _working()  # of the process that imported us first; the command line sets it anew, and so do workers


def stand(folder: str | Path | None = None) -> Path:
    """Take ``folder``, or the working folder, for the one that the user stands in; gives it back.

    The command line calls this at its beginning, a worker with what its parent says.
    """
    global _home
    _home = _working() if folder is None else Path(folder)
    return _home


def home() -> Path:
    """The folder that the user stands in."""
    return _home


def absolute(path: str | Path) -> Path:
    """``path`` for good, whatever becomes of the working folder. Links and ``..`` stay: only the system knows them.

    Raises:
        UsageError: ``path`` is an empty text, as of a variable that a script forgot to set.
    """
    if not os.fspath(path):
        raise UsageError("an empty text names no file or folder. Give a path, such as runs/mine.")
    return Path(path).absolute()


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Context that ends in the working folder it began in, wherever foreign code has gone meanwhile."""
    before = _working()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.chdir(before)


def shown(path: str | Path) -> str:
    """``path`` to print: from where the user stands, if it lies below, and else absolute."""
    path = absolute(path)
    if _home != Path(_home.anchor) and path != _home and path.is_relative_to(_home):
        return str(path.relative_to(_home))
    return str(path)
