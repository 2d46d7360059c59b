"""Time to threshold: the share of seeds that have reached a return, over env steps or time, with its interval.

A seed that never got there is censored: it is known only that it takes longer than it was trained for.
"""

from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ..errors import UsageError
from ..numbers import exact
from ..runfolder.history import Axis, History, Seed
from ..stats.survival import kaplan_meier
from .canvas import LegendLine, by_env, canvas, finish, legends, numbered
from .curves import PooledRuns, usual_window
from .look import CROWDED, SCREEN, Look, axis_name, end_bars, short_numbers, step_band, step_marks


class Times(NamedTuple):
    """When the S seeds of an experiment reached the threshold."""

    label: str
    env: str
    axis: Axis
    threshold: float
    at: np.ndarray  # (S,) x at which a seed reached it, or up to which it was watched in vain
    reached: np.ndarray  # (S,) bool
    planned: int
    by: str  # how a seed reaches it, for a caption


def times_of(
    groups: Sequence[PooledRuns], threshold: float | None = None, axis: Axis = "steps", window: int | None = None
) -> tuple[list[Times], list[str]]:
    """When each seed first reached the threshold.

    With greedy evaluations a seed reaches it at its first evaluation of at least that mean; with training returns, when
    the mean of its last ``window`` episodes first comes to it, and not before it has finished so many.

    Args:
        groups: of `curves.pool`.
        threshold: None: the return that counts as solved in each environment.
        axis: what is counted.
        window: None: as for a curve.

    Returns:
        (times, notes): one line for each environment that has no threshold and is left out.

    Raises:
        UsageError: no group has a threshold.
    """
    window = usual_window(groups) if window is None else window
    found, notes = [], []
    solved = {group.env: group.solved_at for group in groups if group.solved_at is not None}
    for group in groups:
        level = solved.get(group.env) if threshold is None else threshold
        level = _registered(group.env) if level is None else level  # a run that has not ended does not name it
        if level is None:
            note = f"{group.env} names no return that counts as solved: choose one with --threshold."
            notes += [] if note in notes else [note]
            continue
        evaluated = group.what == "evaluations"
        if evaluated and axis == "episodes":
            raise UsageError("evaluations are recorded over env steps and time, not over episodes: choose another --x.")
        pairs = [_time(seed, run, level, axis, 1 if evaluated else window) for seed, run in group.seeds]
        by = "a greedy evaluation" if evaluated else f"the mean of the last {window} episodes"
        at, reached = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
        found.append(Times(group.label, group.env, axis, level, at, reached, group.planned, by))
    if not found:
        raise UsageError(notes[0] if notes else "there is no run to draw.")
    return found, [f"left out: {note}" for note in notes]


def share_reached(times: Times) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The share of seeds that have reached the threshold by x, 1 - S(x) of Kaplan and Meier, with its 95 % interval.

    The interval is Wilson's, with the number of seeds that Greenwood's variance is worth (Rothman 1978,
    doi:10.1016/0021-9681(78)90043-8): exactly Wilson's where no seed was lost before x, and as wide as it has to be
    where all have reached it, or none.

    Returns:
        (x, share, low, high), each (K,): a value holds from its x up to the next one. x begins with 0.
    """
    when, waiting = kaplan_meier(times.at, times.reached)
    at_risk = np.array([len(times.at), *(np.sum(times.at >= t) for t in when)], np.float64)  # (K,)
    events = np.array([0, *(np.sum(times.reached & (times.at == t)) for t in when)], np.float64)
    share = 1 - np.array([1.0, *waiting])
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(events / (at_risk * (at_risk - events)))  # infinite once all have reached it
        worth = np.where((share > 0) & (share < 1), share / ((1 - share) * greenwood), at_risk)
    if len(when) and share[-1] >= 1:  # as many as were behind the last share that had a variance
        worth[-1] = worth[-2] if len(worth) > 2 else at_risk[-1]
    z2 = NormalDist().inv_cdf(0.975) ** 2
    middle = (share + z2 / (2 * worth)) / (1 + z2 / worth)
    half = np.sqrt(z2 * (share * (1 - share) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    return np.array([0.0, *when]), share, np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def draw_times(found: Sequence[Times], *, title: str | None = None, look: Look = SCREEN) -> Figure:
    """The share of seeds that have reached the threshold, as steps, one panel per environment."""
    panels, numbers = by_env(found), numbered(found)
    entries = {env: [LegendLine(t.label, len(t.at), t.planned) for t in group] for env, group in panels.items()}
    made = canvas(entries, look)
    label, unit = axis_name(found[0].axis, max(float(times.at.max()) for times in found))
    handles = [_panel(ax, group, numbers, unit, look) for ax, group in zip(made.panels, panels.values(), strict=True)]
    legends(made, handles)
    levels = {times.threshold for times in found}
    y = (
        f"share of seeds that\nhave reached {exact(levels.pop())}"
        if len(levels) == 1
        else "share of seeds\nthat have solved it"
    )
    caption = f"Reached: by {found[0].by}.  {_band(panels.values())}: 95 % interval (Wilson)."
    if not all(times.reached.all() for times in found):
        caption += "  Upright marks: seeds end there without having reached it (Kaplan-Meier)."
    if len({times.threshold for times in found}) > 1:
        caption += f"\nSolved: {', '.join(f'{env} at {exact(group[0].threshold)}' for env, group in panels.items())}."
    return finish(made, x=label, y=y, caption=caption, title=title)


def _band(panels: Iterable[list[Times]]) -> str:
    crowded = {len(group) > CROWDED for group in panels}
    return {frozenset({True}): "Bars", frozenset({False}): "Band"}.get(frozenset(crowded), "Band, or bars")


def _registered(env: str) -> float | None:
    """The return that counts as solved in an environment of Gymnasium or of ours."""
    import gymnasium  # slow to import, and seldom asked

    import rlbench.envs  # noqa: F401  (registers rlbench/...)

    spec = gymnasium.registry.get(env)
    return None if spec is None or spec.reward_threshold is None else float(spec.reward_threshold)


def _time(seed: Seed, run: History, level: float, axis: Axis, window: int) -> tuple[float, bool]:
    x = seed.x(axis)  # (n,)
    total = np.concatenate(([0.0], np.cumsum(seed.values)))
    if len(x) >= window:
        means = (total[window:] - total[:-window]) / window  # (n - window + 1,)
        (there,) = np.nonzero(means >= level - 1e-9 * max(abs(level), 1))
        if len(there):
            return float(x[there[0] + window - 1]), True
    end = run.ends.get(seed.number, float(x[-1])) if axis == "steps" else float(x[-1])
    return max(end, float(x[-1])), False


def _panel(ax: Axes, group: list[Times], numbers: dict[str, int], unit: float, look: Look) -> list[Line2D]:
    if group[0].axis != "time":
        short_numbers(ax)
    end = max(float(times.at.max()) for times in group) / unit
    handles, bars = [], []
    for times in group:
        x, share, low, high = share_reached(times)
        i = numbers[times.label]
        colour = look.colour(i)
        last = float(times.at.max()) / unit
        x, share, low, high = (np.append(values, values[-1]) for values in (x / unit, share, low, high))
        x[-1] = last if not times.reached.all() else end
        if len(times.at) > 1 and len(group) > CROWDED:
            bars.append((low[-1], high[-1], colour))
        elif len(times.at) > 1:
            step_band(ax, x, low, high, colour, look)
        (line,) = ax.plot(
            x, share, drawstyle="steps-post", color=colour, linewidth=look.line, linestyle=look.style(i), zorder=3
        )
        if len(group) > 1:
            step_marks(line, list(range(1, len(x) - 1)) or [0], i, look)
        lost = np.unique(times.at[~times.reached]) / unit
        heights = share[np.searchsorted(x[:-1], lost, side="right") - 1]
        how: Any = {"linestyle": "none", "marker": "|", "markersize": 6 * look.line, "color": colour}
        (marks,) = ax.plot(lost, heights, **how, zorder=4, clip_on=False)
        marks.set_in_layout(False)  # half of each is outside of the axes
        handles.append(line)
    ax.set_xlim(0, 1.025 * end)
    if bars:
        end_bars(ax, 1.025 * end, bars, look)
    ax.set_ylim(-0.03, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return handles
