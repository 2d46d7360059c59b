"""What a cell's process tells while it works: lines for its log, and attempt.json every few seconds."""

import contextlib
import os
import platform
import time
from pathlib import Path

import numpy as np

from ..live.progress import PlainLines
from ..process import mkl
from ..process.resources import peak_memory
from ..record.watcher import Status
from .attempt import FILE, LOG, Attempt, Stage, write_attempt
from .keeping import Keeping

SECONDS = 2.0  # between two writings of attempt.json
LINES, LONGEST = 12, 300  # of a log that are kept of a failure, and letters of a line


class Telling(PlainLines):
    """Writes attempt.json; what cannot be written there is left out, as nothing that is learned depends on it.

    Args:
        folder: the cell's run folder, which exists.
        attempt: its number.
        total_steps: per seed.

    Attributes:
        keeping: of the folder in a store, where it has one: brought up at every checkpoint.
    """

    def __init__(self, folder: Path, attempt: int, total_steps: int) -> None:
        super().__init__()
        self.folder = folder
        self.keeping: Keeping | None = None
        self.now = Attempt(
            attempt,
            "running",
            host=platform.node(),
            process=os.getpid(),
            cpu=mkl.cpu(),
            mode=os.environ.get(mkl.VARIABLE, ""),
            started=time.time(),
            total_steps=total_steps,
        )
        self._began = time.monotonic()
        self._due = 0.0
        self._from: tuple[float, int] | None = None  # when the first ticks came, and at which step
        self._write()

    def tick(self, status: Status) -> None:
        """As of a watcher."""
        super().tick(status)
        self._from = self._from or (status.train_seconds, status.env_steps)
        if time.monotonic() >= self._due:
            self._take(status)

    def evaluated(self, status: Status) -> None:
        """As of a watcher."""
        super().evaluated(status)
        self._take(status)

    def saved(self, status: Status) -> None:
        """As of a watcher."""
        super().saved(status)
        if self.keeping:
            self._take(status)
            self.keeping.saved()

    def done(self, status: Status) -> None:
        """As of a watcher."""
        super().done(status)
        self._take(status)

    def end(
        self, stage: Stage, message: str = "", *, env_steps: int | None = None, returns: tuple[float, ...] = ()
    ) -> None:
        """Tell how it ended; of a failure, with the last lines of the log; of a run that is over, with its scores.

        Of one that is done, this is in summary.json too, which is on the disk by now: nothing is waited for.
        """
        lines = last_lines(self.folder / LOG) if stage == "failed" else ()
        steps = self.now.env_steps if env_steps is None else env_steps
        self.now = self.now._replace(state=stage, message=message, lines=lines, env_steps=steps)
        self.now = self.now._replace(returns=returns or self.now.returns)
        self._write(sync=stage != "done")

    def _take(self, status: Status) -> None:
        at = (status.train_seconds, status.env_steps)
        self._from = self._from or at
        passed, steps = at[0] - self._from[0], at[1] - self._from[1]
        evaluated, recent = np.array(status.scores.evaluated), status.scores.recent_means()
        self.now = self.now._replace(
            env_steps=at[1],
            rate=status.recipe.seeds * steps / passed if passed > 0 else self.now.rate,
            returns=tuple(np.where(np.isfinite(evaluated), evaluated, recent).tolist()),
        )
        self._write()

    def _write(self, *, sync: bool = False) -> None:
        seconds = time.monotonic() - self._began
        self.now = self.now._replace(seconds=round(seconds, 3), peak=peak_memory() or 0)
        self._due = time.monotonic() + SECONDS
        with contextlib.suppress(OSError):
            write_attempt(self.folder, self.now, sync=sync)
            if self.keeping:
                self.keeping.tell(FILE, (self.folder / FILE).read_bytes())


def last_lines(log: Path) -> tuple[str, ...]:
    """The last lines of a log that say something, shortened."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 2 * LINES * LONGEST))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    lines = [line.rstrip()[:LONGEST] for line in text.splitlines() if line.strip()]
    return tuple(lines[-LINES:])
