"""The paper that all pictures are drawn on: one panel per environment, legends where they hide nothing, a caption."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from ..errors import UsageError
from .look import Look, as_typed, inches_of


class Labelled(Protocol):
    """What is drawn into a panel: of one environment, under a label."""

    @property
    def env(self) -> str: ...

    @property
    def label(self) -> str: ...


T = TypeVar("T", bound=Labelled)


class LegendLine(NamedTuple):
    """One line of a panel's legend."""

    label: str
    seeds: int  # 0: the label stands alone
    planned: int


def by_env(found: Sequence[T]) -> dict[str, list[T]]:
    """What each panel shows. Raises UsageError where there is nothing."""
    if not found:
        raise UsageError("there is no run to draw.")
    panels: dict[str, list[T]] = {}
    for one in found:
        panels.setdefault(one.env, []).append(one)
    return panels


def numbered(found: Sequence[Labelled]) -> dict[str, int]:
    """A number for each label, by which it has the same colour and mark in every panel."""
    return {label: i for i, label in enumerate(dict.fromkeys(one.label for one in found))}


class Canvas(NamedTuple):
    """A figure with empty panels."""

    fig: Figure
    panels: list[Axes]
    entries: list[list[LegendLine]]  # of each panel
    shelf: Axes | None  # where the one legend of all panels goes; None: every panel has its own inside
    columns: int  # of that legend
    each: float  # width of a panel, inches
    look: Look


def canvas(entries: dict[str, list[LegendLine]], look: Look, *, tall: float = 3.9, shelved: bool = False) -> Canvas:
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
        max(map(len, names)) <= 4 and 0.5 + inches_of(longest, font - 1) <= (0.5 if look.width is None else 0.42) * each
    )
    inside = roomy and not shelved
    shared = _names(_shared(entries.values()), width - 0.7, font - 1)
    per_line = min(max(int((width - 0.6) / (0.6 + inches_of(_longest(shared), font - 1))), 1), len(shared))
    lines = sum(name.count("\n") for name in shared) + -(-len(shared) // per_line)
    shelf = 0.0 if inside else 0.05 + 0.0212 * (font - 1) * lines
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
        _dress(ax, as_typed(name), look, each)
    place = None if inside else fig.add_subplot(grid[rows, :])
    if place is not None:
        place.set_axis_off()
    return Canvas(fig, axes, list(entries.values()), place, per_line, each, look)


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
    names = _names(_shared(made.entries), made.fig.get_size_inches()[0] - 0.7, look.font - 1)
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
        fig.suptitle(_wrap(as_typed(title), width, look.font + 2), fontsize=look.font + 2, color=look.ink)
    if look.caption and caption:
        size = 8.0 if look.width is None else 6.0
        fig.supxlabel(_wrap(caption, width, size), fontsize=size, color=look.grey)
    return fig


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


def _names(
    entries: Iterable[LegendLine | tuple[str, ...]], inches: float = float("inf"), points: float = 1.0
) -> list[str]:
    """ "dqn · 10 seeds", or "dqn · 2 of 3 seeds" where some have nothing to show; in lines that fit ``inches``."""
    found = []
    for entry in entries:
        if isinstance(entry, LegendLine) and not entry.seeds:
            entry = (entry.label,)
        elif isinstance(entry, LegendLine):
            count = f"{entry.seeds} of {entry.planned}" if entry.planned > entry.seeds else str(entry.seeds)
            entry = entry.label, f"{count} {'seed' if entry.planned == 1 else 'seeds'}"
        name = as_typed(" · ".join(entry))
        letters = max(inches / inches_of(1, points), 12)
        lines = textwrap.wrap(name, int(letters), subsequent_indent="   ") if len(name) > letters else [name]
        found.append("\n".join(lines))
    return found


def _longest(names: Sequence[str]) -> int:
    return max(len(line) for name in names for line in name.split("\n"))


def _shared(panels: Iterable[Sequence[LegendLine]]) -> list[LegendLine | tuple[str, ...]]:
    """The entries of one legend for all panels; where an agent's seeds differ in number, from fewest to most."""
    by_label: dict[str, list[LegendLine]] = {}
    for entry in (entry for group in panels for entry in group):
        by_label.setdefault(entry.label, []).append(entry)
    found: list[LegendLine | tuple[str, ...]] = []
    for label, entries in by_label.items():
        counts = sorted({entry.seeds for entry in entries})
        same = len(set(entries)) == 1
        found.append(entries[0] if same else (label, f"{'–'.join(map(str, {counts[0]: 0, counts[-1]: 0}))} seeds"))
    return found


def _wrap(text: str, inches: float, points: float) -> str:
    """``text`` in lines that fit a figure, about equally long; a letter is about half as wide as its size."""
    letters = max(int(inches * 72 / (0.52 * points)), 20)
    lines = []
    for part in text.split("\n"):
        count = -(-len(part) // letters)
        width = min(letters, int(1.1 * len(part) / max(count, 1)) + 8)
        lines += textwrap.wrap(part, width, break_on_hyphens=False) or [""]
    return "\n".join(lines)
