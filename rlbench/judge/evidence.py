"""What a run folder says about each of its seeds: scores, evaluations, and under which conditions they were made.

Reads recipe.toml, run.json, summary.json, evaluations.csv and episodes.csv, of runs that are over, under way, killed or
damaged. What is missing or does not parse is said in a note, and the rest is used.
"""

import json
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from ..errors import RunFolderError, UsageError
from ..runfolder.documents import ended, finite, numbers_of
from ..runfolder.pooling import Experiment, TrainedSeed, experiment_of, story_of
from ..runfolder.reader import Reader, reader_of, sound
from ..user_code.wrapping import told

Score = Literal["final", "best", "auc"]
SCORES: tuple[str, ...] = get_args(Score)

#: What has to be the same for two scores to be of one kind, and what it is where a recipe does not say.
CONDITIONS: dict[str, Any] = {
    "env_kwargs": {},
    "wrappers": [],
    "max_episode_steps": 0,
    "fresh_envs": False,
    "total_steps": None,
    "max_episodes": 0,
    "stop_when_solved": False,
    "eval_every": None,
    "eval_episodes": None,
    "final_eval_episodes": None,
}
PACKAGES = ("gymnasium", "rlbench", "torch")


class SeedEvidence(NamedTuple):
    """One seed of one run."""

    run: Path
    number: int
    final: float  # greedy return of the final weights; of the newest evaluation where the run has not ended
    best: float  # of the weights that did best in an evaluation during training
    steps: np.ndarray  # (n,) env steps of its evaluations, increasing
    returns: np.ndarray  # (n,) their mean greedy returns
    story: np.ndarray  # (n,) as of `pooling.story_of`
    reached: float  # env steps of its last episode or evaluation
    episodes: tuple[int, int] = (0, 0)  # greedy ones that final and best rest on; 0: not known


class RunEvidence(NamedTuple):
    """One run."""

    path: Path
    env: str
    agent: str
    experiment: Experiment
    settings: dict[str, str]  # hyper-parameters, and environments per seed
    conditions: dict[str, str]
    versions: dict[str, str]
    budget: int  # env steps per seed that were planned
    over: bool  # it came to its end
    horizon: float  # env steps that each of its seeds took, or would have taken had it not stopped by itself
    solved_at: float | None
    seeds: tuple[SeedEvidence, ...]
    notes: tuple[str, ...]  # what is missing
    damage: tuple[str, ...]  # what cannot be read, and what is done without it


def read_run(run: Path | Reader) -> RunEvidence:
    """Read one run folder.

    Raises:
        UsageError: it is no run folder, or has no evaluation yet.
        RunFolderError: recipe.toml is damaged.
    """
    reader = reader_of(run)
    reader.check()
    path, name, plan = reader.folder, reader.name, sound(reader.plan)
    if not plan.total_steps:
        raise RunFolderError(f"{reader.called(path / 'recipe.toml')} is damaged: there is no 'total_steps'.")
    documents, tables = [reader.summary, reader.about], [reader.table("evaluations.csv"), reader.table("episodes.csv")]
    damage = [f"{read.problem}: done without it" for read in documents if read.problem]
    damage += [f"{read.problem}: what follows is left out" for read in tables if read.problem]
    summary, facts, recipe, budget = reader.summary.value, reader.about.value, reader.recipe.value, plan.total_steps
    over, notes = ended(summary), list[str]()
    evaluations = {
        number: np.stack([np.asarray(rows[key], np.float64) for key in ("env_steps", "mean_return", "episodes")], 1)
        for number, rows in tables[0].value.items()
    }  # (n, 3) each
    stories = {number: (story_of(rows), float(rows["env_steps"][-1])) for number, rows in tables[1].value.items()}
    final, best = (numbers_of(summary, f"{which}_eval_return") for which in ("final", "best"))
    counts = [numbers_of(summary, f"{which}_eval_episodes") for which in ("final", "best")]
    seeds = []
    for number in sorted({*plan.numbers, *evaluations, *final}):
        known = evaluations.get(number, np.zeros((0, 3)))  # env steps, return, episodes
        last, highest = (known[-1, 1], known[:, 1].max()) if len(known) else (math.nan, math.nan)
        score = final.get(number, last)
        if math.isnan(score):
            notes.append(f"seed {number} has no evaluation: left out")
            continue
        if over and number not in final:
            notes.append(f"seed {number} has no final score: its last evaluation, at step {known[-1, 0]:,.0f}, is used")
        chosen = best.get(number, float(np.fmax(highest, score)))
        story, newest_episode = stories.get(number, (np.zeros(0, np.uint64), 0.0))
        end = max(newest_episode, float(known[-1, 0]) if len(known) else 0.0)
        newest = number not in final  # is the score
        rests = int(known[-1, 2] if newest else counts[0].get(number, 0)), int(counts[1].get(number, 0))
        seeds.append(SeedEvidence(path, number, float(score), chosen, known[:, 0], known[:, 1], story, end, rests))
    if not seeds:
        raise UsageError(f"{name} holds no evaluation yet")
    horizon = budget
    if not over:
        ends = [int(s.steps[-1]) for s in seeds if len(s.steps)] or [0]
        horizon = min(ends)  # processes that train a run's seeds are not at the same step
        reached = f"{horizon:,}" if horizon == max(ends) else f"{horizon:,} to {max(ends):,}"
        notes.insert(0, f"has not ended: scores are of its newest evaluations, at step {reached} of {budget:,}")
    conditions = {key: _text(recipe.get(key, other)) for key, other in CONDITIONS.items()}
    conditions["wrappers"] = _text(told(recipe.get("wrappers", []), facts.get("code")))
    settings = {"num_envs": recipe.get("num_envs", 1)} | plan.hyper
    versions = facts.get("versions")
    return RunEvidence(
        path=path,
        env=plan.env,
        agent=plan.agent,
        experiment=experiment_of(recipe),
        settings={key: _text(value) for key, value in settings.items()},
        conditions=conditions,
        versions={k: str(v) for k, v in versions.items() if k in PACKAGES} if isinstance(versions, dict) else {},
        budget=budget,
        over=over,
        horizon=float(horizon),
        solved_at=finite(summary.get("solved_at", recipe.get("solved_at"))),
        seeds=tuple(seeds),
        notes=tuple(notes),
        damage=tuple(damage),
    )


def is_changed(run: RunEvidence) -> bool:
    """Whether the environment is not as everybody knows it: scores that are known of it do not apply then."""
    return any(run.conditions[key] != _text(CONDITIONS[key]) for key in ("env_kwargs", "wrappers", "max_episode_steps"))


def trained_seed(run: RunEvidence, seed: SeedEvidence) -> TrainedSeed:
    """A seed of ``run``, for `rlbench.runfolder.pooling`."""
    return TrainedSeed(run.path, run.experiment, seed.number, seed.reached, run.over, seed.story)


def score_of(seed: SeedEvidence, score: Score, horizon: float) -> float:
    """The number that stands for a seed.

    Args:
        seed: whose.
        score: "final", "best", or "auc": the area under its greedy evaluations by the trapezoid rule from the first one
            to ``horizon``, over that stretch: the mean return while it learned.
        horizon: env steps; a seed that stopped before keeps its last value until there.

    Returns:
        A return; for "auc" NaN where there is no evaluation up to ``horizon``.
    """
    if score != "auc":
        return seed.final if score == "final" else seed.best
    inside = seed.steps <= horizon
    x, y = seed.steps[inside], seed.returns[inside]
    if len(x) == 0:
        return math.nan
    x, y = np.append(x, horizon), np.append(y, y[-1])
    return float(np.trapezoid(y, x) / (horizon - x[0])) if horizon > x[0] else float(y[0])


def time_to(seed: SeedEvidence, threshold: float) -> tuple[float, bool]:
    """(env steps of the first evaluation at ``threshold`` or above, True), or (those of the last one, False)."""
    (reached,) = np.nonzero(seed.returns >= threshold)
    if len(reached):
        return float(seed.steps[reached[0]]), True
    return (float(seed.steps[-1]) if len(seed.steps) else 0.0), False


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
