"""Pictures of learning curves with their intervals, drawn without pyplot: nothing global is touched."""

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from .curves import Axis, Curve, group_runs
from .errors import RunFolderError, UsageError

FORMATS = ("png", "svg", "pdf")
# Told apart by colour-blind readers (Okabe & Ito 2008), without the yellow that vanishes on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))  # for the eighth curve and on: the colours again, dashed
_GREY = "0.35"


def plot_runs(
    runs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    x: Axis = "steps",
    window: int | None = None,
    title: str | None = None,
) -> Path:
    """Draw `figure` and save it as png, svg or pdf, whatever ``out`` ends in. The file appears whole or not at all.

    Args:
        runs: run folders.
        out: the file to write; folders above it are made.
        x: what the axis counts: env steps per seed, finished episodes per seed, or time.
        window: episodes that each seed's return is averaged over; None: a tenth of what it has, from 10 to 100.
        title: above the panels.

    Returns:
        ``out`` as a path.

    Raises:
        UsageError: another ending, no run folder, or a run in which no episode has finished yet.
        RunFolderError: a run's record is damaged, or ``out`` cannot be written.
    """
    check_format(out)
    return save(figure(runs, x=x, window=window, title=title), out)


def figure(
    runs: Path | str | Sequence[Path | str],
    *,
    x: Axis = "steps",
    window: int | None = None,
    title: str | None = None,
) -> Figure:
    """The learning curves of ``runs`` as a matplotlib figure, one panel per environment.

    Runs of one experiment are pooled to one curve (see `rlbench.curves.group_runs`): a line for the mean over its
    seeds, a band for the 95 % interval of that mean, and a thin line for each seed up to where it stopped. A dashed
    line marks the return that counts as solved.

    Args and errors as for `plot_runs`.
    """
    return draw(group_runs(runs, x, window), title=title)


def draw(curves: Sequence[Curve], *, title: str | None = None) -> Figure:
    """`figure` of curves that are at hand; at least one, all with the same axis."""
    if not curves:
        raise UsageError("there is no run to draw.")
    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        panels.setdefault(curve.env, []).append(curve)
    looks = {label: i for i, label in enumerate(dict.fromkeys(curve.label for curve in curves))}
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    below = max(0 if _fits(group) else len(group) for group in panels.values())  # lines of legend under a panel
    height = 0.5 + (3.9 + 0.25 * below) * rows
    fig = Figure(figsize=(1.2 + 5.4 * columns, height), dpi=150, layout="constrained")
    grid = fig.subplots(rows, columns, squeeze=False)
    label, unit = _axis(curves)
    for ax, (env, group) in zip(grid.flat, panels.items(), strict=False):
        _panel(ax, group, looks, unit)
        ax.set_title(_plain(env), fontsize=12)
        ax.set_xlabel(label, fontsize=11)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel(f"episode return\n(mean of last {curves[0].window} episodes)", fontsize=11)
    if title:
        fig.suptitle(_plain(title), fontsize=13)
    fig.supxlabel(_caption(curves), fontsize=8, color=_GREY)
    return fig


def save(fig: Figure, out: Path | str) -> Path:
    """Write a figure in one piece: the old file or the new one, never half of either."""
    path = Path(out)
    ending = check_format(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            fig.savefig(file, format=ending)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as e:
        raise RunFolderError(f"cannot write {path}: {e.strerror or e}.") from e
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return path


def check_format(out: Path | str) -> str:
    """The format that ``out`` ends in. Raises UsageError if we do not write it."""
    ending = Path(out).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise UsageError(f"cannot write {out}: the name must end in .png, .svg or .pdf.")
    return ending


def _panel(ax: Axes, curves: list[Curve], looks: dict[str, int], unit: float) -> None:
    """One environment. ``looks`` numbers the labels, so that an agent has one colour in all panels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=10, colors="0.2")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    if curves[0].axis != "time":
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    handles, names = [], []
    faint = 0.35 if len(curves) == 1 else 0.25
    for curve in curves:
        x = curve.x / unit
        look = looks[curve.label]
        colour, style = PALETTE[look % len(PALETTE)], STYLES[look // len(PALETTE) % len(STYLES)]
        if len(curve.seeds) > 1:
            for seed, end in zip(curve.per_seed, curve.ends, strict=True):
                ax.plot(x, np.where(curve.x <= end, seed, np.nan), color=colour, linewidth=0.7, alpha=faint)
            ax.fill_between(x, curve.low, curve.high, color=colour, alpha=0.22, linewidth=0)
        (line,) = ax.plot(x, curve.mean, color=colour, linewidth=2.0, linestyle=style, zorder=3)
        if np.isfinite(curve.mean).sum() == 1:  # a line through one point is invisible
            line.set_marker("o")
        handles.append(line)
        names.append(_legend(curve))
    end = 1.01 * max(float(curve.x[-1]) for curve in curves) / unit  # room for the label of a tick at the very end
    for level in sorted({curve.solved_at for curve in curves if curve.solved_at is not None}):
        # Drawn with many points, because the legend finds its place by the points of lines.
        ax.plot(np.linspace(0, end, 50), np.full(50, level), color=_GREY, linewidth=1.0, linestyle="--", zorder=2.5)
        where = ax.get_yaxis_transform()
        ax.text(0.01, level, f"solved at {level:g}", transform=where, va="bottom", fontsize=9, color=_GREY)
    ax.set_xlim(0, end)
    ax.set_ylim(*_limits(curves))
    if _fits(curves):
        ax.legend(handles, names, fontsize=10, framealpha=0.85, edgecolor="none", loc="best")
    else:
        ax.legend(handles, names, fontsize=10, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def _axis(curves: Sequence[Curve]) -> tuple[str, float]:
    """Label of the x axis, and what one of its units is."""
    axis = curves[0].axis
    if axis != "time":
        return ("env steps per seed" if axis == "steps" else "finished episodes per seed"), 1.0
    longest = max(float(curve.x[-1]) for curve in curves)
    name, unit = ("hours", 3600.0) if longest > 7200 else ("minutes", 60.0) if longest > 120 else ("seconds", 1.0)
    return f"wall-clock time ({name}), all seeds of a run together", unit


def _limits(curves: list[Curve]) -> tuple[float, float]:
    """Range of the y axis: all seeds, the solved threshold, and the bands as far as they leave the seeds readable.

    With two or three seeds Student's t makes bands many times as wide as the seeds' range; they run off the picture.
    """
    seen = np.concatenate([curve.per_seed.ravel() for curve in curves])
    levels = [curve.solved_at for curve in curves if curve.solved_at is not None]
    low, high = np.nanmin([*seen, *levels]), np.nanmax([*seen, *levels])
    room = 0.35 * (high - low)
    bands = np.concatenate([[low, high], *((curve.low, curve.high) for curve in curves)], axis=None)
    low, high = max(np.nanmin(bands), low - room), min(np.nanmax(bands), high + room)
    margin = 0.05 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _fits(curves: list[Curve]) -> bool:
    """Whether the legend is small enough to lie on the panel; a larger one goes below, where it hides nothing."""
    return len(curves) <= 4 and max(len(_legend(curve)) for curve in curves) <= 26


def _legend(curve: Curve) -> str:
    n = len(curve.seeds)
    count = f"{n} of {curve.planned}" if curve.planned > n else str(n)
    return _plain(f"{curve.label} · {count} {'seed' if curve.planned == 1 else 'seeds'}")


def _caption(curves: Sequence[Curve]) -> str:
    """What the marks mean, for a picture that is seen without its text."""
    if all(len(curve.seeds) == 1 for curve in curves):
        return "One seed: it takes several to tell an effect from luck."
    text = "Line: mean over seeds.  Band: 95 % interval of the mean (Student's t).  Thin lines: single seeds."
    if any(curve.ends.min() < 0.95 * curve.ends.max() for curve in curves):
        text += "\nA seed that stopped early counts with its last value from there on."
    return text


def _plain(text: str) -> str:
    """Text as it is: a dollar sign starts no formula, and an underscore at the front hides no legend entry."""
    return text.replace("$", r"\$") if not text.startswith("_") else _plain(f" {text}")
