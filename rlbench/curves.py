"""Learning curves out of run folders: each seed's recent returns on one grid, and their mean with its interval.

Reads recipe.toml, summary.json and episodes.csv, of runs that are over, under way or killed.
"""

import json
import math
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from .errors import RunFolderError, UsageError
from .stats import mean_interval
from .tables import under_way

Axis = Literal["steps", "episodes", "time"]

# Besides the agent's own table, what makes two runs of one agent two experiments.
_SETTINGS = ("env_kwargs", "num_envs", "total_steps", "max_episodes", "max_episode_steps", "stop_when_solved")


class Curve(NamedTuple):
    """S seeds on a grid of N points. NaN in ``mean``: not every seed has a value there."""

    label: str  # the agent, and its settings where they are what sets two curves of one environment apart
    env: str
    agent: str
    axis: Axis
    x: np.ndarray  # (N,) increasing: env steps per seed, episodes per seed, or seconds
    per_seed: np.ndarray  # (S, N) mean of the last `window` episode returns; NaN before a seed's first episode
    mean: np.ndarray  # (N,)
    low: np.ndarray  # (N,) 95 % interval of the mean; NaN for one seed
    high: np.ndarray  # (N,)
    seeds: tuple[int, ...]  # S numbers; one number twice where two runs used it
    ends: np.ndarray  # (S,) x of each seed's last episode; after that its last value is held
    planned: int  # seeds asked for; more than S where a seed has not finished an episode yet
    window: int
    solved_at: float | None

    def final(self) -> tuple[float, float, float, float]:
        """(x, mean, low, high) at the last x where every seed has a value; all NaN if there is none."""
        (known,) = np.nonzero(~np.isnan(self.mean))
        if not len(known):
            return np.nan, np.nan, np.nan, np.nan
        i = known[-1]
        return float(self.x[i]), float(self.mean[i]), float(self.low[i]), float(self.high[i])


class _Seed(NamedTuple):
    """The finished episodes of one seed in one run, in time order."""

    number: int
    steps: np.ndarray  # (n,)
    returns: np.ndarray  # (n,)
    seconds: np.ndarray  # (n,)

    def x(self, axis: Axis) -> np.ndarray:
        """Where each episode ended, (n,) not decreasing."""
        if axis == "episodes":
            return np.arange(1.0, len(self.steps) + 1)
        return self.steps if axis == "steps" else np.maximum.accumulate(self.seconds)

    def begins(self, other: "_Seed") -> bool:
        """Whether ``other`` has the same episodes, and perhaps more: the same seed trained twice."""
        n = len(self.steps)
        same = np.array_equal(self.steps, other.steps[:n]) and np.array_equal(self.returns, other.returns[:n])
        return self.number == other.number and same


class _Record(NamedTuple):
    run: Path
    env: str
    agent: str
    settings: dict[str, str]
    planned: int
    over: bool
    solved_at: float | None
    seeds: list[_Seed]


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
    runs: Path | str | Sequence[Path | str], x: Axis = "steps", window: int | None = None, points: int = 200
) -> list[Curve]:
    """One curve per experiment, in the order of ``runs``: runs with the same env, agent and settings are pooled.

    Settings are the agent's hyper-parameters and what else shapes learning; where runs of one agent differ in them,
    the labels say so. A seed number that two runs used counts twice, unless one history merely repeats the other:
    that is no new evidence. Where one of the runs was killed, or is under way, the mean ends where that run does.

    Args and errors as for `learning_curve`.
    """
    if x not in get_args(Axis):
        raise UsageError(f"unknown x {x!r}: choose one of {', '.join(get_args(Axis))}.")
    if (window is not None and window < 1) or points < 2:
        raise UsageError(f"window must be at least 1 and points at least 2, not {window} and {points}.")
    paths = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    records = [_read(path) for path in {path.resolve(): path for path in paths}.values()]
    groups: dict[Any, list[_Record]] = defaultdict(list)
    for record in records:
        groups[record.env, record.agent, *sorted(record.settings.items())].append(record)
    labels = _labels([group[0] for group in groups.values()])
    if window is None:
        episodes = [
            np.median([len(seed.steps) for record in group for seed in record.seeds]) for group in groups.values()
        ]
        window = int(np.clip(min(episodes, default=0) // 10, 10, 100))
    return [_pool(group, label, x, window, points) for group, label in zip(groups.values(), labels, strict=True)]


def _read(run: Path) -> _Record:
    if not (run / "recipe.toml").is_file():
        why = "it holds no recipe.toml" if run.is_dir() else "there is no such folder"
        inside = f" It holds runs, though: name {run}/*" if any(run.glob("*/recipe.toml")) else ""
        raise UsageError(f"{run} is no run folder: {why}.{inside}")
    try:
        recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
        env, agent, planned = str(recipe["env"]), str(recipe["agent"]), int(recipe["seeds"])
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise RunFolderError(
            f"cannot read {run / 'recipe.toml'}: {f'no {e}' if isinstance(e, KeyError) else e}."
        ) from e
    try:
        summary = dict(json.loads((run / "summary.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        summary = {"stopped_because": "interrupted"}  # killed, or under way
    except (OSError, ValueError, TypeError) as e:
        raise RunFolderError(f"cannot read {run / 'summary.json'}: {e}.") from e
    hyper = recipe.get(agent.rpartition(":")[2], {})
    settings = {
        **{key: recipe[key] for key in _SETTINGS if key in recipe},
        **(hyper if isinstance(hyper, dict) else {}),
    }
    solved_at = [known["solved_at"] for known in (summary, recipe) if known.get("solved_at") is not None]
    seeds = [seed for place in under_way(run) or [run] for seed in _read_episodes(place / "episodes.csv")]
    return _Record(
        run=run,
        env=env,
        agent=agent,
        settings={key: str(value) for key, value in settings.items()},
        planned=max(len(seeds), planned),
        over="interrupted" not in str(summary.get("stopped_because", "")),
        solved_at=float(solved_at[0]) if solved_at else None,
        seeds=seeds,
    )


def _read_episodes(path: Path) -> list[_Seed]:
    """The seeds in the order of their numbers. A last line without its newline was cut short by a crash: ignored."""
    try:
        lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1] if path.exists() else []
    except OSError as e:
        raise RunFolderError(f"cannot read {path}: {e.strerror}.") from e
    header = lines[0].rstrip("\r").split(",") if lines else []
    columns = {"seed": int, "env_steps": int, "episode_return": float, "wall_seconds": float}
    missing = [name for name in columns if lines and name not in header]
    if missing:
        raise RunFolderError(f"{path}, line 1: the header has no column {missing[0]!r}. The file is damaged.")
    parsers = [(name, parse, header.index(name)) for name, parse in columns.items() if lines]
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for line, text in enumerate(lines[1:], 2):
        fields = text.rstrip("\r").split(",")
        try:
            if len(fields) != len(header):
                raise ValueError(f"{len(fields)} fields instead of {len(header)}")
            number, *row = (parse(fields[i]) for _, parse, i in parsers)
            if not all(map(math.isfinite, row)):
                raise ValueError("a number that is not finite")
            if rows[number] and row[0] < rows[number][-1][0]:
                raise ValueError(f"env_steps of seed {number} goes back")
        except ValueError as e:
            raise RunFolderError(f"{path}, line {line}: {e}. The file is damaged.") from e
        rows[number].append(row)
    if not rows:
        raise UsageError(
            f"no episode finished yet in {path.parent}; a curve needs one. Wait for it, or train for more steps."
        )
    return [_Seed(number, *np.array(rows[number], np.float64).T) for number in sorted(rows)]


def _labels(records: list[_Record]) -> list[str]:
    """One label per experiment (given by one of its runs), unique within an environment."""
    labels = []
    for record in records:
        rivals = [r.settings for r in records if (r.env, r.agent) == (record.env, record.agent)]
        differing = sorted({key for settings in rivals for key in settings if len({s.get(key) for s in rivals}) > 1})
        words = [f"{key}={record.settings.get(key, 'default')}" for key in differing[:3]]
        labels.append(", ".join([record.agent.rpartition(":")[2], *words]))
    taken = [(record.env, label) for record, label in zip(records, labels, strict=True)]
    return [
        f"{label} ({record.run.resolve().name})" if taken.count((record.env, label)) > 1 else label
        for record, label in zip(records, labels, strict=True)
    ]


def _pool(group: list[_Record], label: str, axis: Axis, window: int, points: int) -> Curve:
    entries = []  # each seed, and the x up to which its last value is held
    for record in group:
        held = np.inf if record.over else max(seed.x(axis)[-1] for seed in record.seeds)
        entries += [(seed, held) for seed in record.seeds]
    kept: list[int] = []  # without those that repeat another; the longest history of a kind stays
    for i in sorted(range(len(entries)), key=lambda i: (-len(entries[i][0].steps), -entries[i][1])):
        if not any(entries[i][0].begins(entries[k][0]) for k in kept):
            kept.append(i)
    seeds = [entries[i] for i in sorted(kept)]
    first, ends = (np.array([seed.x(axis)[i] for seed, _ in seeds]) for i in (0, -1))  # (S,)
    x = np.unique(np.linspace(first.min(), ends.max(), points))  # (N,)
    per_seed = np.stack([np.where(x <= held, _at(x, seed, axis, window), np.nan) for seed, held in seeds])  # (S, N)
    low, high = mean_interval(per_seed)
    env, agent = group[0].env, group[0].agent
    numbers = tuple(seed.number for seed, _ in seeds)
    planned = sum(record.planned for record in group) - (len(entries) - len(seeds))
    solved_at = next((record.solved_at for record in group if record.solved_at is not None), None)
    return Curve(
        label, env, agent, axis, x, per_seed, per_seed.mean(0), low, high, numbers, ends, planned, window, solved_at
    )


def _at(grid: np.ndarray, seed: _Seed, axis: Axis, window: int) -> np.ndarray:
    """Mean of the last ``window`` returns known at each point of the grid, NaN before the first: (N,) -> (N,)."""
    total = np.concatenate(([0.0], np.cumsum(seed.returns)))  # (n + 1,)
    last = np.searchsorted(seed.x(axis), grid, side="right")  # (N,) episodes finished
    first = np.maximum(last - window, 0)
    return np.where(last > 0, (total[last] - total[first]) / np.maximum(last - first, 1), np.nan)
