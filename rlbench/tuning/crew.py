"""Runs handed to an engine, and tried again where their process failed."""

import contextlib
import math
import os
import platform
import signal
import time
from pathlib import Path
from typing import NamedTuple

from ..cells.attempt import read_attempt
from ..cells.order import Order
from ..cells.perform import FULL, REFUSED
from ..engines.engine import CellEnd, Engine, Needs
from ..errors import RunFolderError
from ..process.places import home
from ..recipe import Recipe
from ..runfolder.lock import holder

NEEDS = Needs()
WAIT = 1.0  # seconds
KILLED = 10.0  # seconds that the end of killed processes is waited for


class RunOutcome(NamedTuple):
    """How a run ended for good: "done", "failed", or "stopped" by a signal that was meant for it."""

    name: str
    state: str
    why: str = ""


class Retry(NamedTuple):
    """A run that goes on from its checkpoint in a new process."""

    name: str
    why: str


class Crew:
    """The runs that this process has handed over.

    Args:
        engine: where they run.
        jobs: how many at a time.
        retries: how often a run is tried again.
    """

    def __init__(self, engine: Engine, jobs: int, retries: int) -> None:
        self.engine, self.jobs, self.retries = engine, jobs, retries
        self._hand: dict[str, Order] = {}
        self._failures: dict[str, int] = {}
        self._let_go: set[str] = set()

    def __len__(self) -> int:
        return len(self._hand)

    def room(self) -> bool:
        """Whether one more may be handed over now."""
        return len(self._hand) < self.jobs and self.engine.free(NEEDS) > 0

    def begin(self, name: str, folder: Path, recipe: Recipe) -> None:
        """Begin a run, or go on with it where it stands."""
        before = read_attempt(folder)
        order = Order(name, str(folder), recipe.content(), before.attempt + 1 if before else 1, str(home()))
        self._hand[name] = order
        self.engine.begin(order, NEEDS)

    def let_go(self, name: str) -> bool:
        """Ask one run to save and end, as nobody waits for more of it; False where its process cannot be told yet."""
        order = self._hand[name]
        folder = Path(order.folder)
        attempt = read_attempt(folder)
        if attempt is None or (attempt.attempt, attempt.state) != (order.attempt, "running"):
            return False
        # The number in a file may be another process's by now, or stand for many: the system knows who holds the lock.
        if attempt.host != platform.node() or holder(folder) not in ("", str(attempt.process)) or attempt.process <= 1:
            return False
        self._let_go.add(name)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(attempt.process, signal.SIGTERM)
        return True

    def wait(self) -> list[RunOutcome | Retry]:
        """What has ended since, or is tried again.

        Raises:
            RunFolderError: a disk is full.
        """
        return [outcome for end in self.engine.wait(WAIT) if (outcome := self._judged(end)) is not None]

    def stop(self) -> None:
        """Ask all to save and end, and wait for it; a KeyboardInterrupt meanwhile kills them."""
        self.engine.stop()
        try:
            self._ended(math.inf)
        except KeyboardInterrupt:
            self.engine.stop(insist=True)
            self._ended(KILLED)
            raise

    def _ended(self, patience: float) -> None:
        until = time.monotonic() + patience
        while self._hand and time.monotonic() < until:
            for end in self.engine.wait(WAIT):
                self._hand.pop(end.cell, None)

    def _judged(self, end: CellEnd) -> RunOutcome | Retry | None:
        order = self._hand.pop(end.cell, None)
        if order is None:
            return None
        name, folder = order.cell, Path(order.folder)
        if end.code == 0:
            return RunOutcome(name, "done")
        if name in self._let_go:
            return RunOutcome(name, "stopped")
        said = read_attempt(folder)
        message = said.message if said is not None and said.attempt == order.attempt else ""
        why = (end.said or message or f"its process ended with code {end.code}").rstrip(".")
        if end.code == FULL:
            raise RunFolderError(f"{why}. Make room, and give the same command again: everything goes on from here.")
        self._failures[name] = self._failures.get(name, 0) + 1
        if end.code == REFUSED or self._failures[name] > self.retries:
            return RunOutcome(name, "failed", why)
        again = order._replace(attempt=order.attempt + 1)
        self._hand[name] = again
        self.engine.begin(again, NEEDS)
        return Retry(name, why)
