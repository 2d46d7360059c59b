"""What a run folder remembers of its seeds: the returns of training episodes, or the means of greedy evaluations.

Reads recipe.toml, summary.json, episodes.csv and evaluations.csv, of runs that are over, under way or killed. Curves
and the other pictures are made of it.
"""

import itertools
import json
import math
import tomllib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import RlbenchError, RunFolderError, UsageError
from .layout import under_way
from .pooling import SHAPING, Experiment, experiment_of
from .values import finite

Axis = Literal["steps", "episodes", "time"]
What = Literal["returns", "evaluations"]
MOST_SEEDS = 10_000  # of one run

_FILES = {"returns": ("episodes.csv", "episode_return"), "evaluations": ("evaluations.csv", "mean_return")}


class Seed(NamedTuple):
    """The n finished episodes, or the n greedy evaluations, of one seed in one run, in time order."""

    number: int
    steps: np.ndarray  # (n,) env steps, not decreasing
    values: np.ndarray  # (n,) return of the episode, or mean return of the evaluation
    seconds: np.ndarray  # (n,)

    def x(self, axis: Axis) -> np.ndarray:
        """Where each of them ended, (n,) not decreasing."""
        if axis == "episodes":
            return np.arange(1.0, len(self.steps) + 1)
        return self.steps if axis == "steps" else np.maximum.accumulate(self.seconds)

    @property
    def story(self) -> np.ndarray:
        """What happened, for `rlbench.runfolder.pooling`: (n, 2)."""
        return np.stack((self.steps, self.values), axis=1)


class History(NamedTuple):
    """One run."""

    run: Path
    env: str
    agent: str
    what: What
    settings: dict[str, str]  # what shapes learning, budgets apart
    experiment: Experiment
    numbers: tuple[int, ...]  # of the seeds asked for, and of others that are there
    budget: int  # env steps asked for, per seed; 0: unknown
    max_episodes: int  # after which a seed was to stop; 0: no limit
    over: bool  # False: under way or killed
    solved_at: float | None
    ends: dict[int, float]  # env steps that each seed took, where the run is over
    greedy: dict[int, float]  # mean greedy return of each seed's final weights, where the run is over
    seeds: list[Seed]  # those that have something to show, at least one

    @property
    def planned(self) -> int:
        """How many seeds were asked for, or are there."""
        return len(self.numbers)


def read_run(run: Path | str, what: What = "returns") -> History:
    """Read one run folder.

    Args:
        run: the folder.
        what: "returns" of training episodes, or "evaluations" of the greedy agent.

    Raises:
        UsageError: ``run`` is no run folder, or has nothing of the kind yet.
        RunFolderError: the record is damaged; the message names file and line.
    """
    run = Path(run)
    if not (run / "recipe.toml").is_file():
        why = "it holds no recipe.toml" if run.is_dir() else "there is no such folder"
        inside = f" It holds runs, though: name {run}/*" if any(run.glob("*/recipe.toml")) else ""
        raise UsageError(f"{run} is no run folder: {why}.{inside}")
    try:
        recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
        env, agent, count = str(recipe["env"]), str(recipe["agent"]), int(recipe["seeds"])
        first, budget, max_episodes = (int(recipe.get(key, 0)) for key in ("seed", "total_steps", "max_episodes"))
        if not 0 <= count <= MOST_SEEDS:
            raise ValueError(f"seeds is {count}")
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as e:
        raise RunFolderError(
            f"cannot read {run / 'recipe.toml'}: {f'no {e}' if isinstance(e, KeyError) else e}."
        ) from e
    try:
        summary = dict(json.loads((run / "summary.json").read_text(encoding="utf-8")))
        over = "interrupted" not in str(summary.get("stopped_because", ""))
        ends, greedy = (
            {int(seed): x for seed, value in dict(summary.get(key) or {}).items() if (x := finite(value)) is not None}
            for key in ("env_steps_of_seed", "final_eval_return")
        )
    except FileNotFoundError:  # killed, or under way
        summary, over, ends, greedy = {}, False, {}, {}
    except (OSError, ValueError, TypeError) as e:
        raise RunFolderError(f"cannot read {run / 'summary.json'}: {e}.") from e
    hyper = recipe.get(agent.rpartition(":")[2], {})
    settings = {
        **{key: recipe[key] for key in SHAPING if key in recipe},
        **(hyper if isinstance(hyper, dict) else {}),
    }
    solved_at = [x for known in (summary, recipe) if (x := finite(known.get("solved_at"))) is not None]
    file, column = _FILES[what]
    seeds = [seed for place in under_way(run) or [run] for seed in _read_table(place / file, column)]
    if not seeds:
        missing = {
            "returns": "no episode finished yet in {}; a curve needs one. Wait for it, or train for more steps.",
            "evaluations": "no greedy evaluation yet in {}. Wait for it, or show the training: --what returns.",
        }
        raise UsageError(missing[what].format(run))
    return History(
        run=run,
        env=env,
        agent=agent,
        what=what,
        settings={key: str(value) for key, value in settings.items()},
        experiment=experiment_of(recipe),
        numbers=_numbers(range(first, first + count), [seed.number for seed in seeds]),
        budget=budget,
        max_episodes=max_episodes,
        over=over,
        solved_at=solved_at[0] if solved_at else None,
        ends=ends if over else {},
        greedy=greedy if over else {},
        seeds=seeds,
    )


def read_runs(runs: Path | str | Sequence[Path | str], what: What = "returns") -> tuple[list[History], list[str]]:
    """Read what can be read of several run folders; a folder named twice counts once.

    Returns:
        (histories, notes): one line for each run that is left out, or that cannot show all.

    Raises:
        RlbenchError: of the first run, where none can be read.
        UsageError: no run was named.
    """
    histories, notes, errors = [], [], []
    for path in unique(runs):
        try:
            history = read_run(path, what)
        except RlbenchError as e:
            errors.append(e)
            notes.append(f"left out: {e}")
            continue
        histories.append(history)
        notes += _notes(history)
    if not histories:
        raise errors[0] if errors else UsageError("there is no run to draw.")
    envs = sorted({history.env for history in histories})
    if len(envs) > 1:
        notes.append(f"{len(envs)} environments ({', '.join(envs)}): a panel each; their returns are not comparable.")
    return histories, notes


def unique(runs: Path | str | Sequence[Path | str]) -> list[Path]:
    """The folders as paths, each once."""
    paths = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    return list({path.resolve(): path for path in paths}.values())


def _numbers(planned: range, found: Sequence[int]) -> tuple[int, ...]:
    """The numbers of all seeds; those without anything to show are the first of ``planned`` that are not found."""
    silent = itertools.islice((n for n in planned if n not in found), max(len(planned) - len(found), 0))
    return tuple(sorted({*found, *silent}))


def _notes(history: History) -> list[str]:
    """What a run that can be read cannot show."""
    found = []
    missing = history.planned - len(history.seeds)
    if not history.over:
        reached = max(seed.steps[-1] for seed in history.seeds)
        of = f" of {history.budget:,}" if history.budget else ""
        found.append(f"{history.run} is unfinished: its record ends at env step {reached:,.0f}{of}.")
    if missing:
        thing = "finished episode" if history.what == "returns" else "evaluation"
        found.append(f"{history.run}: {missing} of {history.planned} seeds have no {thing} yet.")
    return found


def _read_table(path: Path, column: str) -> list[Seed]:
    """The seeds in the order of their numbers. A last line without its newline was cut short by a crash: ignored."""
    try:
        lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1] if path.exists() else []
    except OSError as e:
        raise RunFolderError(f"cannot read {path}: {e.strerror}.") from e
    if not lines:
        return []
    header = lines[0].rstrip("\r").split(",")
    columns: dict[str, Callable[[str], Any]] = {"seed": int, "env_steps": int, column: float, "wall_seconds": float}
    missing = [name for name in columns if name not in header]
    if missing:
        raise RunFolderError(f"{path}, line 1: the header has no column {missing[0]!r}. The file is damaged.")
    parsers = [(parse, header.index(name)) for name, parse in columns.items()]
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for line, text in enumerate(lines[1:], 2):
        fields = text.rstrip("\r").split(",")
        try:
            if len(fields) != len(header):
                raise ValueError(f"{len(fields)} fields instead of {len(header)}")
            number, *row = (parse(fields[i]) for parse, i in parsers)
            if not all(map(math.isfinite, row)):
                raise ValueError("a number that is not finite")
            if rows[number] and row[0] < rows[number][-1][0]:
                raise ValueError(f"env_steps of seed {number} goes back")
        except ValueError as e:
            raise RunFolderError(f"{path}, line {line}: {e}. The file is damaged.") from e
        rows[number].append(row)
    return [Seed(number, *np.array(rows[number], np.float64).T) for number in sorted(rows)]
