"""How all pictures look: colours, marks, sizes, and what several of them draw."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from ..numbers import exact
from ..units import SECONDS

# Told apart by colour-blind readers (Okabe & Ito 2008), without the yellow that vanishes on white, and in an order in
# which neighbours differ in lightness. Marks tell them apart in greyscale.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))  # for the eighth curve and on: the colours again, dashed
_ON_DARK = {"#0072B2": "#4AA3DF", "#000000": "#FFFFFF"}  # these two would sink in
CROWDED = 4  # with more curves in a panel, bands and single seeds would hide what is to be compared


class Look(NamedTuple):
    """Sizes and inks of a picture.

    ``width`` is in inches: None is a picture for the screen, as wide as its panels need. A number is a figure of that
    width in print, with letters of 8 points (7 in one column), to be placed without scaling.
    """

    width: float | None = None
    caption: bool = True  # whether a line below says what the marks mean
    dark: bool = False  # light ink, for a dark page; the background is left transparent

    @property
    def font(self) -> float:
        """Letters of axis labels, points."""
        return 11.0 if self.width is None else 8.0 if self.width >= 4.5 else 7.0

    @property
    def line(self) -> float:
        """Width of a main line, points."""
        return 2.0 if self.width is None else 1.3

    @property
    def ink(self) -> str:
        return "0.9" if self.dark else "0.1"

    @property
    def grey(self) -> str:
        """Of what stands back: thresholds, captions."""
        return "0.65" if self.dark else "0.35"

    @property
    def grid(self) -> str:
        return "0.25" if self.dark else "0.9"

    def colour(self, i: int) -> str:
        """Of curve ``i``."""
        colour = PALETTE[i % len(PALETTE)]
        return _ON_DARK.get(colour, colour) if self.dark else colour

    def mark(self, i: int) -> str:
        return MARKS[i % len(MARKS)]

    def style(self, i: int) -> Any:
        """Line style of curve ``i``: solid while there are colours."""
        return STYLES[i // len(PALETTE) % len(STYLES)]


SCREEN = Look()


def level_line(ax: Axes, level: float, look: Look, end: float) -> None:
    """A dashed horizontal line at the return that counts as solved, with its name. The y axis has its limits."""
    # Drawn with many points, most of them at its name, because the legend finds its place by the points of lines.
    width = 0.5 * look.line
    x = np.concatenate([np.linspace(0, 0.3 * end, 400), np.linspace(0.3 * end, end, 40)])
    ax.plot(x, np.full(len(x), level), color=look.grey, linewidth=width, linestyle="--", zorder=2.5)
    low, high = ax.get_ylim()
    ax.annotate(
        f"solved at {exact(level)}",
        (0.01, level),
        xycoords=ax.get_yaxis_transform(),
        xytext=(0, -1.5 if (level - low) / (high - low) > 0.88 else 1),
        textcoords="offset points",
        va="top" if (level - low) / (high - low) > 0.88 else "bottom",
        fontsize=look.font - (2 if look.width is None else 1),
        color=look.grey,
    )


def solved_mark(ax: Axes, level: float, look: Look) -> None:
    """A dashed vertical line at the return that counts as solved."""
    ax.axvline(level, color=look.grey, linewidth=0.5 * look.line, linestyle="--", zorder=1.5)


def step_band(ax: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, look: Look) -> None:
    """The interval of a step curve, all (K,): faint, with edges, as such bands are wide and lie upon one another."""
    ax.fill_between(x, low, high, step="post", color=colour, alpha=0.1, linewidth=0)
    for edge in (low, high):
        ax.plot(x, edge, drawstyle="steps-post", color=colour, linewidth=0.3 * look.line, alpha=0.6)


def end_bars(ax: Axes, end: float, bars: Sequence[tuple[float, float, str]], look: Look) -> None:
    """Intervals (low, high, colour) side by side at the right of a crowded panel, whose x axis reached to ``end``."""
    for k, (low, high, colour) in enumerate(bars, 1):
        x = end * (1 + 0.012 * k)
        ax.plot([x, x], [low, high], color=colour, linewidth=0.9 * look.line, solid_capstyle="butt", alpha=0.8)
    ax.set_xlim(0, end * (1.012 + 0.012 * len(bars)))


def step_marks(line: Line2D, where: list[int], i: int, look: Look) -> None:
    """Marks of curve ``i`` on some points of a line."""
    line.set_marker(look.mark(i))
    line.set_markersize(2.8 * look.line)
    line.set_markeredgecolor("black" if look.dark else "white")
    line.set_markeredgewidth(0.3 * look.line)
    line.set_markevery(where)


def axis_name(axis: str, longest: float) -> tuple[str, float]:
    """Label of an x axis, and what one of its units is. ``longest`` is the largest x, in seconds for time."""
    if axis != "time":
        return ("env steps per seed" if axis == "steps" else "finished episodes per seed"), 1.0
    name = "hours" if longest > 2 * SECONDS["h"] else "minutes" if longest > 2 * SECONDS["m"] else "seconds"
    return f"wall-clock time ({name}), all seeds of a run together", float(SECONDS[name[0]])


def short_numbers(ax: Axes) -> None:
    """15k instead of 15000 along the x axis."""
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def fitted(text: str, inches: float, points: float) -> tuple[str, float]:
    """A line of text that has ``inches``, and the size of its letters: smaller where it must be, then cut off."""
    size = min(points, max(points * inches / inches_of(max(len(text), 1), points), 5.0))
    letters = int(inches / inches_of(1, size))
    return text if len(text) <= letters else f"{text[: letters - 1]}…", size


def as_typed(text: str) -> str:
    """Text as it is: a dollar sign starts no formula, and an underscore at the front hides no legend entry."""
    return text.replace("$", r"\$") if not text.startswith("_") else as_typed(f" {text}")


def inches_of(letters: int, points: float) -> float:
    """About how long a line of text is."""
    return letters * 0.56 * points / 72
