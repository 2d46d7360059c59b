"""What a run folder remembers of its seeds: the returns of training episodes, or the means of greedy evaluations.

Reads recipe.toml, summary.json, episodes.csv and evaluations.csv, of runs that are over, under way or killed. Curves
and the other pictures are made of it.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..errors import RlbenchError, UsageError
from .documents import ended, finite, numbers_of
from .pooling import SHAPING, Experiment, experiment_of, story_of
from .reader import Reader, reader_of, readers_of, sound
from .tables import Columns

Axis = Literal["steps", "episodes", "time"]
What = Literal["returns", "evaluations"]

_FILES = {"returns": ("episodes.csv", "episode_return"), "evaluations": ("evaluations.csv", "mean_return")}


class Seed(NamedTuple):
    """The n finished episodes, or the n greedy evaluations, of one seed in one run, in time order."""

    number: int
    steps: np.ndarray  # (n,) env steps, not decreasing
    values: np.ndarray  # (n,) return of the episode, or mean return of the evaluation
    seconds: np.ndarray  # (n,)
    story: np.ndarray = np.zeros(0, np.uint64)  # (n,) as of `pooling.story_of`; evaluations tell none

    def x(self, axis: Axis) -> np.ndarray:
        """Where each of them ended, (n,) not decreasing."""
        if axis == "episodes":
            return np.arange(1.0, len(self.steps) + 1)
        return self.steps if axis == "steps" else np.maximum.accumulate(self.seconds)


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


def read_run(run: Path | str | Reader, what: What = "returns") -> History:
    """Read one run folder.

    Args:
        run: the folder.
        what: "returns" of training episodes, or "evaluations" of the greedy agent.

    Raises:
        UsageError: ``run`` is no run folder, or has nothing of the kind yet.
        RunFolderError: the record is damaged; the message names file and line.
    """
    reader = reader_of(run)
    reader.check()
    plan, summary = sound(reader.plan), sound(reader.summary)
    over, recipe = ended(summary), reader.recipe.value
    settings = {key: recipe[key] for key in SHAPING if key in recipe} | plan.hyper
    solved_at = [x for known in (summary, recipe) if (x := finite(known.get("solved_at"))) is not None]
    file, column = _FILES[what]
    seeds = [_seed(number, rows, column) for number, rows in sound(reader.table(file)).items()]
    if not seeds:
        missing = {
            "returns": "no episode finished yet in {}; a curve needs one. Wait for it, or train for more steps.",
            "evaluations": "no greedy evaluation yet in {}. Wait for it, or show the training: --what returns.",
        }
        raise UsageError(missing[what].format(reader.name))
    return History(
        run=reader.folder,
        env=plan.env,
        agent=plan.agent,
        what=what,
        settings={key: str(value) for key, value in settings.items()},
        experiment=experiment_of(recipe),
        numbers=_numbers(plan.numbers, [seed.number for seed in seeds]),
        budget=plan.total_steps,
        max_episodes=plan.max_episodes,
        over=over,
        solved_at=solved_at[0] if solved_at else None,
        ends=numbers_of(summary, "env_steps_of_seed") if over else {},
        greedy=numbers_of(summary, "final_eval_return") if over else {},
        seeds=seeds,
    )


def read_runs(
    runs: Path | str | Reader | Sequence[Path | str | Reader], what: What = "returns"
) -> tuple[list[History], list[str]]:
    """Read what can be read of several run folders; a folder named twice counts once.

    Returns:
        (histories, notes): one line for each run that is left out, or that cannot show all.

    Raises:
        RlbenchError: of the first run, where none can be read.
        UsageError: no run was named.
    """
    histories, notes, errors = [], [], []
    for reader in readers_of(runs):
        try:
            history = read_run(reader, what)
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


def _seed(number: int, rows: Columns, column: str) -> Seed:
    steps, values, seconds = (np.asarray(rows[name], np.float64) for name in ("env_steps", column, "wall_seconds"))
    return Seed(number, steps, values, seconds, *([story_of(rows)] if column == "episode_return" else []))
