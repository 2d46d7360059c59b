"""The cells of a sweep that wait for room, in the order in which they are handed over; a few are prepared ahead."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..cells.order import Order
from ..engines.engine import Needs
from ..errors import RlbenchError, StoreError
from ..process.places import home
from ..recipe import Recipe
from ..sweep.folder import CELLS
from ..sweep.index import CellState
from ..sweep.plan import Cell
from .mirror import Mirror
from .prepare import Recipes

AHEAD = 4  # cells that are prepared before there is room for them
ASK_AGAIN, SILENT = 10.0, 600.0  # seconds until a store that did not answer is asked again, and how long that goes on


class Prepared(NamedTuple):
    """A cell that can be handed over."""

    cell: Cell
    order: Order
    needs: Needs
    kind: tuple[str, str]  # cells of one kind take about the same memory


class WaitingLine:
    """Waiting cells.

    Args:
        recipes: of all cells.
        states: of all cells; those that are done do not wait.
        out: the sweep folder.
        needs: what every cell takes; cpus 0: as many as its recipe has processes and threads.
        time_limit: seconds of an attempt; 0: as long as it likes.
        mirror: of the store that run folders are kept in; None: they lie below ``out``.
        note: told what the user should know.
        refuse: told the name of a cell that cannot be run, and why.

    Attributes:
        cells: that nothing was done for yet.
        ready: those that are prepared, which come before.
        peaks: bytes that a cell of a kind took at most.
        silent_since: when the store last fell silent; 0: it answers.
        silent_for_long: what was said of a store that has not answered for `SILENT` seconds.
    """

    def __init__(
        self,
        recipes: Recipes,
        states: Mapping[str, CellState],
        out: Path,
        *,
        needs: Needs,
        time_limit: float,
        mirror: Mirror | None,
        note: Callable[[str], object],
        refuse: Callable[[str, str], object],
    ) -> None:
        self._recipes, self._states, self._out = recipes, states, out
        self._needs, self._time_limit, self._mirror = needs, time_limit, mirror
        self._note, self._refuse = note, refuse
        self.cells = deque(cell for cell in recipes.cells if states[cell.name].state != "done")
        self.ready: deque[Prepared] = deque()
        self.peaks: dict[tuple[str, str], int] = {}
        self.silent_since = self._ask_at = 0.0
        self.silent_for_long = ""

    def __bool__(self) -> bool:
        return bool(self.cells or self.ready)

    def fill(self) -> None:
        """Prepare a few cells more."""
        while len(self.ready) < AHEAD and self.prepare(more=True):
            pass

    def prepare(self, *, more: bool = False) -> bool:
        """See that there is a cell to hand over, or with ``more`` one more; False where none is left."""
        if self.ready and not more:
            return True
        while self.cells and time.monotonic() >= self._ask_at:
            cell = self.cells.popleft()
            try:
                ready = self._order(cell, self._recipes.recipe(cell))
            except StoreError as e:
                self.cells.appendleft(cell)
                self._unanswered(e)
                return False
            except RlbenchError as e:  # a combination that does not go together
                self._refuse(cell.name, str(e))
                continue
            if self.silent_since:
                self._note("the store answers again")
                self.silent_since, self.silent_for_long = 0.0, ""
            self.ready.append(ready)
            return True
        return False

    def _unanswered(self, e: StoreError) -> None:
        """The store does not say which attempts there were: no cell begins until it does, and others go on."""
        now = time.monotonic()
        self._ask_at = now + ASK_AGAIN
        said = str(e).rstrip(". ")
        if not self.silent_since:
            self.silent_since = now
            self._note(f"{said}. No further cell begins until it answers; those at work go on.")
        elif now - self.silent_since > SILENT:
            self.silent_for_long = said

    def _order(self, cell: Cell, recipe: Recipe) -> Prepared:
        kind = (cell.env, cell.label)
        cpus = self._needs.cpus or max(recipe.workers, 1) * recipe.threads
        needs = Needs(cpus, self._needs.gpus, self._needs.memory or self.peaks.get(kind, 0))
        order = Order(
            cell=cell.name,
            folder="" if self._mirror else str(self._out / CELLS / cell.name),
            recipe=recipe.content(),
            attempt=max(self._states[cell.name].attempt, self._mirror.attempts(cell.name) if self._mirror else 0) + 1,
            stands=str(home()),
            store=self._mirror.address(cell.name) if self._mirror else "",
            time_limit=self._time_limit,
            sweep=str(self._out) if self._mirror else "",
        )
        return Prepared(cell, order, needs, kind)
