"""A sweep shown while it runs: a panel on a terminal, plain lines for everything else.

For `rlbench sweep` and `rlbench watch`; what the panel holds is drawn by `panel`.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..live.progress import Screen, make_console
from ..live.words import mean_text
from ..process.outputs import err, out
from ..units import duration
from .index import CellState
from .panel import of_seeds, pace_words, percent, sweep_panel
from .plan import Cell
from .standing import SweepPace, SweepStanding

if TYPE_CHECKING:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

PLAIN_SECONDS = 30.0  # between two summary lines


class View(Protocol):
    """Shows a sweep; `look` may be called as often as one likes."""

    def look(self, states: Mapping[str, CellState], hint: str = "") -> None:
        """Show how it stands.

        Args:
            states: by the cells' names.
            hint: a few words on what the user may do.
        """

    def note(self, text: str) -> None:
        """Say something that the user should know."""

    def close(self) -> None:
        """Nothing more is shown; the terminal is as it was, with the newest panel on it."""


def view_for(progress: str, title: str, cells: Sequence[Cell]) -> View:
    """The view for ``--progress``: "auto" is a panel on a terminal and plain lines elsewhere; "plain"; "none"."""
    if progress == "none":
        return Unseen()
    if progress == "plain" or not sys.stdout.isatty():
        return CellLines(cells)
    console = make_console()
    return CellLines(cells) if console.is_dumb_terminal else CellPanel(title, cells, Screen(console))


class Unseen:
    """Shows nothing; notes still go to standard error."""

    def look(self, states: Mapping[str, CellState], hint: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        print(f"note: {text}", file=err(), flush=True)

    def close(self) -> None:
        pass


class CellLines:
    """A line for every cell that ends, and every half minute one on all of them: for pipes and log files."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells, self._pace = cells, SweepPace()
        self._before: Mapping[str, tuple[str, int]] | None = None  # state and attempt of each cell at the last look
        self._next = 0.0

    def look(self, states: Mapping[str, CellState], hint: str = "") -> None:
        now = time.monotonic()
        standing = self._pace.look(self._cells, states, now)
        for line in self.new(states):
            print(line, file=out(), flush=True)
        if now >= self._next:
            self._next = now + PLAIN_SECONDS
            print(summary_line(standing), file=out(), flush=True)

    def new(self, states: Mapping[str, CellState]) -> list[str]:
        """A line for each cell that has ended, failed or stopped since the last call; at the first call, none."""
        now = {cell.name: (states[cell.name].state, states[cell.name].attempt) for cell in self._cells}
        before, self._before = self._before, now
        if before is None:
            return []
        ended = [name for name, (state, _) in now.items() if state in ("done", "failed", "stopped")]
        return [ended_line(name, states[name]) for name in ended if before.get(name) != now[name]]

    def note(self, text: str) -> None:
        print(f"note: {text}", file=err(), flush=True)

    def close(self) -> None:
        pass


class CellPanel:
    """A panel that is drawn over, for a terminal."""

    def __init__(self, title: str, cells: Sequence[Cell], screen: Screen) -> None:
        self._title, self._cells, self._screen, self._pace = title, cells, screen, SweepPace()
        self._states: Mapping[str, CellState] = {}

    def look(self, states: Mapping[str, CellState], hint: str = "") -> None:
        self._states = states
        self._screen.show(self.drawn(states, hint))

    def note(self, text: str) -> None:
        self._screen.console.print(f"note: {text}", markup=False, soft_wrap=True)

    def close(self) -> None:
        self._screen.close()
        if self._states:
            self._screen.console.print(self.drawn(self._states))
            self._states = {}

    def drawn(self, states: Mapping[str, CellState], hint: str = "") -> "Panel | Text":
        """The panel as it is shown now."""
        standing = self._pace.look(self._cells, states, time.monotonic())
        return sweep_panel(self._title, self._cells, states, standing, self._screen.size(), hint)

    @property
    def console(self) -> "Console":
        """Where it is drawn."""
        return self._screen.console


def ended_line(name: str, state: CellState) -> str:
    """What to say of a cell that has come to an end, or to a stop."""
    if state.state == "done":
        said = f"return {mean_text(np.array(state.returns))}{of_seeds(state.returns)}, " if state.returns else ""
        return f"done     {name}: {said}{state.env_steps:,} env steps, {duration(state.seconds)}"
    why = f": {' '.join(state.message.split())}" if state.message else ""
    again = f", attempt {state.attempt}" if state.attempt > 1 else ""
    return f"{state.state:<8} {name}{again}{why}"


def summary_line(standing: SweepStanding) -> str:
    """All cells in one line."""
    states = ", ".join(f"{count:,} {state}" for state, count in standing.counts.items() if state != "done")
    done = f"{standing.counts.get('done', 0):,} of {standing.cells:,} cells done"
    pace = [text for text in pace_words(standing) if text]
    return "; ".join(filter(None, [f"{done}, {percent(standing.share)}", states, ", ".join(pace)]))
