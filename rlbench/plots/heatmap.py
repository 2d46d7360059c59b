"""A heat map of contestants by environments: a colour and two lines of figures in each square. It only draws.

The colours are cividis, which readers with any colour vision see alike (Nuñez, Anderton & Renslow 2018,
doi:10.1371/journal.pone.0199239), and the figure in each square says what its colour says. A square without a value is
hatched, with a word on why.
"""

import math
import re
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..errors import UsageError
from ..numbers import interval
from .look import SCREEN, Look, as_typed, inches_of

MOST_ACROSS = 8  # environments side by side; of more each has a line of its own, and contestants stand side by side
GAP = 0.25  # before the column, or line, that is about all environments; in squares
ROW, TALL_ROW = 0.56, 0.72  # height of a square, inches, and of one with three lines
SHADES = 50  # of the bar that says what the colours mean
WIDEST = 1.7  # inches of a square, for the sake of a name above it
NAMES = 2.6  # inches, at most, for the names at the left
LIGHT, DARK, HATCH = "#fdfdfe", "#0b0b0c", "#8c8c90"  # of letters on dark and on light squares, and of what is missing
NO_SCALE = "no scale"  # the word of a square whose score cannot be normalised


class Square(NamedTuple):
    """One contestant on one environment.

    Attributes:
        value: the normalised score, 0 to 1 or beyond; NaN: there is none.
        raw: the score and its interval, as (value, low, high); None where only the normalised one means something.
        word: what stands below in small letters: how many seeds where they are few; without a value, why. Below
            `NO_SCALE`, the score stands all the same.
    """

    value: float
    raw: tuple[float, float, float] | None = None
    word: str = ""


class HeatMap(NamedTuple):
    """What is drawn.

    Attributes:
        contestants: their names; the first is the baseline.
        envs: names of environments.
        squares: (contestant, environment) -> its square; one that is not there is drawn as missing.
        overall: contestant -> its square over all environments; empty where there is nothing of the kind.
        over: what that column is called.
        score: what the figures are: "IQM of final greedy returns".
    """

    contestants: tuple[str, ...]
    envs: tuple[str, ...]
    squares: Mapping[tuple[str, str], Square]
    overall: Mapping[str, Square]
    over: str = "all environments"
    score: str = "IQM of final greedy returns"


def draw_heat_map(found: HeatMap, *, title: str | None = None, look: Look = SCREEN) -> Figure:
    """Contestants in lines and environments in columns; the other way round where there are many environments.

    Raises:
        UsageError: there is no contestant, or no environment.
    """
    if not found.contestants or not found.envs:
        raise UsageError("there is nothing to draw: no contestant, or no environment.")
    turned = len(found.envs) > MOST_ACROSS
    across, down = (found.contestants, found.envs) if turned else (found.envs, found.contestants)
    every = [*found.squares.values(), *found.overall.values()]
    size = look.font - (0 if look.width is None else 0.5)
    small = size - 2.5
    longest = max([len(line) for one in every for line in _small(one)] + [8])
    row = TALL_ROW if any(len(_small(one)) > 1 for one in every if not math.isnan(one.value)) else ROW
    words = max(len(word) for name in across for word in name.split(" "))
    wide = max(inches_of(longest, small) + 0.14, min(_room(words, size) + 0.1, WIDEST), 0.95)
    last = bool(found.overall)
    columns = len(across) + (last and not turned) * (1 + GAP)
    rows = len(down) + (last and turned) * (1 + GAP)
    left = min(_room(max(len(name) for name in [*down, found.over * turned]), size) + 0.2, NAMES)
    heads = {
        name: _lines(name, wide - 0.08, size) for name in [*across, *([found.over] if last and not turned else [])]
    }
    top = max(text.count("\n") + 1 for text in heads.values()) * size * 1.25 / 72 + 0.12
    head = (size + 2) * 1.6 / 72 * bool(title) + 0.05
    note = _caption(found)
    width = left + columns * wide + 1.05
    lines = textwrap.wrap(note, max(int((width - 0.2) / inches_of(1, small + 0.5)), 30)) if look.caption else []
    foot = len(lines) * (small + 0.5) * 1.35 / 72 + 0.15
    height = head + top + rows * row + foot
    fig = Figure(figsize=(width, height), dpi=150 if look.width is None else 300)
    if look.dark:
        fig.patch.set_alpha(0)
    ax = fig.add_axes((left / width, foot / height, columns * wide / width, rows * row / height))
    ax.set_xlim(0, columns)
    ax.set_ylim(rows, 0)
    ax.set_axis_off()
    colours = matplotlib.colormaps["cividis"]
    places = {name: i + 0.0 for i, name in enumerate(across)}, {name: i + 0.0 for i, name in enumerate(down)}
    for contestant in found.contestants:
        for env in found.envs:
            x, y = (contestant, env) if turned else (env, contestant)
            square = found.squares.get((contestant, env), Square(math.nan, None, "no run"))
            _square(ax, places[0][x], places[1][y], square, colours, size)
        if last:
            end = (rows if turned else columns) - 1
            x_, y_ = (places[0][contestant], end) if turned else (end, places[1][contestant])
            _square(ax, x_, y_, found.overall.get(contestant, Square(math.nan, None, "-")), colours, size)
    side = {**places[1], **({found.over: rows - 1} if last and turned else {})}
    for name, at in side.items():
        text = _lines(name, left - 0.1, size)
        ax.text(-0.08 / wide, at + 0.5, as_typed(text), ha="right", va="center", fontsize=size, color=look.ink)
    for name, at in {**places[0], **({found.over: columns - 1} if last and not turned else {})}.items():
        ax.text(
            at + 0.5, -0.08, as_typed(heads[name]), ha="center", va="bottom", fontsize=size, color=look.ink
        )  # fmt: skip
    tall = min(rows * row, 3.0)
    _scale(fig, left + columns * wide + 0.2, foot + rows * row - tall, tall, colours, look)
    if title:
        fig.text(
            0.5, 1 - 0.3 * head / height, as_typed(title), ha="center", va="top", fontsize=size + 2, color=look.ink
        )
    if lines:
        fig.text(
            0.1 / width, 0.06 / height, as_typed("\n".join(lines)), va="bottom", fontsize=small + 0.5, color=look.grey
        )
    return fig


def _square(ax: Axes, x: float, y: float, square: Square, colours: Colormap, size: float) -> None:
    """One square: its colour, its normalised score in large letters, the score itself in small ones."""
    gap = 0.03
    corner, sides = (x + gap, y + gap), (1 - 2 * gap, 1 - 2 * gap)
    if math.isnan(square.value):
        ax.add_patch(Rectangle(corner, *sides, facecolor="none", edgecolor=HATCH, hatch="////", linewidth=0.6))
        if square.word:
            box = {"facecolor": LIGHT, "edgecolor": "none", "boxstyle": "round,pad=0.25"}
            text = as_typed("\n".join(_small(square)))
            ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=size - 2.5, color=DARK, bbox=box)
        return
    colour = colours(min(max(square.value, 0.0), 1.0))
    ax.add_patch(Rectangle(corner, *sides, facecolor=colour, edgecolor="none"))
    ink = DARK if _luminance(colour) > 0.18 else LIGHT
    small = _small(square)
    figure = f"{square.value:.2f}".replace("-0.00", "0.00").replace("-", "−")
    at = {0: 0.5, 1: 0.36, 2: 0.25}[len(small)]
    ax.text(x + 0.5, y + at, figure, ha="center", va="center", fontsize=size, color=ink, fontweight="bold")
    for i, line in enumerate(small):
        ax.text(x + 0.5, y + at + 0.33 + 0.27 * i, line, ha="center", va="center", fontsize=size - 2.5, color=ink)


def _small(square: Square) -> list[str]:
    """What stands below the normalised score."""
    lines = [] if square.raw is None else [interval(*square.raw).replace("-", "−").replace(" (no interval)", "")]
    if math.isnan(square.value):
        return [square.word, *lines] if square.word else []
    return [*lines, *([square.word] if square.word else [])]


def _luminance(colour: tuple[float, float, float, float]) -> float:
    """Relative luminance as of WCAG 2.1: at 0.18 black and white letters are equally easy to read."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _scale(fig: Figure, x: float, y: float, tall: float, colours: Colormap, look: Look) -> None:
    """The bar that says which colour is which score; all lengths in inches."""
    width, height = fig.get_size_inches()
    ax = fig.add_axes((x / width, y / height, 0.14 / width, tall / height))
    for i in range(SHADES):  # rectangles: an image inside an SVG cannot stand in the middle of a page
        colour = colours(i / (SHADES - 1))  # each up to the end, under the next: side by side they would show seams
        ax.add_patch(Rectangle((0, i / SHADES), 1, 1 - i / SHADES, facecolor=colour, edgecolor="none"))
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xticks([])
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set_yticks([0, 0.5, 1], labels=["≤ 0", "0.5", "≥ 1"])
    ax.spines[:].set_visible(False)
    ax.tick_params(labelsize=look.font - 2.5, labelcolor=look.ink, color=look.grey, length=2.5)
    ax.set_ylabel("normalised" if tall > 0.9 else "", fontsize=look.font - 2.5, color=look.ink)


def _caption(found: HeatMap) -> str:
    parts = [
        f"Large figure and colour: normalised {found.score}.  "
        "Below: the returns themselves, with a 95\N{NO-BREAK SPACE}% interval."
    ]
    unscaled = any(one.word == NO_SCALE for one in found.squares.values())
    missing = any(
        math.isnan(found.squares[key].value) and found.squares[key].word != NO_SCALE if key in found.squares else True
        for key in ((c, e) for c in found.contestants for e in found.envs)
    )
    if missing:
        parts.append("Hatched: no run has come to its end.")
    if unscaled:
        parts.append("No scale: every seed has the same score, and none is known that counts as solved.")
    return "  ".join(parts)


def _lines(name: str, inches: float, points: float) -> str:
    """A name in lines that fit, broken behind what `_parts` ends in; where that is not enough, anywhere."""
    letters = max(int(inches / _room(1, points)), 6)
    lines = [""]
    for part in _parts(name):
        if len(lines[-1].strip()) + len(part.rstrip()) > letters:
            lines.append("")
        lines[-1] += part
    return "\n".join(piece for line in lines if line.strip() for piece in textwrap.wrap(line.strip(), letters))


def _parts(name: str) -> list[str]:
    """A name in the pieces that are not broken: after blanks and slashes, and before a version."""
    return re.findall(r"-v\d+$|(?:(?!-v\d+$)[^ /])*[ /]?", name)[:-1] or [name]


def _room(letters: int, points: float) -> float:
    """Inches for so many letters, with some to spare: `inches_of` is that of usual text."""
    return 1.12 * inches_of(letters, points)
