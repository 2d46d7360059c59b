"""The table of a sweep's cells as a panel: drawn from what is known and from the terminal's size, nothing else.

It fits, does without colour and without Unicode, and of many cells shows those that want looking at.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..live import textchart
from ..live.panel import Piece, Size
from ..live.words import mean_text
from ..units import duration
from .index import CellState
from .plan import Cell
from .standing import STATES, SweepStanding, time_left

if TYPE_CHECKING:
    from rich.panel import Panel
    from rich.text import Text

WIDTH = 130  # at most, in characters
LABEL = 7  # the first column above the table
EDGE = 6  # corners and blanks beside the words on the frame
SHORTEST_NAME = 14  # of a cell: before it gets shorter, columns go
COLOURS = {"running": "cyan", "failed": "red", "stopped": "yellow", "queued": "blue", "waiting": "dim", "done": "green"}
COLUMNS = ("cell", "state", "steps", "rate", "return", "time")
SPARED = ("rate", "interval", "time", "steps", "return")  # left out in this order where a terminal is narrow


def sweep_panel(
    title: str,
    cells: Sequence[Cell],
    states: Mapping[str, CellState],
    standing: SweepStanding,
    size: Size,
    hint: str = "",
) -> "Panel | Text":
    """The whole panel, at most ``size.height - 1`` lines high.

    Args:
        title: what the sweep is called.
        cells: of the plan.
        states: by the cells' names.
        standing: of `SweepPace.look`.
        size: of the terminal.
        hint: a few words for the lower edge.
    """
    from rich import box
    from rich.panel import Panel
    from rich.text import Text

    width, height = min(size.width, WIDTH), max(size.height - 1, 1)
    framed = width >= 24 and height >= 9
    inner = Size(width - 4, height - 2, size.plain) if framed else Size(max(width, 1), height, size.plain)
    lines = [_cut(line, inner.width) for line in _lines(cells, states, standing, inner)]
    text = Text("\n", no_wrap=True, overflow="crop").join(
        Text.assemble(*pieces, no_wrap=True, overflow="crop") for pieces in lines
    )
    if not framed:
        return text
    name = f"{title}, {standing.cells:,} cell{'s' * (standing.cells != 1)}"
    return Panel(
        text,
        box=box.ASCII if size.plain else box.ROUNDED,
        title=Text(shortened(name, width - EDGE, plain=size.plain), "bold not dim", no_wrap=True),
        title_align="left",
        subtitle=Text(hint[: width - EDGE], no_wrap=True) if hint else None,
        subtitle_align="left",
        border_style="dim",
        width=width,
    )


def shortened(text: str, width: int, *, plain: bool = False) -> str:
    """``text`` with its middle left out where it is too wide: what tells cells apart stands at their end."""
    if len(text) <= width:
        return text
    dots = ".." if plain else "…"
    if width <= 3 * len(dots):
        return text[len(text) - max(width, 0) :]
    end = (width - len(dots)) * 2 // 3
    return f"{text[: width - len(dots) - end]}{dots}{text[-end:]}"


def chosen(cells: Sequence[Cell], states: Mapping[str, CellState], room: int) -> list[Cell]:
    """The cells that get a line: all, in the order of the plan, where there is room; else running and failed ones
    first, then stopped ones, the last that are done, and the next that are queued or wait."""
    if len(cells) <= room:
        return list(cells)
    by_state: dict[str, list[Cell]] = {state: [] for state in STATES}
    for cell in cells:
        by_state[states[cell.name].state].append(cell)
    failed = by_state["failed"][: max(room - len(by_state["running"]), min(room // 3, len(by_state["failed"])))]
    running = by_state["running"][: room - len(failed)]
    shown = [*running, *failed]
    shown += by_state["stopped"][: room - len(shown)]
    left = room - len(shown)
    coming = [*by_state["queued"], *by_state["waiting"]]
    done = max(left - len(coming), left // 2)
    shown += by_state["done"][-done:] if done else []
    return shown + coming[: room - len(shown)]


def percent(share: float) -> str:
    """99.7 % is not yet all of it."""
    return f"{100 if share >= 1 else min(round(100 * share), 99)} %"


def of_seeds(returns: Sequence[float]) -> str:
    """On how many seeds a return rests, where that is not all of them: the others were lost to losses that are none."""
    known = sum(map(math.isfinite, returns))
    return f" ({known} of {len(returns)} seeds)" if 0 < known < len(returns) else ""


def pace_words(standing: SweepStanding) -> list[str]:
    """Time left, cells an hour, env steps a second: as far as they are known."""
    running = "running" in standing.counts
    left = f"{duration(standing.left)} left" if math.isfinite(standing.left) and running else "? left" * running
    each = standing.per_hour
    hour = f"{each:,.0f} cells/h" if each >= 10 else f"{each:.1f} cells/h" if each > 0 else ""
    idle = "nothing is left to run" if standing.left == 0 else "none is running"
    return [left or idle, *filter(None, [hour, f"{standing.rate:,.0f} env steps/s" * running])]


def _lines(
    cells: Sequence[Cell], states: Mapping[str, CellState], standing: SweepStanding, size: Size
) -> list[list[Piece]]:
    """Figures on all of them, and a table with a line for as many cells as there is room for."""
    above = _above(standing, size)
    room = size.height - len(above) - 1  # without the head of the table
    if room < 1:
        return above[: size.height]
    shown = chosen(cells, states, room if len(cells) <= room else room - 1)
    lines = [*above, *_table(shown, states, size)]
    if len(shown) < len(cells):
        others = dict(standing.counts)
        for cell in shown:
            others[states[cell.name].state] -= 1
        said = ", ".join(f"{count:,} {state}" for state, count in others.items() if count)
        lines.append([(f"and {said}" if shown else said, "dim")])
    return lines


def _above(standing: SweepStanding, size: Size) -> list[list[Piece]]:
    share, cells = standing.share, standing.cells
    figures = f" {percent(share):>5}  {standing.counts.get('done', 0):,} of {cells:,} done"
    room = size.width - LABEL
    if room - len(figures) < 10:
        figures = f" {percent(share)}"
    done, todo = textchart.gauge(share, min(max(room - len(figures), 4), 60), plain=size.plain)
    states: list[Piece] = [
        (f"{count:,} {state}   ", COLOURS[state]) for state, count in standing.counts.items() if state != "done"
    ]
    first, *more = pace_words(standing)
    pace: list[Piece] = [(first, ""), *((f", {text}" if i or first else text, "") for i, text in enumerate(more))]
    return [
        [_label("all"), (done, "cyan"), (todo, "dim"), (figures, "")],
        _fitting("cells", states or [("all done", "green")], size.width),
        _fitting("pace", pace, size.width),
    ]


def _table(shown: Sequence[Cell], states: Mapping[str, CellState], size: Size) -> list[list[Piece]]:
    """The head and a line for each cell, in as many columns as have room."""
    rows = [_row(cell, states[cell.name]) for cell in shown]
    columns, names = list(COLUMNS), max([len(cell.name) for cell in shown] + [4])

    def widths() -> dict[str, int]:
        return {c: max([len(c), *(len(row[c]) for row in rows)]) for c in columns if c != "cell"}

    for spared in SPARED:
        room = size.width - sum(width + 2 for width in widths().values())
        if room >= min(names, max(SHORTEST_NAME, size.width // 3)):
            break
        if spared == "interval":
            for row in rows:
                first, _, rest = row["return"].partition(" ")
                _, lost, seeds = rest.partition("(")
                row["return"] = f"{first} ({seeds}" if lost else first
        elif spared == "steps":
            for row in rows:
                row["steps"] = row["steps"].rpartition("(")[2].rstrip(")")
        else:
            columns.remove(spared)
    wide = widths()
    name = max(min(names, size.width - sum(width + 2 for width in wide.values())), 4)
    lines: list[list[Piece]] = [[(f"{'cell':<{name}}", "dim")]]
    lines[0] += [("  " + (f"{c:<{wide[c]}}" if c == "state" else f"{c:>{wide[c]}}"), "dim") for c in columns[1:]]
    for cell, row in zip(shown, rows, strict=True):
        state = states[cell.name]
        line: list[Piece] = [(f"{shortened(cell.name, name, plain=size.plain):<{name}}", "")]
        line.append((f"  {row['state']:<{wide['state']}}", COLOURS[state.state]))
        if state.state in ("failed", "stopped") and state.message:
            line.append((f"  {' '.join(state.message.split())}", COLOURS[state.state]))
        else:
            line += [
                (f"  {row[c]:>{wide[c]}}", "dim" if state.state in ("queued", "waiting") else "") for c in columns[2:]
            ]
        lines.append(line)
    return lines


def _row(cell: Cell, state: CellState) -> dict[str, str]:
    """The texts of one line, without the cell's name; "-" for what there is nothing to say of."""
    done = state.env_steps / state.total_steps if state.total_steps else 0.0
    returns = np.array(state.returns, np.float64)
    lost = of_seeds(state.returns) if state.state == "done" else ""
    left = time_left(cell, state)
    when = "" if math.isnan(left) else f"{duration(left)} left"
    return {
        "state": state.state + (f" ({state.attempt})" if state.attempt > 1 and state.state != "done" else ""),
        "steps": f"{state.env_steps:,} ({percent(done)})" if state.env_steps else "-",
        "rate": f"{state.rate:,.0f}/s" if state.state == "running" and state.rate else "-",
        "return": mean_text(returns) + lost if np.isfinite(returns).any() else "-",
        "time": when if state.state == "running" else duration(state.seconds) if state.seconds else "-",
    }


def _label(text: str) -> Piece:
    return f"{text:<{LABEL}}", "dim"


def _fitting(label: str, pieces: Sequence[Piece], width: int) -> list[Piece]:
    """A line of ``pieces`` without those at its end that have no room; the first one is cut if need be."""
    left, line = width - LABEL, [_label(label)]
    for text, style in pieces:
        if len(text.rstrip()) > left and len(line) > 1:
            break
        line.append((text[: max(left, 0)], style))
        left -= len(text)
    return line


def _cut(line: Sequence[Piece], width: int) -> list[Piece]:
    """The line without what goes beyond ``width``."""
    kept = []
    for text, style in line:
        kept.append((text[: max(width, 0)], style))
        width -= len(text)
    return kept
