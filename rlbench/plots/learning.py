"""Pictures of learning curves with their intervals, drawn without pyplot: nothing global is touched."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..errors import UsageError
from ..files import exporting
from ..runfolder.history import Axis, What
from .canvas import LegendLine, by_env, canvas, finish, legends, numbered
from .curves import Curve, Stat, group_runs
from .look import CROWDED, SCREEN, Look, axis_name, end_bars, level_line, short_numbers, step_marks

FORMATS = ("png", "svg", "pdf")
STATS = {"mean": "mean", "iqm": "interquartile mean", "median": "median"}
# Letters stay letters in a PDF (publishers refuse Type 3 fonts), and the same picture gives the same SVG file.
_WRITING: Any = {"pdf.fonttype": 42, "svg.hashsalt": "rlbench"}


def plot_runs(
    runs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    x: Axis = "steps",
    window: int | None = None,
    title: str | None = None,
    stat: Stat = "mean",
    what: What = "returns",
) -> Path:
    """Draw `figure` and save it as png, svg or pdf, whatever ``out`` ends in. The file appears whole or not at all.

    Args:
        runs: run folders.
        out: the file to write; folders above it are made.
        x: what the axis counts: env steps per seed, finished episodes per seed, or time.
        window: episodes that each seed's return is averaged over; None: a tenth of what it has, from 10 to 100.
        title: above the panels.
        stat: what the line shows of the seeds: "mean", "iqm" (interquartile mean) or "median".
        what: "returns" of training episodes, or greedy "evaluations".

    Returns:
        ``out`` as a path.

    Raises:
        UsageError: another ending, no run folder, or a run in which no episode has finished yet.
        RunFolderError: a run's record is damaged, or ``out`` cannot be written.
    """
    check_format(out)
    return save(figure(runs, x=x, window=window, title=title, stat=stat, what=what), out)


def figure(
    runs: Path | str | Sequence[Path | str],
    *,
    x: Axis = "steps",
    window: int | None = None,
    title: str | None = None,
    stat: Stat = "mean",
    what: What = "returns",
    look: Look = SCREEN,
) -> Figure:
    """The learning curves of ``runs`` as a matplotlib figure, one panel per environment.

    Runs of one experiment are pooled to one curve (see `curves.pool`): a line for the mean over its seeds, a
    band for the 95 % interval of that mean, and a thin line for each seed up to where it stopped. A dashed line marks
    the return that counts as solved.

    Args and errors as for `plot_runs`; ``look`` chooses sizes and inks.
    """
    return draw(group_runs(runs, x, window, stat=stat, what=what), title=title, look=look)


def draw(curves: Sequence[Curve], *, title: str | None = None, look: Look = SCREEN) -> Figure:
    """`figure` of curves that are at hand; at least one, all of the same kind."""
    panels, numbers = by_env(curves), numbered(curves)
    entries = {
        env: [LegendLine(curve.label, len(curve.seeds), curve.planned) for curve in group]
        for env, group in panels.items()
    }
    made = canvas(entries, look)
    label, unit = axis_name(curves[0].axis, max(float(curve.x[-1]) for curve in curves))
    legends(
        made,
        [_panel(ax, group, numbers, unit, look) for ax, group in zip(made.panels, panels.values(), strict=True)],
    )
    first = curves[0]
    if first.what == "evaluations":
        y, detail = "greedy return", "mean of an evaluation"
    else:
        y, detail = "episode return", f"mean of last {first.window} episodes"
    caption = _caption(curves, panels)
    if look.width is None:
        y += f"\n({detail})"
    else:  # a small panel has no room for it
        caption = f"{y.capitalize()}: {detail}.  {caption}"
    return finish(made, x=label, y=y, caption=caption, title=title)


def save(fig: Figure, out: Path | str, option: str = "") -> Path:
    """Write a figure, whole or not at all. ``option`` is what names another place, for the message where it fails."""
    path = Path(out)
    ending = check_format(path)
    with exporting(path, option) as temporary, temporary.open("wb") as file, matplotlib.rc_context(_WRITING):
        fig.savefig(file, format=ending)
    return path


def to_svg(fig: Figure) -> str:
    """The figure as an ``<svg>`` element to put into a page, without the XML prologue; letters are drawn as shapes."""
    file = io.StringIO()
    with matplotlib.rc_context(_WRITING):
        fig.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def to_png(fig: Figure, dots: float) -> bytes:
    """The figure as a PNG file, with ``dots`` per inch."""
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=dots)
    return file.getvalue()


def check_format(out: Path | str) -> str:
    """The format that ``out`` ends in. Raises UsageError if we do not write it."""
    ending = Path(out).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise UsageError(f"cannot write {out}: the name must end in .png, .svg or .pdf.")
    return ending


def _panel(ax: Axes, curves: list[Curve], numbers: dict[str, int], unit: float, look: Look) -> list[Line2D]:
    """One environment. ``numbers`` numbers the labels, so that an agent has one colour in all panels."""
    if curves[0].axis != "time":
        short_numbers(ax)
    handles = []
    crowded = len(curves) > CROWDED
    end = 1.01 * max(float(curve.x[-1]) for curve in curves) / unit  # room for the label of a tick at the very end
    for place, curve in enumerate(curves):
        x, i = curve.x / unit, numbers[curve.label]
        colour = look.colour(i)
        if len(curve.seeds) > 1 and not crowded:
            for seed, stop in zip(curve.per_seed, curve.ends, strict=True):
                shown = np.where(curve.x <= stop, seed, np.nan)
                faint = 0.35 if len(curves) == 1 else 0.25
                ax.plot(x, shown, color=colour, linewidth=0.35 * look.line, alpha=faint)
            ax.fill_between(x, curve.low, curve.high, color=colour, alpha=0.22, linewidth=0)
        width = look.line * (0.75 if crowded else 1)
        (line,) = ax.plot(x, curve.middle, color=colour, linewidth=width, linestyle=look.style(i), zorder=3)
        (known,) = np.nonzero(np.isfinite(curve.middle))
        if len(curves) > 1 or len(known) == 1:  # a line through one point is invisible
            step = max(len(known) // 6, 1)  # six marks, at other places than the neighbours'
            step_marks(line, known[(step // 2 + place * step // 4) % step :: step].tolist(), i, look)
        handles.append(line)
    ax.set_xlim(0, end)
    ax.set_ylim(*_limits(curves))
    if crowded:
        last = [(*curve.final()[2:], look.colour(numbers[curve.label])) for curve in curves]
        end_bars(ax, end, [bar for bar in last if np.isfinite(bar[0])], look)
    for level in sorted({curve.solved_at for curve in curves if curve.solved_at is not None}):
        level_line(ax, level, look, end)
    return handles


def _limits(curves: list[Curve]) -> tuple[float, float]:
    """Range of the y axis: all seeds, the solved threshold, and the bands as far as they leave the seeds readable.

    With two or three seeds Student's t makes bands many times as wide as the seeds' range; they run off the picture.
    """
    seen = np.concatenate([curve.per_seed.ravel() for curve in curves])
    levels = [curve.solved_at for curve in curves if curve.solved_at is not None]
    low, high = np.nanmin([*seen, *levels]), np.nanmax([*seen, *levels])
    room = 0.35 * (high - low)
    # The first points, where a seed's value is one episode or two, do not set the range either.
    late = [curve.x > 0.1 * curve.x[-1] for curve in curves]
    ends = [band[keep] for curve, keep in zip(curves, late, strict=True) for band in (curve.low, curve.high)]
    bands = np.concatenate([[low, high], *ends])
    low, high = max(np.nanmin(bands), low - room), min(np.nanmax(bands), high + room)
    margin = 0.05 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _caption(curves: Sequence[Curve], panels: dict[str, list[Curve]]) -> str:
    """What the marks mean, for a picture that is seen without its text."""
    if all(len(curve.seeds) == 1 for curve in curves):
        return "One seed: it takes several to tell an effect from luck."
    stat = curves[0].stat
    how = "Student's t" if stat == "mean" else "bootstrap"
    text = f"Line: {STATS[stat]} over seeds."
    if any(len(group) <= CROWDED for group in panels.values()):
        text += f"  Band: its 95 % interval ({how})."
    if any(len(group) > CROWDED for group in panels.values()):
        text += f"  Bars at the right: its 95 % interval at the end ({how})."
    if any(len(group) <= CROWDED and len(curve.seeds) > 1 for group in panels.values() for curve in group):
        text += "  Thin lines: single seeds."
    if any(curve.early for curve in curves):
        text += "\nA seed that stopped early counts with its last value from there on."
    return text
