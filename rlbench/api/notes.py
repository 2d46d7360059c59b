"""What a run says, told to who called from a program: progress on a gauge, notes as warnings at the caller's line.

Remarks, which weaken no result, are plain lines of Python's `logging`: they depend on the machine and the clock too.
"""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator

from ..errors import RunWarning, UsageError
from ..live.gauge import Gauge, gauge_for
from ..live.shown import ShownRun
from ..record.watcher import Watcher

LOG = logging.getLogger("rlbench")  # on standard error, unless the program sets it up otherwise


class Notes:
    """Tells notes as `RunWarning`s. Where those are errors, `settle` raises the first, when nothing is lost by it."""

    def __init__(self) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and _between(str(frame.f_globals.get("__name__", ""))):
            frame = frame.f_back
        self._file, self._line = frame.f_code.co_filename, frame.f_lineno
        self._module = str(frame.f_globals.get("__name__", ""))
        self._registry = frame.f_globals.setdefault("__warningregistry__", {})
        self._error: RunWarning | None = None

    def __call__(self, text: str) -> None:
        """Tell it, as the program's filters say."""
        try:
            warnings.warn_explicit(text, RunWarning, self._file, self._line, self._module, self._registry)
        except RunWarning as e:
            self._error = self._error or e

    def settle(self) -> None:
        """Raise what became an error."""
        if self._error is not None:
            raise self._error


class ToldRun(ShownRun):
    """Shows a run, and tells its notes."""

    def __init__(self, gauge: Gauge, notes: Notes) -> None:
        super().__init__(gauge)
        self._notes = notes

    def note(self, text: str) -> None:
        self._notes(text)

    def remark(self, text: str) -> None:
        LOG.warning("%s", text)


@contextlib.contextmanager
def telling(watcher: Watcher | None, progress: str) -> Iterator[Watcher]:
    """Whom a run tells what happens: ``watcher``, or where there is none the user, by progress and warnings.

    Raises:
        UsageError: neither a watcher nor None, or no such progress.
    """
    if watcher is not None:
        if not isinstance(watcher, Watcher):
            what = type(watcher).__name__
            raise UsageError(
                f"watcher is no Watcher, but {what}: subclass rlbench.record.watcher.Watcher, or leave it out"
            )
        yield watcher
        return
    notes = Notes()
    shown = ToldRun(gauge_for(progress), notes)
    try:
        yield shown
    finally:
        shown.close()
    notes.settle()


def _between(module: str) -> bool:
    """Whether a frame lies between the caller and us."""
    return module.startswith("rlbench.") or module == "contextlib"
