"""What `rlbench train --debug` wrote down, as courses over the env steps: a line for each seed."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes

from ..runfolder.tables import Columns, Table
from .charts import Chart
from .inside_charts import FAILURES, LOOK, MOST, NAMED, picture

WIDE = 30.0  # times the least norm that the largest is, from which on their axis is logarithmic


def course_charts(table: Table, prefix: str) -> list[Chart]:
    """Pictures of debug.csv, as far as it has numbers.

    Args:
        table: of that file, by seed.
        prefix: as of `rlbench.report.charts.charts`.
    """
    seeds = list(table.values())[:MOST]
    failures = [name for name in FAILURES if _known(seeds, name)]
    colours = " ".join(f"{colour}: {name}." for colour, name in zip(NAMED, failures, strict=False))
    policy = [name for name in ("greedy_share", "entropy") if _known(seeds, name)]
    words = {"greedy_share": "share of the commonest greedy action", "entropy": "entropy, of the most there can be"}
    said = " ".join(f"{colour}: {words[name]}." for colour, name in zip(NAMED, policy, strict=False))
    charts: list[tuple[str, str, Sequence[str], Callable[[Axes], None]]] = [
        ("Units that do nothing", f"Of the worst layer. {colours}", failures, _lines(seeds, failures, share=True)),
        ("Effective rank", "Of the narrowest features, by what it could be.", ["rank"],
         _lines(seeds, ["rank"], share=True)),
        ("Values", "The mean, and from the least to the largest.", ["value_mean"], _values(seeds)),
        ("Norm of the gradient", "As the agent says it.", ["grad_norm"], _lines(seeds, ["grad_norm"], log=True)),
        ("The policy", said, policy, _lines(seeds, policy, share=True)),
        ("Standard deviation of actions", "Their mean.", ["std"], _lines(seeds, ["std"])),
    ]  # fmt: skip
    return [
        picture(title, caption, paint, f"{prefix}{i}-")
        for i, (title, caption, names, paint) in enumerate(charts)
        if any(_known(seeds, name) for name in names)
    ]


def _known(seeds: Sequence[Columns], name: str) -> bool:
    return any(np.isfinite(_numbers(columns, name)).any() for columns in seeds)


def _numbers(columns: Columns, name: str) -> np.ndarray:
    """A column; NaN where an older version wrote none."""
    return np.asarray(columns[name]) if name in columns else np.full(len(columns["env_steps"]), np.nan)


def _lines(
    seeds: Sequence[Columns], names: Sequence[str], *, share: bool = False, log: bool = False
) -> Callable[[Axes], None]:
    def paint(ax: Axes) -> None:
        drawn = list[float]()
        for columns in seeds:
            for k, name in enumerate(names):
                y = _numbers(columns, name)
                y = np.where(np.isfinite(y) & ((not log) | (y > 0)), y, np.nan)
                drawn += y[np.isfinite(y)].tolist()
                _line(ax, columns, y, k, len(seeds))
        if share:
            ax.set_ylim(-0.03, 1.03)
        if log and drawn and max(drawn) > WIDE * min(drawn):
            ax.set_yscale("log")
        _steps(ax)

    return paint


def _values(seeds: Sequence[Columns]) -> Callable[[Axes], None]:
    def paint(ax: Axes) -> None:
        for k, columns in enumerate(seeds):
            colour, low, high = LOOK.colour(k), _numbers(columns, "value_low"), _numbers(columns, "value_high")
            ax.fill_between(np.asarray(columns["env_steps"]), low, high, color=colour, alpha=0.12, linewidth=0)
            _line(ax, columns, _numbers(columns, "value_mean"), k, 1)
        _steps(ax)

    return paint


def _line(ax: Axes, columns: Columns, y: np.ndarray, colour: int, lines: int) -> None:
    x, marker = np.asarray(columns["env_steps"]), "." if len(y) == 1 else ""
    ax.plot(x, y, color=LOOK.colour(colour), linewidth=1.0, alpha=max(0.4, 1 / lines), marker=marker, markersize=3)


def _steps(ax: Axes) -> None:
    ax.set_xlabel("env steps", fontsize=LOOK.font)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g}M" if abs(x) >= 1e6 else f"{x / 1e3:g}k" if x else "0")
