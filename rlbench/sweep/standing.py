"""How a sweep stands, in figures: how many cells are in which state, how fast they go, how long it will take still."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..units import SECONDS
from .index import CellState
from .plan import Cell

STATES = ("running", "failed", "stopped", "queued", "waiting", "done")  # in the order of what wants looking at
OVER = ("done", "failed")  # nothing is left to do
SEEDS = 10  # of a cell whose file says nothing, as of a recipe
MEASURED = 60.0, 3  # seconds and cells ended, from which on the pace is counted and not derived


class SweepStanding(NamedTuple):
    """All cells together."""

    counts: dict[str, int]  # state -> cells, of `STATES` those that some cell is in
    cells: int
    share: float  # of all env steps over all seeds that are done or will never be, 0..1
    rate: float  # env steps a second of the running cells, over all their seeds
    per_hour: float  # cells; NaN where nothing is known
    left: float  # seconds until all are over; NaN where nothing is known, as while none is running


class SweepPace:
    """Turns looks at a sweep into `SweepStanding`s; remembers how many cells have ended since the first one."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None

    def look(self, cells: Sequence[Cell], states: Mapping[str, CellState], now: float) -> SweepStanding:
        """How it stands.

        Args:
            cells: of the plan.
            states: by the cells' names.
            now: seconds of any clock that only goes forward.
        """
        counts: dict[str, int] = dict.fromkeys(STATES, 0)
        groups: dict[tuple[Any, ...], _Group] = {}
        for cell in cells:
            state, said = states[cell.name], cell.settings
            key = cell.env, cell.label, said.get("total_steps", 0), said.get("seeds", SEEDS)
            if key not in groups:
                groups[key] = _Group()
            counts[state.state] += 1
            groups[key].take(cell, state)
        over = sum(counts[state] for state in OVER)
        if self._began is None:
            self._began = now, over
        passed, ended = now - self._began[0], over - self._began[1]
        _fill(groups)
        all_groups, busy = groups.values(), counts["running"]
        left = math.nan
        if over == len(cells):
            left = 0.0
        elif busy:
            longest = max(group.longest for group in all_groups)
            left = max(sum(group.left() for group in all_groups) / busy, longest)
        work = sum(group.seeds * group.total * group.cost for group in all_groups)  # seconds of one process
        per_hour = SECONDS["h"] * busy * len(cells) / work if busy and work > 0 else math.nan
        if passed >= MEASURED[0] and ended >= MEASURED[1]:
            per_hour = SECONDS["h"] * ended / passed
        whole = sum(group.seeds * group.steps_each for group in all_groups)
        return SweepStanding(
            counts={state: count for state, count in counts.items() if count},
            cells=len(cells),
            share=sum(group.over * group.steps_each + group.steps for group in all_groups) / whole if whole else 1.0,
            rate=sum(group.rate for group in all_groups),
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


class _Group:
    """Cells of one contestant on one environment, summed up: of a hundred thousand, none is looked at twice.

    Attributes:
        seeds: of all its cells together.
        over: of those that are over.
        steps: env steps of all seeds of the others.
        rate: env steps a second of those that run.
        longest: seconds that the slowest of those takes still.
        own: seconds left of those that run, by their own rates.
        rest: seeds of the cells that neither are over nor have a rate.
        rest_steps: their env steps, over all seeds.
        totals: what cells have told of their env steps per seed.
        costs: seconds that an env step of one seed takes in each cell that has run.
        total: env steps per seed; NaN where nothing says so.
        cost: seconds; NaN where nothing has run.
    """

    def __init__(self) -> None:
        self.seeds = self.over = self.steps = self.rest = self.rest_steps = 0
        self.rate = self.longest = self.own = 0.0
        self.total = self.cost = math.nan
        self.totals: list[float] = []
        self.costs: list[float] = []

    def take(self, cell: Cell, state: CellState) -> None:
        seeds = seeds_of(cell, state)
        work = state.env_steps * seeds
        self.seeds += seeds
        if state.total_steps:
            self.totals.append(state.total_steps)
        if state.state in OVER:
            self.over += seeds
            if state.state == "done" and work and state.seconds > 0:
                self.costs.append(state.seconds / work)
            return
        self.steps += work
        left = time_left(cell, state)
        if math.isnan(left):
            self.rest += seeds
            self.rest_steps += work
            return
        self.rate += state.rate
        self.own += left
        self.longest = max(self.longest, left)
        self.costs.append(1 / state.rate)

    @property
    def steps_each(self) -> float:
        """Env steps per seed, or 1 where nothing says how many: then all cells count the same."""
        return 1.0 if math.isnan(self.total) else self.total

    def left(self) -> float:
        """Seconds of one process; NaN where that is not known."""
        rest = max(self.rest * self.total - self.rest_steps, 0) * self.cost if self.rest else 0.0
        return self.own + rest


def _fill(groups: Mapping[tuple[Any, ...], _Group]) -> None:
    """Set total and cost of every group: by its own cells where they tell, else by those of the same environment, else
    by all."""
    totals: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    costs: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for key, group in groups.items():
        for part in _kinds(key):
            totals[part] += group.totals
            costs[part] += group.costs
    for key, group in groups.items():
        said = key[2]
        told = next((totals[part] for part in _kinds(key) if totals[part]), [])
        group.total = said if isinstance(said, int) and said > 0 else sum(told) / len(told) if told else math.nan
        found = next((costs[part] for part in _kinds(key) if costs[part]), [])
        group.cost = sum(found) / len(found) if found else math.nan


def _kinds(key: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    return key[:2], key[:1], ()
