"""Drives a sweep: hands cells to an engine, sees how each ends, and tries again what may do better.

What it knows lies in the folder at every moment, so that it may be killed, and another one goes on.
"""

import contextlib
import signal
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ..cells.attempt import read_attempt
from ..cells.perform import DONE, FULL, REFUSED
from ..engines.engine import CellEnd, Engine, Needs
from ..errors import RlbenchError
from ..rollout.signals import Interrupts
from ..sweep.folder import CELLS, state_of
from ..sweep.index import CellState, Index, Phase
from ..units import duration
from .line import Prepared, WaitingLine
from .mirror import Mirror
from .prepare import Recipes

WAIT = 0.25  # seconds between two looks at cells, at most
LOOK, SHARE = 0.5, 0.01  # seconds between two looks of whoever looks on, and of the time at most
KILLS = 30  # attempts at a cell that may be killed for each that may fail, though each got a little further


class Onlooker(Protocol):
    """Whoever shows a sweep that is driven."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def look(self, states: Mapping[str, CellState]) -> None:
        """How it stands now; called a few times a second."""


class Driver:
    """One sweep, from where it stands to its end.

    Args:
        recipes: of its cells.
        out: its folder, which is ours.
        engine: where cells run.
        index: ready to be written to; its states are those of all cells.
        needs: what every cell takes; cpus 0: as many as its recipe has processes and threads.
        retries: how often an attempt that failed is followed by another.
        mirror: of the store that run folders are kept in; None: they lie below ``out``.
        onlooker: told what happens.
        time_limit: seconds that an attempt may take before it counts as failed; 0: as long as it likes.
    """

    def __init__(
        self,
        recipes: Recipes,
        out: Path,
        engine: Engine,
        index: Index,
        *,
        needs: Needs,
        retries: int,
        mirror: Mirror | None,
        onlooker: Onlooker,
        time_limit: float = 0.0,
    ) -> None:
        self.recipes, self.out, self.engine, self.index = recipes, out, engine, index
        self.retries, self.mirror, self.onlooker, self.time_limit = retries, mirror, onlooker, time_limit
        self.hung = -signal.SIGALRM if time_limit else None  # exit code of a cell that its time limit had to kill
        self.states = index.states
        self.cells = {cell.name: cell for cell in recipes.cells}
        self.line = WaitingLine(
            recipes,
            self.states,
            out,
            needs=needs,
            time_limit=time_limit,
            mirror=mirror,
            note=onlooker.note,
            refuse=self._refuse,
        )
        self.cpus: Counter[str] = Counter()  # kinds of CPU that cells ran on
        self.full = ""  # what was said of a disk without room
        self.silent = ""  # and of a store that has not answered for long
        self._hand: dict[str, CellState] = {}  # cells in hand, as they stood when they were handed over
        self._kinds: dict[str, tuple[str, str]] = {}
        self._failures: Counter[str] = Counter()
        self._kills: Counter[str] = Counter()
        self._stopping = False

    def run(self, interrupts: Interrupts) -> None:
        """Until every cell has ended, or a signal came and all have stopped, saved."""
        taken = self.engine.taken()
        for name, attempt in taken.items():
            if name in self.cells and self.states[name].state != "done":
                self._take(name, self.states[name]._replace(state="running", attempt=attempt))
        self.line.cells = deque(cell for cell in self.line.cells if cell.name not in self._hand)
        due = 0.0
        try:
            while self._hand or (not self._stopping and self.line):
                self.silent = self.silent or ("" if self._hand else self.line.silent_for_long)
                if (interrupts.signal or self.full or self.silent) and not self._stopping:
                    self._stopping = True
                    self.engine.stop()
                if not self._stopping:
                    self._hand_over()
                for end in self._ended():
                    self._end(end)
                if (began := time.monotonic()) >= due:
                    self._see_queue()
                    self.onlooker.look(self._seen())
                    due = time.monotonic() + max(LOOK, (time.monotonic() - began) / SHARE)
            self.onlooker.look(self._seen())
        except KeyboardInterrupt:  # the user insists
            self.engine.stop(insist=True)
            raise

    def _ended(self) -> list[CellEnd]:
        """Cells that have ended, with their run folders below ``out``."""
        ended = self.engine.wait(WAIT if self._hand or self.line.silent_since else 0.0)
        if self.mirror is None:
            return ended
        for end in ended:
            self.mirror.end(end)
        return self.mirror.ended()

    def _hand_over(self) -> None:
        """Give the engine all that it has room for."""
        begun = []
        line = self.line
        while line.prepare() and self.engine.free(line.ready[0].needs) > 0:
            ready = line.ready.popleft()
            self.engine.begin(ready.order, ready.needs)
            name = ready.cell.name
            if self.mirror:
                self.mirror.follow(name)
            before = self.states[name]
            total = int(ready.order.recipe["total_steps"])
            self._kinds[name] = ready.kind
            self._hand[name] = before
            begun.append((name, before._replace(state="running", attempt=ready.order.attempt, total_steps=total)))
        if begun:
            queued = self.engine.queued()
            self._put([(name, state._replace(state="queued") if name in queued else state) for name, state in begun])
        if not self._hand and line.ready:
            self._check(line.ready[0])
        line.fill()

    def _check(self, ready: Prepared) -> None:
        """Nothing is in hand, and the engine takes not even this one: it may never do."""
        try:
            self.engine.check(ready.needs)
        except RlbenchError as e:
            self.line.ready.popleft()
            self._refuse(ready.cell.name, str(e))

    def _refuse(self, name: str, why: str) -> None:
        self._settle(name, self.states[name]._replace(state="failed", message=why))

    def _take(self, name: str, state: CellState) -> None:
        self._hand[name] = state
        if self.mirror:
            self.mirror.follow(name)
        self._put([(name, state)])

    def _end(self, end: CellEnd) -> None:
        """See how a cell ended, and what is to be done about it."""
        name = end.cell
        if name not in self._hand:
            return
        before, folder = self._hand.pop(name), self.out / CELLS / name
        now, attempt = self.states[name], read_attempt(folder)
        state = state_of(folder, before._replace(attempt=now.attempt - 1, total_steps=now.total_steps))
        state = state._replace(attempt=now.attempt, digest=now.digest, where=end.where or state.where)
        peak = max(end.peak, state.peak)
        if peak and (kind := self._kinds.get(name)):
            self.line.peaks[kind] = max(self.line.peaks.get(kind, 0), peak)
        if attempt and attempt.cpu:
            self.cpus[f"{attempt.cpu}, MKL mode {attempt.mode or 'its own'}"] += 1
        if end.code == DONE and state.state == "done":
            self._settle(name, state)
            return
        own = attempt is not None and attempt.attempt == now.attempt  # else it died before its first word
        said = state.message if own and state.state in ("failed", "stopped") else ""
        if end.code == DONE:  # as of os._exit(0) somewhere in the code that is run
            said = "its process ended before its run did, with code 0"
        said = said or end.said or ("lost" if end.code is None else f"its process ended with code {end.code}")
        if end.code is not None and end.code == self.hung:
            said = f"its time limit of {duration(self.time_limit)} came, and it could not save: killed"
        if end.code == FULL:
            said = said.partition(". ")[0]  # what to do about it is for the whole sweep to say
            self.full = self.full or said
        state = state._replace(message=said)
        if end.code == FULL:
            self._settle(name, state._replace(state="stopped"))
        elif self._stopping and (end.code is None or end.code < 0 or end.code > 128):
            saved = end.code is not None and end.code > 128
            self._settle(name, state._replace(state="stopped", message="" if saved else said))
        elif end.code == REFUSED:
            self._settle(name, state._replace(state="failed"))
        else:
            self._again(name, state, end, further=state.env_steps > before.env_steps)

    def _again(self, name: str, state: CellState, end: CellEnd, *, further: bool) -> None:
        """Try once more, if that is allowed still.

        An attempt that was killed, or whose machine is gone, counts as a failed one where it got no further than the
        one before: on machines that die often a long cell would come to no end else. That has an end too: of one that
        gains a step each time.
        """
        killed = end.code is None or (end.code < 0 and end.code != self.hung) or end.code > 128
        self._failures[name] += not (killed and further)
        self._kills[name] += killed
        if self._kills[name] >= KILLS * (self.retries + 1):
            said = f"{state.message}, {self._kills[name]:,} times, each a little further than before"
            self._settle(name, state._replace(state="failed", message=said))
            return
        if self._failures[name] > self.retries:
            self._settle(name, state._replace(state="failed"))
            return
        if end.code == -9 and (kind := self._kinds.get(name)):  # it may have been short of memory
            self.line.peaks[kind] = 2 * max(self.line.peaks.get(kind, 0), state.peak)
        state = state._replace(state="waiting")
        self._settle(name, state)
        self.line.cells.appendleft(self.cells[name])

    def _settle(self, name: str, state: CellState) -> None:
        self._put([(name, state)])

    def _put(self, rows: list[tuple[str, CellState]]) -> None:
        """Note it. A disk without room stops the sweep; what it has done lies in the run folders all the same."""
        try:
            if rows:
                self.index.put(rows)
        except OSError as e:
            self.full = self.full or f"cannot write {self.index.path}: {e.strerror or e}"

    def _see_queue(self) -> None:
        """Note which cells wait in a queue of the engine's own, and which have left it."""
        queued, rows = self.engine.queued(), []
        for name in self._hand:
            row = self.states[name]
            phase: Phase = "running"
            if name in queued:
                said = read_attempt(self.out / CELLS / name)
                begun = said is not None and said.attempt == row.attempt and said.state != "stopped"
                phase = "running" if begun else "queued"  # one that has saved may be back in the queue
            if row.state != phase:
                rows.append((name, row._replace(state=phase)))
        self._put(rows)

    def _seen(self) -> dict[str, CellState]:
        """The states, with what the cells in hand say of themselves."""
        live = {}
        for name in self._hand:
            with contextlib.suppress(OSError):
                if attempt := read_attempt(self.out / CELLS / name):
                    row = self.states[name]
                    if attempt.attempt == row.attempt:
                        live[name] = row._replace(
                            env_steps=attempt.env_steps,
                            rate=attempt.rate,
                            returns=attempt.returns,
                            seconds=row.seconds + attempt.seconds,
                        )
        return {**self.states, **live}
