"""Pictures of what seeds scored in the end: performance profiles, and mean, IQM and median with their intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ..stats.estimates import Estimate, aggregate
from ..stats.survival import wilson
from .canvas import LegendLine, by_env, canvas, finish, legends, numbered
from .curves import PooledRuns, recent, usual_window
from .look import CROWDED, SCREEN, Look, as_typed, fitted, solved_mark, step_band, step_marks

# Marks of the statistics in `draw_scores`, from top to bottom.
_MARKS = {"mean": "o", "iqm": "s", "median": "D"}
_NAMES = {"mean": "mean", "iqm": "interquartile mean", "median": "median"}


class FinalScores(NamedTuple):
    """What an experiment's S seeds scored in the end."""

    label: str
    env: str
    scores: np.ndarray  # (S,)
    planned: int
    solved_at: float | None
    name: str  # of a score: "greedy return"
    source: str  # where the scores come from, for a caption
    aggregates: dict[str, Estimate]  # mean, iqm and median with 95 % intervals; NaN limits for one seed


def scores_of(groups: Sequence[PooledRuns], window: int | None = None) -> list[FinalScores]:
    """The final scores of each group.

    With greedy evaluations the score is the mean return of a seed's final weights, or its newest evaluation where the
    run is not over; with training returns it is the mean of the last ``window`` episodes.

    Args:
        groups: of `curves.pool`.
        window: None: as for a curve.
    """
    window = usual_window(groups) if window is None else window
    found = []
    for group in groups:
        if group.what == "evaluations":
            values = [run.greedy.get(seed.number, float(seed.values[-1])) for seed, run in group.seeds]
            over = all(run.over for _, run in group.seeds)
            name, source = "greedy return", "final weights" if over else "newest evaluation"
        else:
            values = [float(recent(seed, "steps", seed.steps[-1:], window)[0]) for seed, _ in group.seeds]
            name, source = "episode return", f"mean of the last {window} training episodes"
        scores = np.array(values)
        made = aggregate([scores])
        found.append(
            FinalScores(
                label=group.label,
                env=group.env,
                scores=scores,
                planned=group.planned,
                solved_at=group.solved_at,
                name=name,
                source=source,
                aggregates={"mean": made.mean, "iqm": made.iqm, "median": made.median},
            )
        )
    return found


def profile(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The score distribution F(tau): the share of seeds with a score above tau (Agarwal et al. 2021, section 4.3).

    Args:
        scores: (S,) of one environment.

    Returns:
        (tau, share, low, high), each (K,), K the number of different scores: the share holds from its tau up to the
        next one, and is 1 below the first. low and high are the Wilson interval of each share, point by point: unlike
        a bootstrap it has width where all seeds are above tau, or none.
    """
    tau = np.unique(scores)
    shares = [wilson(int(np.sum(scores > t)), len(scores)) for t in tau]
    share, low, high = np.array(shares).T
    return tau, share, low, high


def draw_profiles(found: Sequence[FinalScores], *, title: str | None = None, look: Look = SCREEN) -> Figure:
    """Performance profiles, one panel per environment: of two curves the upper one is better at that score."""
    panels, numbers = by_env(found), numbered(found)
    made = canvas({env: [_entry(s) for s in group] for env, group in panels.items()}, look)
    handles = [_profile_panel(ax, group, numbers, look) for ax, group in zip(made.panels, panels.values(), strict=True)]
    legends(made, handles)
    caption = f"{_sources(found)}"
    if any(len(group) <= CROWDED for group in panels.values()):
        caption += "  Band: 95 % interval of the share (Wilson)."
    if any(len(group) > CROWDED for group in panels.values()):
        caption += f"  More than {CROWDED} curves: without intervals."
    return finish(made, x=f"{found[0].name} τ", y="share of seeds\nscoring above τ", caption=caption, title=title)


def draw_scores(found: Sequence[FinalScores], *, title: str | None = None, look: Look = SCREEN) -> Figure:
    """Mean, interquartile mean and median of the final scores with their 95 % intervals, over a dot for each seed."""
    panels, numbers = by_env(found), numbered(found)
    most = max(map(len, panels.values()))
    entries = {env: [LegendLine(name, 0, 0) for name in _NAMES.values()] for env in panels}
    made = canvas(entries, look, tall=1.3 + 0.85 * most, shelved=True)
    handles = [
        _scores_panel(ax, group, made.each, most, numbers, look)
        for ax, group in zip(made.panels, panels.values(), strict=True)
    ]
    legends(made, handles)
    caption = _sources(found) + "  Bars: 95 % intervals (bootstrap).  Small dots: single seeds."
    return finish(made, x=found[0].name, y="", caption=caption, title=title)


def _profile_panel(ax: Axes, group: list[FinalScores], numbers: dict[str, int], look: Look) -> list[Line2D]:
    every = np.concatenate([s.scores for s in group])
    levels = sorted({s.solved_at for s in group if s.solved_at is not None})
    left, right = min([every.min(), *levels]), max([every.max(), *levels])
    room = 0.04 * (right - left) or 0.5
    left, right = left - room, right + room
    handles = []
    for s in group:
        tau, share, low, high = profile(s.scores)
        first = wilson(len(s.scores), len(s.scores))
        tau = np.array([left, *tau, right])
        share, low, high = (
            np.array([at_first, *values, values[-1]])
            for at_first, values in zip(first, (share, low, high), strict=True)
        )
        i = numbers[s.label]
        colour = look.colour(i)
        if len(s.scores) > 1 and len(group) <= CROWDED:
            step_band(ax, tau, low, high, colour, look)
        (line,) = ax.plot(
            tau, share, drawstyle="steps-post", color=colour, linewidth=look.line, linestyle=look.style(i), zorder=3
        )
        if len(group) > 1:
            step_marks(line, list(range(1, len(tau) - 1)), i, look)
        handles.append(line)
    for level in levels:
        solved_mark(ax, level, look)
    ax.set_xlim(left, right)
    ax.set_ylim(-0.03, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return handles


def _scores_panel(
    ax: Axes, group: list[FinalScores], each: float, rows: int, numbers: dict[str, int], look: Look
) -> list[Line2D]:
    """One of ``rows`` per experiment, ``each`` inches wide: its name, a strip of seeds, three intervals."""
    handles: list[Line2D] = []
    for row, s in enumerate(group):
        colour = look.colour(numbers[s.label])
        n = len(s.scores)
        count = f"{n} of {s.planned}" if s.planned > n else str(n)
        name, size = fitted(
            f"{s.label} · {count} seed{'s' * (s.planned != 1)}",
            each - 0.15,
            look.font - (1 if look.width is None else 0.5),
        )
        ax.annotate(
            as_typed(name),
            (0, row - 0.40),
            xycoords=ax.get_yaxis_transform(),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=size,
            color=look.ink,
        )
        ax.plot(
            s.scores,
            np.full(n, row - 0.17),
            linestyle="none",
            marker="o",
            markersize=1.7 * look.line,
            markeredgewidth=0,
            color=colour,
            alpha=0.45,
        )
        for place, (name, mark) in enumerate(_MARKS.items()):
            found, y = s.aggregates[name], row + 0.02 + 0.17 * place
            ax.plot([found.low, found.high], [y, y], color=colour, linewidth=look.line, solid_capstyle="butt")
            ax.plot(
                found.value,
                y,
                marker=mark,
                markersize=3.2 * look.line,
                color=colour,
                markeredgecolor=look.ink,
                markeredgewidth=0.4 * look.line,
            )
    for mark in _MARKS.values():
        handles.append(Line2D([], [], marker=mark, color=look.grey, markersize=3.2 * look.line, linewidth=look.line))
    for level in sorted({s.solved_at for s in group if s.solved_at is not None}):
        solved_mark(ax, level, look)
    ax.set_ylim(rows - 0.45, -0.6)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    for row in range(1, len(group)):
        ax.axhline(row - 0.55, color=look.grid, linewidth=0.4 * look.line)
    return handles


def _sources(found: Sequence[FinalScores]) -> str:
    text = f"{found[0].name.capitalize()}: {', or '.join(dict.fromkeys(s.source for s in found))}."
    return text + ("  Dashed: solved." if any(s.solved_at is not None for s in found) else "")


def _entry(s: FinalScores) -> LegendLine:
    return LegendLine(s.label, len(s.scores), s.planned)
