"""Pictures of a search: what each key was worth, and all trials as lines over the values that they had."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ..numbers import number
from .look import PALETTE, SCREEN, Look, as_typed

BAR = 0.42  # inches of a key's row
COLOURS, LIGHTEST = "cividis", 0.88  # the same for colour-blind readers; beyond, it vanishes on white


class KeyBar(NamedTuple):
    """What a key explains, 0 to 1, and what a key without worth stays below in 95 of 100 cases."""

    key: str
    share: float
    chance: float


class KeyAxis(NamedTuple):
    """An upright axis: what a key may be.

    Attributes:
        key: its name.
        low: of a range; of choices -0.5.
        high: likewise; of n choices n - 0.5.
        log: whether it goes by orders of magnitude.
        choices: the words at 0, 1, ...; () for a range.
        whole: whether a range has whole numbers alone.
    """

    key: str
    low: float
    high: float
    log: bool = False
    choices: tuple[str, ...] = ()
    whole: bool = False


class TrialLine(NamedTuple):
    """A trial: a value for each axis (of choices their position), its score, and a name where it stands out."""

    values: tuple[float, ...]
    score: float
    name: str = ""


def draw_importance(bars: Sequence[KeyBar], *, title: str, caption: str, look: Look = SCREEN) -> Figure:
    """A bar for each key, the first on top, and a mark where chance ends; a key that goes no further is drawn light."""
    fig = Figure(figsize=(7.2, 1.5 + BAR * len(bars)), dpi=150, layout="constrained")
    ax = fig.add_subplot()
    for row, bar in enumerate(bars):
        colour = look.colour(0)
        ax.barh(row, bar.share, height=0.62, color=colour, alpha=1.0 if bar.share > bar.chance else 0.35)
        ax.plot([bar.chance, bar.chance], [row - 0.4, row + 0.4], color=look.ink, linewidth=look.line)
    ax.set_yticks(range(len(bars)), [as_typed(bar.key) for bar in bars], fontsize=look.font - 1, color=look.ink)
    ax.set_ylim(len(bars) - 0.5, -0.5)
    ax.set_xlim(0, 1.08 * max(max(bar.share, bar.chance) for bar in bars))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel("share of the trials' ranks that the key explains alone", fontsize=look.font, color=look.ink)
    handles = [
        Line2D([], [], color=look.colour(0), linewidth=7, label="beyond chance"),
        Line2D([], [], color=look.colour(0), linewidth=7, alpha=0.35, label="not beyond chance"),
        Line2D([], [], color=look.ink, linewidth=look.line, marker="|", markersize=9, linestyle="none",
               markeredgewidth=look.line, label="chance: 95 % of keys without worth stay below"),
    ]  # fmt: skip
    fig.legend(
        handles=handles, loc="outside upper center", ncols=3, fontsize=look.font - 2, frameon=False, handlelength=1.2
    )
    _dressed(ax, look)
    ax.grid(axis="y", visible=False)
    _titled(fig, ax, title, caption, look)
    return fig


def draw_parallel(
    axes: Sequence[KeyAxis], lines: Sequence[TrialLine], *, score: str, title: str, caption: str, look: Look = SCREEN
) -> Figure:
    """All trials as lines over upright axes, one for each key and one for the score: the better, the darker.

    Shades go by rank, so that a few hopeless trials do not make all others look the same.

    Args:
        axes: of the keys.
        lines: of the trials; those with a name are drawn bold, and named.
        score: name of the last axis.
        title: above.
        caption: below.
        look: sizes and inks.
    """
    scores = np.array([line.score for line in lines])
    low, high = float(scores.min()), float(scores.max())
    room = 0.04 * (high - low) or 0.5
    every = [*axes, KeyAxis(score, low - room, high + room)]
    fig = Figure(figsize=(max(6.5, 1.6 + 1.45 * len(every)), 5.2), dpi=150, layout="constrained")
    ax = fig.add_subplot()
    shades = LinearSegmentedColormap.from_list("", colormaps[COLOURS](np.linspace(LIGHTEST, 0, 64)))
    names = list(dict.fromkeys(line.name for line in lines if line.name))
    shift = np.random.default_rng(0).uniform(-0.1, 0.1, (len(lines), len(axes)))  # lines over one choice lie apart
    for place, i in enumerate(np.argsort(scores, kind="stable")):
        line = lines[i]
        heights = [
            _height(value + (shift[i, k] if k < len(axes) and axis.choices else 0.0), axis)
            for k, (value, axis) in enumerate(zip((*line.values, line.score), every, strict=True))
        ]
        if line.name:
            mark = names.index(line.name)
            (bold,) = ax.plot(heights, linewidth=1.5 * look.line, zorder=5 - mark, label=as_typed(line.name))
            bold.set_color((PALETTE[4], look.ink)[mark % 2])
            bold.set_linestyle(("-", (0, (4, 1.5)))[mark % 2])
        else:
            ax.plot(heights, linewidth=0.5 * look.line, color=shades(place / max(len(lines) - 1, 1)), zorder=2)
    for k, axis in enumerate(every):
        _upright(ax, k, axis, look)
    ax.set_xlim(-0.2, len(every) - 0.65)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xticks(range(len(every)), [_in_lines(as_typed(axis.key)) for axis in every], fontsize=look.font - 1)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=look.ink)
    bar = fig.colorbar(ScalarMappable(Normalize(0, 1), shades), ax=ax, pad=0.01, aspect=35)
    quarters = np.linspace(0, 1, 5)
    bar.set_ticks(quarters.tolist(), labels=[number(float(x)) for x in np.quantile(scores, quarters)])
    bar.set_label(f"{score}, by rank", fontsize=look.font - 1, color=look.ink)
    bar.ax.tick_params(labelsize=look.font - 2, labelcolor=look.ink)
    if names:
        fig.legend(loc="outside upper right", ncols=2, fontsize=look.font - 1, frameon=False, handlelength=3)
    _titled(fig, ax, title, caption, look)
    return fig


def _height(value: float, axis: KeyAxis) -> float:
    """Where a value lies on an axis that goes from 0 to 1."""
    low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
    value = math.log(value) if axis.log else value
    return (value - low) / (high - low) if high > low else 0.5


def _upright(ax: Axes, k: int, axis: KeyAxis, look: Look) -> None:
    """An axis at x = k, with its values beside it."""
    ax.plot([k, k], [0, 1], color=look.grey, linewidth=0.5 * look.line, zorder=3)
    if axis.choices:
        marks = [(float(i), word) for i, word in enumerate(axis.choices)]
    else:
        where = np.linspace(0, 1, 4)
        values = [
            math.exp(math.log(axis.low) + t * (math.log(axis.high) - math.log(axis.low)))
            if axis.log
            else axis.low + t * (axis.high - axis.low)
            for t in where
        ]
        if axis.whole:
            values = sorted({float(round(value)) for value in values})
        marks = [(value, number(value if axis.whole else float(f"{value:.2g}"))) for value in values]
    for value, word in marks:
        y = _height(value, axis)
        ax.plot([k - 0.02, k + 0.02], [y, y], color=look.grey, linewidth=0.5 * look.line, zorder=3)
        ax.annotate(
            as_typed(word),
            (k, y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=look.font - 3,
            color=look.ink,
            zorder=5,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )


def _in_lines(key: str) -> str:
    """dqn.learning_rate in two lines or three, so that names beside each other do not meet."""
    table, _, name = key.rpartition(".")
    name = name.replace("_", "_\n", 1) if len(name) > 12 else name
    return f"{table}.\n{name}" if table else name


def _dressed(ax: Axes, look: Look) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(look.grey)
    ax.grid(color=look.grid, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=look.font - 1, labelcolor=look.ink, color=look.grey)


def _titled(fig: Figure, ax: Axes, title: str, caption: str, look: Look) -> None:
    ax.set_title(as_typed(title), fontsize=look.font + 1, color=look.ink, loc="left")
    if caption:
        fig.supxlabel(caption, fontsize=8.0, color=look.grey)
