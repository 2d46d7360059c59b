"""A picture of how long policies take to answer: a panel for each percentile, a line for each policy, by batch size."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..units import latency
from .canvas import LegendLine, canvas, finish, legends
from .look import SCREEN, Look, step_marks

PERCENTILES = ("p50", "p95", "p99")
_FINE = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


class LatencyCurve(NamedTuple):
    """What one policy took, seconds a call; each tuple has one number for each batch size."""

    label: str
    batches: tuple[int, ...]
    p50: tuple[float, ...]
    p95: tuple[float, ...]
    p99: tuple[float, ...]


def draw_latencies(
    curves: Sequence[LatencyCurve], caption: str, *, title: str | None = None, look: Look = SCREEN
) -> Figure:
    """One panel for each of `PERCENTILES`, both axes by powers, all panels with the same range."""
    entries = {name: [LegendLine(curve.label, 0, 0) for curve in curves] for name in PERCENTILES}
    made = canvas(entries, look, shelved=True)
    every = [y for curve in curves for y in (*curve.p50, *curve.p95, *curve.p99)]
    handles = []
    for ax, name in zip(made.panels, PERCENTILES, strict=True):
        handles.append([_line(ax, curve, name, i, look) for i, curve in enumerate(curves)])
        _scales(ax, sorted({batch for curve in curves for batch in curve.batches}), min(every), max(every))
    legends(made, handles)
    return finish(made, x="batch size", y="time of a call", caption=caption, title=title)


def _line(ax: Axes, curve: LatencyCurve, name: str, i: int, look: Look) -> Line2D:
    (line,) = ax.plot(
        curve.batches,
        getattr(curve, name),
        color=look.colour(i),
        linewidth=look.line,
        linestyle=look.style(i),
        zorder=3,
    )
    step_marks(line, list(range(len(curve.batches))), i, look)
    return line


def _scales(ax: Axes, batches: Sequence[int], low: float, high: float) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(batches[0] / 1.3, batches[-1] * 1.3)
    ax.set_ylim(low / 1.4, high * 1.4)
    ax.xaxis.set_major_locator(FixedLocator(batches))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    ax.yaxis.set_major_locator(FixedLocator(_ticks(low / 1.4, high * 1.4)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _round(y)))


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten; the powers alone where these are many, and more between them where few."""
    powers = [10.0**k for k in range(-9, 4)]
    usual, few, many = ([m * p for p in powers for m in of if low <= m * p <= high] for of in ((1, 2, 5), (1,), _FINE))
    return few if len(usual) > 9 else usual if len(usual) > 2 else many


def _round(seconds: float) -> str:
    """A tick, 5 ms and not 5.00 ms."""
    value, unit = latency(seconds).split()
    return f"{float(value):g} {unit}"
