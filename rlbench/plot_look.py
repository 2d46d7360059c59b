"""How all pictures look: colours, marks, sizes, one panel per environment, legends and captions."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

# Told apart by colour-blind readers (Okabe & Ito 2008), without the yellow that vanishes on white, and in an order in
# which neighbours differ in lightness. Marks tell them apart in greyscale.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))  # for the eighth curve and on: the colours again, dashed


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
        """Of curve ``i``; black becomes white on a dark page."""
        colour = PALETTE[i % len(PALETTE)]
        return "#FFFFFF" if self.dark and colour == "#000000" else colour

    def mark(self, i: int) -> str:
        return MARKS[i % len(MARKS)]

    def style(self, i: int) -> Any:
        """Line style of curve ``i``: solid while there are colours."""
        return STYLES[i // len(PALETTE) % len(STYLES)]


SCREEN = Look()


class Entry(NamedTuple):
    """One line of a panel's legend."""

    label: str
    seeds: int  # 0: the label stands alone
    planned: int


class Canvas(NamedTuple):
    """A figure with empty panels."""

    fig: Figure
    panels: list[Axes]
    entries: list[list[Entry]]  # of each panel
    shelf: Axes | None  # where the one legend of all panels goes; None: every panel has its own inside
    columns: int  # of that legend
    look: Look


def canvas(entries: dict[str, list[Entry]], look: Look, *, tall: float = 3.9, shelved: bool = False) -> Canvas:
    """An empty figure with one titled panel per name.

    Args:
        entries: title, an environment mostly -> what its legend will say.
        look: sizes and inks.
        tall: height of a panel on the screen, inches.
        shelved: never put a legend inside a panel.
    """
    n, font = len(entries), look.font
    if look.width is None:
        columns, each = min(n, 3), 5.4
        width, height = 1.2 + each * columns, tall
    else:
        columns, width = min(n, 3, max(int(look.width / 2.1), 1)), look.width
        each = width / columns
        height = tall / 3.9 * min(max(0.66 * each, 1.6), 3.0)
    rows = -(-n // columns)
    names = [_names(group) for group in entries.values()]
    longest = max(len(name) for group in names for name in group)
    roomy = (
        max(map(len, names)) <= 4 and 0.5 + _inches(longest, font - 1) <= (0.5 if look.width is None else 0.42) * each
    )
    inside = roomy and not shelved
    shared = _names(_shared(entries.values()))
    per_line = min(max(int((width - 0.6) / (0.6 + _inches(max(map(len, shared)), font - 1))), 1), len(shared))
    shelf = 0.0 if inside else 0.05 + 0.0212 * (font - 1) * -(-len(shared) // per_line)
    fig = Figure(
        figsize=(width, (0.5 if look.width is None else 0.25) + height * rows + shelf),
        dpi=150 if look.width is None else 300,
        layout="constrained",
    )
    if look.dark:
        fig.patch.set_alpha(0)
    labels = 0.9 if look.width is None else 0.55  # inches of a panel that its title and labels take
    ratios = [height - labels] * rows + ([] if inside else [shelf])
    grid = fig.add_gridspec(len(ratios), columns, height_ratios=ratios)
    axes = [fig.add_subplot(grid[i // columns, i % columns]) for i in range(n)]
    for ax, name in zip(axes, entries, strict=True):
        _dress(ax, plain(name), look, each)
    place = None if inside else fig.add_subplot(grid[rows, :])
    if place is not None:
        place.set_axis_off()
    return Canvas(fig, axes, list(entries.values()), place, per_line, look)


def legends(made: Canvas, handles: Sequence[Sequence[Artist]]) -> None:
    """Put the legends in: ``handles`` are those of each panel's entries."""
    look = made.look
    size = look.font - (1 if look.width is None else 0.5)
    if made.shelf is None:
        for ax, group, marks in zip(made.panels, made.entries, handles, strict=True):
            alpha = 0.0 if look.dark else 0.85
            _ink(ax.legend(marks, _names(group), fontsize=size, framealpha=alpha, edgecolor="none", loc="best"), look)
        return
    first: dict[str, Artist] = {}
    for group, marks in zip(made.entries, handles, strict=True):
        for entry, mark in zip(group, marks, strict=True):
            first.setdefault(entry.label, mark)
    names = _names(_shared(made.entries))
    found = made.shelf.legend(
        list(first.values()), names, fontsize=size, frameon=False, loc="center", ncols=made.columns, borderpad=0
    )
    _ink(found, look)


def finish(made: Canvas, *, x: str, y: str, caption: str, title: str | None) -> Figure:
    """Axis labels, the caption and the title of a figure whose panels are drawn."""
    fig, look = made.fig, made.look
    for ax in made.panels:
        ax.set_xlabel(x, fontsize=look.font, color=look.ink)
        spec = ax.get_subplotspec()
        if y and spec is not None and spec.is_first_col():
            ax.set_ylabel(y, fontsize=look.font, color=look.ink)
    width = fig.get_size_inches()[0]
    if title:
        fig.suptitle(_wrap(plain(title), width, look.font + 2), fontsize=look.font + 2, color=look.ink)
    if look.caption and caption:
        size = 8.0 if look.width is None else 6.0
        fig.supxlabel(_wrap(caption, width, size), fontsize=size, color=look.grey)
    return fig


def level_line(ax: Axes, level: float, look: Look, end: float) -> None:
    """A dashed horizontal line at the return that counts as solved, with its name. The y axis has its limits."""
    # Drawn with many points, most of them at its name, because the legend finds its place by the points of lines.
    width = 0.5 * look.line
    x = np.concatenate([np.linspace(0, 0.3 * end, 400), np.linspace(0.3 * end, end, 40)])
    ax.plot(x, np.full(len(x), level), color=look.grey, linewidth=width, linestyle="--", zorder=2.5)
    low, high = ax.get_ylim()
    ax.annotate(
        f"solved at {level:g}",
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
    name, unit = ("hours", 3600.0) if longest > 7200 else ("minutes", 60.0) if longest > 120 else ("seconds", 1.0)
    return f"wall-clock time ({name}), all seeds of a run together", unit


def short_numbers(ax: Axes) -> None:
    """15k instead of 15000 along the x axis."""
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def plain(text: str) -> str:
    """Text as it is: a dollar sign starts no formula, and an underscore at the front hides no legend entry."""
    return text.replace("$", r"\$") if not text.startswith("_") else plain(f" {text}")


def _dress(ax: Axes, name: str, look: Look, each: float) -> None:
    ax.set_title(name, fontsize=look.font + 1, color=look.ink)
    ax.patch.set_alpha(0 if look.dark else 1)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(look.grey)
    ax.spines[["left", "bottom"]].set_linewidth(0.8 if look.width is None else 0.5)
    ax.grid(color=look.grid, linewidth=0.8 if look.width is None else 0.5)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=look.font - 1, labelcolor=look.ink, color=look.grey)
    if look.width is not None:
        ax.tick_params(width=0.5, length=2.5, pad=2)
    ax.xaxis.set_major_locator(MaxNLocator(6 if each > 3 else 4))


def _ink(found: Legend, look: Look) -> None:
    for text in found.get_texts():
        text.set_color(look.ink)


def _names(entries: Iterable[Entry | tuple[str, ...]]) -> list[str]:
    """ "dqn · 10 seeds", or "dqn · 2 of 3 seeds" where some have nothing to show."""
    found = []
    for entry in entries:
        if isinstance(entry, Entry) and not entry.seeds:
            entry = (entry.label,)
        elif isinstance(entry, Entry):
            count = f"{entry.seeds} of {entry.planned}" if entry.planned > entry.seeds else str(entry.seeds)
            entry = entry.label, f"{count} {'seed' if entry.planned == 1 else 'seeds'}"
        found.append(plain(" · ".join(entry)))
    return found


def _shared(panels: Iterable[Sequence[Entry]]) -> list[Entry | tuple[str, ...]]:
    """The entries of one legend for all panels; where an agent's seeds differ in number, from fewest to most."""
    by_label: dict[str, list[Entry]] = {}
    for entry in (entry for group in panels for entry in group):
        by_label.setdefault(entry.label, []).append(entry)
    found: list[Entry | tuple[str, ...]] = []
    for label, entries in by_label.items():
        counts = sorted({entry.seeds for entry in entries})
        same = len(set(entries)) == 1
        found.append(entries[0] if same else (label, f"{'–'.join(map(str, {counts[0]: 0, counts[-1]: 0}))} seeds"))
    return found


def _inches(letters: int, points: float) -> float:
    return letters * 0.56 * points / 72


def _wrap(text: str, inches: float, points: float) -> str:
    """``text`` in lines that fit a figure, about equally long; a letter is about half as wide as its size."""
    letters = max(int(inches * 72 / (0.52 * points)), 20)
    lines = []
    for part in text.split("\n"):
        count = -(-len(part) // letters)
        lines += textwrap.wrap(part, min(letters, int(1.1 * len(part) / max(count, 1)) + 8)) or [""]
    return "\n".join(lines)
