"""How a sweep stands, in figures: how many cells are in which state, how fast they go, how long it will take still."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .folder import CellState
from .plan import Cell

STATES = ("running", "failed", "stopped", "waiting", "done")  # in the order of what wants looking at
OVER = ("done", "failed")  # nothing is left to do
SEEDS = 10  # of a cell whose file says nothing, as of a recipe
MEASURED = 60.0, 3  # seconds and cells ended, from which on the pace is counted and not derived


class Standing(NamedTuple):
    """All cells together."""

    counts: dict[str, int]  # state -> cells, of `STATES` those that some cell is in
    cells: int
    share: float  # of all env steps over all seeds that are done or will never be, 0..1
    rate: float  # env steps a second of the running cells, over all their seeds
    per_hour: float  # cells; NaN where nothing is known
    left: float  # seconds until all are over; NaN where nothing is known, as while none is running


class Pace:
    """Turns looks at a sweep into `Standing`s; remembers how many cells have ended since the first one."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None

    def look(self, cells: Sequence[Cell], states: Mapping[str, CellState], now: float) -> Standing:
        """How it stands.

        Args:
            cells: of the plan.
            states: by the cells' names.
            now: seconds of any clock that only goes forward.
        """
        counts: dict[str, int] = defaultdict(int)
        for cell in cells:
            counts[states[cell.name].state] += 1
        over = sum(counts[state] for state in OVER)
        if self._began is None:
            self._began = now, over
        passed, ended = now - self._began[0], over - self._began[1]
        costs = _Costs(cells, states)
        remaining = {cell.name: costs.left(cell, states[cell.name]) for cell in cells}
        busy = counts["running"]
        left = math.nan
        if over == len(cells):
            left = 0.0
        elif busy and not any(map(math.isnan, remaining.values())):
            longest = max(remaining[cell.name] for cell in cells if states[cell.name].state == "running")
            left = max(sum(remaining.values()) / busy, longest)
        each = [seconds for cell in cells if (seconds := costs.whole(cell, states[cell.name])) > 0]
        per_hour = 3600 * busy * len(each) / sum(each) if busy and each else math.nan
        if passed >= MEASURED[0] and ended >= MEASURED[1]:
            per_hour = 3600 * ended / passed
        return Standing(
            counts={state: counts[state] for state in STATES if counts[state]},
            cells=len(cells),
            share=_share(cells, states),
            rate=sum(states[cell.name].rate for cell in cells if states[cell.name].state == "running"),
            per_hour=per_hour,
            left=left,
        )


def seeds_of(cell: Cell, state: CellState) -> int:
    """How many seeds a cell trains: those that have told of themselves, or what the file says."""
    said = cell.settings.get("seeds", SEEDS)
    return len(state.returns) or (said if isinstance(said, int) and said > 0 else SEEDS)


def time_left(cell: Cell, state: CellState) -> float:
    """Seconds that a running cell will take still, at its own rate; NaN where that is not known."""
    steps = max(state.total_steps - state.env_steps, 0) * seeds_of(cell, state)
    return steps / state.rate if state.state == "running" and state.rate > 0 else math.nan


class _Costs:
    """Seconds that an env step of one seed takes, by what has run: of the same contestant on the same environment
    where there is one, else on the same environment, else of all."""

    def __init__(self, cells: Iterable[Cell], states: Mapping[str, CellState]) -> None:
        known: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for cell in cells:
            state = states[cell.name]
            work = state.env_steps * seeds_of(cell, state)
            cost = 0.0
            if state.state == "running" and state.rate > 0:
                cost = 1 / state.rate
            elif state.state == "done" and work:
                cost = state.seconds / work
            if cost > 0:
                for key in _keys(cell):
                    known[key].append(cost)
        self._means = {key: sum(costs) / len(costs) for key, costs in known.items()}

    def of(self, cell: Cell) -> float:
        """NaN where nothing has run."""
        return next((self._means[key] for key in _keys(cell) if key in self._means), math.nan)

    def left(self, cell: Cell, state: CellState) -> float:
        """Seconds."""
        if state.state in OVER:
            return 0.0
        own = time_left(cell, state)
        return self._seconds(cell, state, state.env_steps) if math.isnan(own) else own

    def whole(self, cell: Cell, state: CellState) -> float:
        """Seconds, from its beginning to its end."""
        return self._seconds(cell, state, 0)

    def _seconds(self, cell: Cell, state: CellState, done: int) -> float:
        return max(state.total_steps - done, 0) * seeds_of(cell, state) * self.of(cell)


def _keys(cell: Cell) -> tuple[tuple[str, ...], ...]:
    return (cell.env, cell.label), (cell.env,), ()


def _share(cells: Sequence[Cell], states: Mapping[str, CellState]) -> float:
    whole = done = 0
    for cell in cells:
        state = states[cell.name]
        work = state.total_steps * seeds_of(cell, state)
        whole += work
        taken = work if state.state in OVER else min(state.env_steps * seeds_of(cell, state), work)
        done += taken
    return done / whole if whole else float(all(states[cell.name].state in OVER for cell in cells))
