"""The panel that shows a run on a terminal: drawn from a `Status`, a `RecentCurve` and the size of the terminal.

It keeps its height while the run goes on, leaves out what does not fit, and does without colour and without Unicode.
Colours are the terminal's own, and only those that can be read on dark and on light.
"""

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..numbers import number
from ..record.watcher import Status
from ..runfolder.documents import ended
from . import textchart
from .recent_curve import RECENT, RecentCurve, recent_means
from .words import Clock, mean_text, seeds_text, solved_text

if TYPE_CHECKING:
    from rich.panel import Panel
    from rich.text import Text

WIDTH, HEIGHT = 100, 28  # at most, in characters
LABEL = 9  # the first column
EDGE = 6  # corners and blanks beside the words on the frame
SEED_LINES = 12  # seeds that have a line each, at most
BAR_LINES = 3  # for the bars of more seeds, at most
CHART_ROWS = 10  # at most
BAR, SOLVED, FAINT, STRONG = "cyan", "green", "dim", "bold"

Piece = tuple[str, str]  # text and style
Limits = tuple[float, float]


class Size(NamedTuple):
    """What there is to draw on; ``plain`` is ASCII alone."""

    width: int
    height: int
    plain: bool = False


def panel(status: Status, curve: RecentCurve, clock: Clock, size: Size, state: str = "") -> "Panel | Text":
    """The whole panel, at most ``size.height - 1`` lines high.

    Args:
        status: what to show.
        recent_curve: its history.
        clock: its rate.
        size: of the terminal.
        state: a few words for the lower edge.
    """
    from rich import box
    from rich.panel import Panel
    from rich.text import Text

    width, height = min(size.width, WIDTH), min(size.height - 1, HEIGHT)
    framed = width >= 24 and height >= 9
    inner = Size(width - 4, height - 2, size.plain) if framed else Size(max(width, 8), max(height, 1), size.plain)
    lines = [_cut(line, inner.width) for line in _lines(status, curve, clock, inner)]
    text = Text("\n").join(Text.assemble(*pieces) for pieces in lines)
    if not framed:
        return text
    title = [f"{status.recipe.agent.rpartition(':')[2]} on {status.recipe.env}", f", {seeds_text(status.recipe.seeds)}"]
    return Panel(
        text,
        box=box.ASCII if size.plain else box.ROUNDED,
        title=Text(_whole(title, width - EDGE), f"{STRONG} not dim", no_wrap=True),
        title_align="left",
        subtitle=Text(_whole(re.split(r"(?=[,;] )", state), width - EDGE), no_wrap=True) if state else None,
        subtitle_align="left",
        border_style=FAINT,
        width=width,
    )


def _lines(status: Status, curve: RecentCurve, clock: Clock, size: Size) -> list[list[Piece]]:
    """The lines inside the frame: figures above and below, and between them what room there is for pictures."""
    above, below = _above(status, clock, size), _below(status, size)
    room = size.height - len(above) - len(below)
    if room < 1:
        return [*above, *below][: size.height]
    seeds = status.recipe.seeds
    end, limits = _axis_end(status), textchart.nice_range(*(curve.limits() or (0.0, 1.0)))
    width = max(size.width - LABEL, 1)  # of pictures
    if seeds == 1:
        of_seeds = []  # the curve says it all
    elif seeds <= min(SEED_LINES, room - 5):
        ends = _line_ends(status, size.plain)
        width = max(width - len(ends[0]), 1)
        of_seeds = _seed_lines(status, curve, ends, width, size.plain, end, limits)
    else:
        of_seeds = _seed_bars(status, width, size.plain, limits)[:room]
    rows = min(room - len(of_seeds), CHART_ROWS + 1)
    return [*above, *_chart(curve, width, size.plain, rows, end, limits), *of_seeds, *below]


def _above(status: Status, clock: Clock, size: Size) -> list[list[Piece]]:
    total = status.recipe.total_steps
    stopped = {why for why in status.scores.stopped if why}
    over = (clock.over and ended(status.summary)) or None not in status.scores.stopped
    share = 1.0 if over else min(status.env_steps / total, 1)
    # 99.7 % is not yet all of it, and what all seeds have stopped at is.
    percent = 100 if share == 1 else min(round(100 * share), 99)
    figures = f" {percent:3} %  {status.env_steps:,} of {total:,}"
    if over and status.env_steps < total:
        figures += f": {status.summary['stopped_because'] if clock.over else ', '.join(sorted(stopped))}"
    room = size.width - LABEL
    if room - len(figures) < 10:
        figures = figures.partition(":")[0]
    if room - len(figures) < 10:
        figures = figures.partition(" of ")[0]
    if room - len(figures) < 4:
        figures = figures.partition(" %")[0] + " %"
    done, todo = textchart.gauge(share, max(room - len(figures), 4), plain=size.plain)
    left = "" if clock.over else f", {clock.left(status)} left"
    return [
        [_label("steps"), (done, BAR), (todo, FAINT), (figures, "")],
        _fitting("rate", [(f"{clock.rate:,.0f} env steps/s", ""), (left, "")], size.width),
        _fitting(
            "return",
            [*_mean_pieces(recent_means(status.scores), STRONG), (f"  mean of the last {RECENT} episodes", FAINT)],
            size.width,
        ),
    ]


def _below(status: Status, size: Size) -> list[list[Piece]]:
    evaluated = np.array(status.scores.evaluated)
    known = np.isfinite(evaluated).any()
    greedy = [*_mean_pieces(evaluated, ""), ("  newest evaluation", FAINT)] if known else [("-", "")]
    solved, at, threshold = solved_text(status).partition(" at ")
    figures = [(name, number(_mean(values))) for name, values in _ordered(status.numbers)]
    first, *others = figures or [("learning", "-")]
    return [
        _fitting("greedy", greedy, size.width),
        _fitting("solved", [(solved or "-", ""), (at + threshold, "")], size.width),
        _fitting(first[0], [(first[1], ""), *((f"   {name} {value}", "") for name, value in others)], size.width),
    ]


def _mean_pieces(means: np.ndarray, style: str) -> list[Piece]:
    """The mean and its interval: where there is no room for both, the mean alone."""
    mean, bracket, interval = mean_text(means).partition(" [")
    return [(mean, style), (bracket + interval, style)]


def _ordered(numbers: dict[str, list[float]]) -> list[tuple[str, list[float]]]:
    """Epsilon and loss first."""
    first = [name for name in ("epsilon", "loss") if name in numbers]
    return [(name, numbers[name]) for name in [*first, *(name for name in numbers if name not in first)]]


def _mean(per_seed: list[float]) -> float:
    known = [value for value in per_seed if value == value]
    return sum(known) / len(known) if known else float("nan")


def _chart(curve: RecentCurve, width: int, plain: bool, rows: int, end: int, limits: Limits) -> list[list[Piece]]:
    """The mean curve with its band in ``rows`` lines, the last of which is the axis where there are enough."""
    if rows < 1:
        return []
    axis = rows >= 4
    height = rows - axis
    if not curve.steps:
        return [[_label("")] for _ in range(rows)]
    steps = (np.arange(2 * width) + 0.5) / (2 * width) * end  # (2 * width,)
    steps[np.searchsorted(steps, curve.steps[-1]) - 1 :][:1] = curve.steps[-1]  # up to the newest point
    mean, low, high = (curve.at(steps, values) for values in (curve.mean, curve.low, curve.high))
    cells = textchart.curve(mean, low, high, height, limits, plain=plain)
    marks = {0: limits[1], height - 1: limits[0]} if height > 1 else {0: limits[1]}
    lines = []
    for i, (row, on_curve) in enumerate(zip(cells.rows, cells.on_curve, strict=True)):
        lines.append([_mark(marks.get(i), plain), *_runs(row, on_curve)])
    if axis:
        lines.append([_label(""), (_axis(end, width), FAINT)])
    return lines


def _axis(end: int, width: int) -> str:
    """Start, middle and end of the axis, as many of them as have room as whole numbers."""
    last = next((text for text in (f"{end:,} steps", f"{end:,}") if len(text) + 2 <= width), "")
    middle = f"{end // 2:,}"
    gap = width // 2 - 1 - len(middle) // 2
    text = f"0{middle:>{gap + len(middle)}}"
    text = text if gap > len(middle) and len(text) + len(last) < width else "0"
    return f"{text}{last:>{max(width - len(text), 0)}}"


def _line_ends(status: Status, plain: bool) -> list[str]:
    """What stands behind each seed's bars: its recent return, and a tick once it has solved the environment."""
    texts = [number(value) if value == value else "-" for value in recent_means(status.scores).tolist()]
    wide, tick = max(len(text) for text in texts), "*" if plain else "✓"
    solved = status.scores.solved
    return [f"  {text:>{wide}} {' ' if at is None else tick}" for text, at in zip(texts, solved, strict=True)]


def _seed_lines(
    status: Status, curve: RecentCurve, ends: list[str], width: int, plain: bool, end: int, limits: Limits
) -> list[list[Piece]]:
    """A line for each seed: its recent returns as small bars under the curve's axis, the newest one as a number."""
    steps = (np.arange(width) + 0.5) / width * end
    rows = curve.seeds_at(steps) if curve.steps else np.full((len(ends), width), np.nan)
    lines = []
    for seed, row, text, solved in zip(status.scores.seeds, rows, ends, status.scores.solved, strict=True):
        bars = (textchart.bars(row, *limits, plain=plain), BAR if solved is None else SOLVED)
        lines.append([_label(_seed_name(seed, plain)), bars, (text, "" if solved is None else SOLVED)])
    return lines


def _seed_bars(status: Status, width: int, plain: bool, limits: Limits) -> list[list[Piece]]:
    """One small bar for each seed; for several, where there are very many."""
    recent = recent_means(status.scores)
    solved = np.array([at is not None for at in status.scores.solved])
    known = recent[np.isfinite(recent)]
    spread = f"  {number(known.min())} to {number(known.max())}" if len(known) else ""
    each = -(-len(recent) // (width * BAR_LINES))  # seeds to a bar
    if each > 1:
        groups = [recent[i : i + each] for i in range(0, len(recent), each)]
        recent = np.array([g[np.isfinite(g)].mean() if np.isfinite(g).any() else np.nan for g in groups])
        solved = np.array([solved[i : i + each].all() for i in range(0, len(solved), each)])
    text = textchart.bars(recent, *limits, plain=plain)
    label = "seeds" if each == 1 else f"by {each}"
    lines = []
    for at in range(0, len(text), width):
        runs = _runs(text[at : at + width], solved[at : at + width], SOLVED, BAR)
        lines.append([_label(label if at == 0 else ""), *runs])
    if len(text) + len(spread) <= width:
        lines[0].append((spread, ""))
    return lines


def _axis_end(status: Status) -> int:
    """Where the axis ends: all steps, or a half, a quarter ... of them while that is enough. It seldom changes."""
    end = status.recipe.total_steps
    while end // 2 > status.env_steps and end > 16:
        end //= 2
    return end


def _seed_name(seed: int, plain: bool) -> str:
    """A seed's number in the first column; of a long one the end, which tells it from the next."""
    room = LABEL - 1
    for name in (f"seed {seed}", str(seed)):
        if len(name) <= room:
            return name
    dots = ".." if plain else "…"
    return dots + str(seed)[len(dots) - room :]


def _label(text: str) -> Piece:
    return f"{text[: LABEL - 1]:<{LABEL}}", FAINT


def _mark(value: float | None, plain: bool) -> Piece:
    """The first column beside a row of the chart."""
    edge = "|" if plain else "│" if value is None else "┤"
    text = "" if value is None else number(value)
    return f"{text[: LABEL - 1]:>{LABEL - 1}}{edge}", FAINT


def _fitting(label: str, pieces: list[Piece], width: int) -> list[Piece]:
    """A line of ``pieces`` without those at its end that have no room; the first one is cut if need be."""
    left = width - LABEL
    line = [_label(label)]
    for text, style in pieces:
        if len(text) > left and len(line) > 1:
            break
        line.append((text[:left], style))
        left -= len(text)
    return line


def _whole(parts: list[str], width: int) -> str:
    """As many of the parts, from the first on, as have room."""
    text = parts[0]
    for part in parts[1:]:
        if len(text) + len(part) > width:
            break
        text += part
    return text


def _cut(line: list[Piece], width: int) -> list[Piece]:
    """The line without what goes beyond ``width``."""
    kept = []
    for text, style in line:
        kept.append((text[:width], style))
        width -= len(kept[-1][0])
    return kept


def _runs(text: str, flags: np.ndarray, on: str = STRONG, off: str = BAR) -> list[Piece]:
    """The text in pieces of one style each: ``on`` where the flag of a character is set."""
    edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(text)]
    return [(text[a:b], on if flags[a] else off) for a, b in itertools.pairwise(edges) if b > a]
