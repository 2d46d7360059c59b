"""Learning curves: each seed's recent returns on one grid, and what is typical of them, with its interval.

Runs of one experiment are pooled to a `PooledRuns` first; the other pictures start from groups too.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from ..errors import UsageError
from ..runfolder.history import Axis, History, Seed, What, read_run
from ..runfolder.pooling import TrainedSeed, count_once, note_of, shares_story
from ..runfolder.reader import readers_of
from ..stats.intervals import bootstrap_interval, iqm, mean_interval

Stat = Literal["mean", "iqm", "median"]


class PooledRuns(NamedTuple):
    """An experiment: the pooled seeds of runs with the same environment, agent and settings, each seed once."""

    label: str  # the agent, and its settings where they are what sets two groups of one environment apart
    env: str
    agent: str
    what: What
    seeds: list[tuple[Seed, History]]  # S of them, each with the run it comes from
    planned: int  # seeds asked for; more than S where a seed has nothing to show yet
    solved_at: float | None
    notes: tuple[str, ...] = ()  # which seeds several runs trained


class Curve(NamedTuple):
    """S seeds on a grid of N points. NaN in ``middle``: not every seed has a value there."""

    label: str  # as of the group
    env: str
    agent: str
    axis: Axis
    x: np.ndarray  # (N,) increasing: env steps per seed, episodes per seed, or seconds
    per_seed: np.ndarray  # (S, N) mean of the last `window` episode returns; NaN before a seed's first episode
    middle: np.ndarray  # (N,) the statistic over seeds
    low: np.ndarray  # (N,) its 95 % interval; NaN for one seed
    high: np.ndarray  # (N,)
    seeds: tuple[int, ...]  # S numbers
    ends: np.ndarray  # (S,) x of each seed's last episode; after that its last value is held
    planned: int
    window: int
    solved_at: float | None
    stat: Stat = "mean"
    what: What = "returns"
    early: bool = False  # whether a seed stopped well before the others of its run: solved, or gone wrong

    def final(self) -> tuple[float, float, float, float]:
        """(x, middle, low, high) at the last x where every seed has a value; all NaN if there is none."""
        (known,) = np.nonzero(~np.isnan(self.middle))
        if not len(known):
            return np.nan, np.nan, np.nan, np.nan
        i = known[-1]
        return float(self.x[i]), float(self.middle[i]), float(self.low[i]), float(self.high[i])


def learning_curve(run: Path | str, x: Axis = "steps", window: int | None = None, points: int = 200) -> Curve:
    """The learning curve of one run.

    At every point of the grid each seed shows the mean of its last ``window`` episode returns, of fewer at the
    beginning. The grid reaches from the first episode's end to the last one's. A seed that stopped earlier (solved)
    holds its last value, so that the mean is over all seeds.

    Args:
        run: a run folder.
        x: what the grid counts: env steps per seed, finished episodes per seed, or seconds of training.
        window: episodes to average over; None: a tenth of what a seed has, from 10 to 100. A longer one hides how
            fast an agent learned that needed few episodes.
        points: of the grid, at most.

    Raises:
        UsageError: ``run`` is no run folder, no episode has finished yet, or an argument is out of range.
        RunFolderError: the record is damaged; the message names file and line.
    """
    return group_runs([run], x, window, points)[0]


def group_runs(
    runs: Path | str | Sequence[Path | str],
    x: Axis = "steps",
    window: int | None = None,
    points: int = 200,
    *,
    stat: Stat = "mean",
    what: What = "returns",
) -> list[Curve]:
    """One curve per experiment, in the order of ``runs``; see `pool`.

    Args:
        runs: run folders.
        x, window, points: as for `learning_curve`.
        stat, what: as for `curves_of`.

    Errors as for `learning_curve`.
    """
    _check(x, window, points, stat)
    return curves_of(pool([read_run(reader, what) for reader in readers_of(runs)]), x, window, points, stat=stat)


def pool(histories: Sequence[History]) -> list[PooledRuns]:
    """One group per experiment, in the order given: runs that differ in seeds and budgets alone are pooled.

    What sets two experiments of one agent apart is in their labels. Which seeds count is the rule of
    `rlbench.runfolder.pooling`: each one once, by its longest history.
    """
    experiments: dict[Any, list[History]] = defaultdict(list)
    for history in histories:
        experiments[history.experiment].append(history)
    members = [runs for same in experiments.values() for runs in _by_budget(same)]
    labels = _labels(members)
    return [_pooled(runs, label) for runs, label in zip(members, labels, strict=True)]


def curves_of(
    groups: Sequence[PooledRuns],
    x: Axis = "steps",
    window: int | None = None,
    points: int = 200,
    *,
    stat: Stat = "mean",
) -> list[Curve]:
    """One curve per group. Where one of its runs was killed, is under way or had a smaller budget, the mean ends there.

    Args:
        groups: of `pool`. Greedy evaluations are shown as they are: the grid holds every one of them up to ``points``.
        x, window, points: as for `learning_curve`.
        stat: over seeds, with its 95 % interval: "mean" (Student's t), "iqm" or "median" (percentile bootstrap).

    Raises:
        UsageError: an argument is out of range, or evaluations over episodes are asked for.
    """
    _check(x, window, points, stat)
    window = usual_window(groups) if window is None else window
    return [_curve(group, x, 1 if group.what == "evaluations" else window, points, stat) for group in groups]


def usual_window(groups: Sequence[PooledRuns]) -> int:
    """A tenth of the episodes that a seed has, from 10 to 100; of the group that has fewest."""
    episodes = [np.median([len(seed.steps) for seed, _ in group.seeds]) for group in groups]
    return int(np.clip(min(episodes, default=0) // 10, 10, 100))


def middle(values: np.ndarray, stat: Stat) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The statistic over seeds with its 95 % interval: (S, *rest) -> three of (*rest). NaN where a seed is NaN.

    The interval is Student's t for the mean, and for the others a percentile bootstrap over n seeds, with percentiles
    sqrt(n / (n - 1)) times as far out, as in `rlbench.stats.estimates`; NaN for one seed.
    """
    if stat == "mean":
        return np.asarray(values.mean(0)), *mean_interval(values)
    compute: Callable[..., np.ndarray] = iqm if stat == "iqm" else np.median
    found = np.asarray(compute(values, axis=0))
    low, high = np.full_like(found, np.nan), np.full_like(found, np.nan)
    known = ~np.isnan(found)
    if (n := len(values)) > 1 and known.any():
        normal = NormalDist()
        tail = normal.cdf(normal.inv_cdf(0.025) * math.sqrt(n / (n - 1)))
        low[known], high[known] = bootstrap_interval(values[:, known], compute, confidence=1 - 2 * tail)
    return found, low, high


def recent(seed: Seed, axis: Axis, grid: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last ``window`` values known at each point of the grid, NaN before the first: (N,) -> (N,)."""
    total = np.concatenate(([0.0], np.cumsum(seed.values)))  # (n + 1,)
    last = np.searchsorted(seed.x(axis), grid, side="right")  # (N,) episodes finished
    first = np.maximum(last - window, 0)
    return np.where(last > 0, (total[last] - total[first]) / np.maximum(last - first, 1), np.nan)


def _check(x: Axis, window: int | None, points: int, stat: Stat) -> None:
    for name, value, known in (("x", x, get_args(Axis)), ("stat", stat, get_args(Stat))):
        if value not in known:
            raise UsageError(f"unknown {name} {value!r}: choose one of {', '.join(known)}.")
    if (window is not None and window < 1) or points < 2:
        raise UsageError(f"window must be at least 1 and points at least 2, not {window} and {points}.")


def _by_budget(runs: list[History]) -> list[list[History]]:
    """The runs of one experiment together; those of each budget apart where what a seed learns hangs on the budget."""
    groups: dict[int, list[History]] = defaultdict(list)
    for run in runs:
        groups[run.budget].append(run)
    return list(groups.values()) if len(groups) > 1 and _spans(runs) else [runs]


def _spans(runs: list[History]) -> bool:
    """Whether a schedule is known to reach over the whole run, or seeds of two budgets show that one does."""
    if runs[0].experiment.spans:
        return True
    by_number: dict[int, list[tuple[int, TrainedSeed]]] = defaultdict(list)
    for run in runs:
        for seed in _trained(run):
            by_number[seed.number].append((run.budget, seed))
    pairs = (pair for same in by_number.values() for pair in itertools.combinations(same, 2))
    return any(x != y and len(a.story) and len(b.story) and not shares_story(a, b) for (x, a), (y, b) in pairs)


def _trained(run: History) -> list[TrainedSeed]:
    """For `count_once`; evaluations, which runs make at steps of their own, tell no story."""
    return [
        TrainedSeed(run.run, run.experiment, seed.number, float(seed.steps[-1]), run.over, seed.story)
        for seed in run.seeds
    ]


def _labels(members: Sequence[list[History]]) -> list[str]:
    """One label per experiment (given by its runs), unique within an environment."""
    budgets: dict[Any, set[int]] = defaultdict(set)
    for runs in members:
        budgets[runs[0].experiment].add(runs[0].budget)
    settings = [
        runs[0].settings | ({"total_steps": str(runs[0].budget)} if len(budgets[runs[0].experiment]) > 1 else {})
        for runs in members
    ]
    labels = []
    histories = [runs[0] for runs in members]
    for history, own in zip(histories, settings, strict=True):
        kin = zip(histories, settings, strict=True)
        rivals = [s for h, s in kin if (h.env, h.agent) == (history.env, history.agent)]
        differing = sorted({key for s in rivals for key in s if len({other.get(key) for other in rivals}) > 1})
        words = [f"{key}={own.get(key, 'default')}" for key in differing[:3]]
        labels.append(", ".join([history.agent.rpartition(":")[2], *words]))
    taken = [(history.env, label) for history, label in zip(histories, labels, strict=True)]
    return [
        f"{label} ({history.run.resolve().name})" if taken.count((history.env, label)) > 1 else label
        for history, label in zip(histories, labels, strict=True)
    ]


def _pooled(runs: list[History], label: str) -> PooledRuns:
    entries = [(seed, run) for run in runs for seed in run.seeds]
    trained = [seed for run in runs for seed in _trained(run)]
    kept, repeats = count_once(trained)
    solved_at = next((run.solved_at for run in runs if run.solved_at is not None), None)
    return PooledRuns(
        label=label,
        env=runs[0].env,
        agent=runs[0].agent,
        what=runs[0].what,
        seeds=[entries[i] for i in kept],
        planned=len({number for run in runs for number in run.numbers}),
        solved_at=solved_at,
        notes=(f"{runs[0].env}: {label}: {note}",) if (note := note_of(trained, repeats)) else (),
    )


def _curve(group: PooledRuns, axis: Axis, window: int, points: int, stat: Stat) -> Curve:
    if group.what == "evaluations" and axis == "episodes":
        raise UsageError("evaluations are recorded over env steps and time, not over episodes: choose another --x.")
    seeds = [seed for seed, _ in group.seeds]
    # The x up to which a seed's last value is held: for ever where its run is over and none of the others was to go on
    # for longer, else to where the run has come.
    runs = [run for _, run in group.seeds]
    budgets = [(run.budget, run.max_episodes or math.inf) for run in runs]
    longest = tuple(map(max, zip(*budgets, strict=True)))
    held = [
        np.inf if run.over and budget == longest else max(seed.x(axis)[-1] for seed in run.seeds)
        for run, budget in zip(runs, budgets, strict=True)
    ]
    first, ends = (np.array([seed.x(axis)[i] for seed in seeds]) for i in (0, -1))  # (S,)
    x = np.unique(np.linspace(first.min(), ends.max(), points))  # (N,)
    if group.what == "evaluations":
        places = np.unique(np.concatenate([seed.x(axis) for seed in seeds]))
        x = places if len(places) <= points else x
    per_seed = np.stack(  # (S, N)
        [np.where(x <= end, recent(seed, axis, x, window), np.nan) for seed, end in zip(seeds, held, strict=True)]
    )
    return Curve(
        label=group.label,
        env=group.env,
        agent=group.agent,
        axis=axis,
        x=x,
        per_seed=per_seed,
        middle=(found := middle(per_seed, stat))[0],
        low=found[1],
        high=found[2],
        seeds=tuple(seed.number for seed in seeds),
        ends=ends,
        planned=group.planned,
        window=window,
        solved_at=group.solved_at,
        stat=stat,
        what=group.what,
        early=_stopped_early(group),
    )


def _stopped_early(group: PooledRuns) -> bool:
    ends: dict[Path, list[float]] = defaultdict(list)
    for seed, run in group.seeds:
        if run.over:
            ends[run.run].append(run.ends.get(seed.number, float(seed.steps[-1])))
    return any(min(steps) < 0.95 * max(steps) for steps in ends.values())
