"""What a run folder says about each of its seeds: scores, evaluations, and under which conditions they were made.

Reads recipe.toml, run.json, summary.json, evaluations.csv and episodes.csv, of runs that are over, under way, killed or
damaged. What is missing or does not parse is said in a note, and the rest is used.
"""

import json
import math
import tomllib
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from ..errors import RunFolderError, UsageError
from ..runfolder.history import MOST_SEEDS
from ..runfolder.layout import under_way
from ..runfolder.pooling import Experiment, Trained, experiment_of
from ..runfolder.values import finite

Score = Literal["final", "best", "auc"]
SCORES: tuple[str, ...] = get_args(Score)

#: What has to be the same for two scores to be of one kind, and what it is where a recipe does not say.
CONDITIONS: dict[str, Any] = {
    "env_kwargs": {},
    "max_episode_steps": 0,
    "fresh_envs": False,
    "total_steps": None,
    "max_episodes": 0,
    "stop_when_solved": False,
    "eval_every": None,
    "eval_episodes": None,
    "final_eval_episodes": None,
}
MOST_STEPS = 10**15
PACKAGES = ("gymnasium", "rlbench", "torch")


class SeedEvidence(NamedTuple):
    """One seed of one run."""

    run: Path
    number: int
    final: float  # greedy return of the final weights; of the newest evaluation where the run has not ended
    best: float  # of the weights that did best in an evaluation during training
    steps: np.ndarray  # (n,) env steps of its evaluations, increasing
    returns: np.ndarray  # (n,) their mean greedy returns
    story: np.ndarray  # (n,) a digest of each of its episodes: the same for the same seed trained twice
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


def read_run(path: Path) -> RunEvidence:
    """Read one run folder.

    Raises:
        UsageError: it is no run folder, or has no evaluation yet.
        RunFolderError: recipe.toml is damaged.
    """
    if not (path / "recipe.toml").is_file():
        raise UsageError(f"{path} is no run folder: " + ("it holds no recipe.toml" if path.is_dir() else "none there"))
    try:
        recipe = tomllib.loads((path / "recipe.toml").read_text(encoding="utf-8"))
        env, agent, budget = str(recipe["env"]), str(recipe["agent"]), int(recipe["total_steps"])
        first, count = int(recipe["seed"]), int(recipe["seeds"])
        if first < 0 or not 1 <= count <= MOST_SEEDS or not 1 <= budget <= MOST_STEPS:
            raise ValueError("seed, seeds or total_steps is out of range")
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as e:
        why = f"no {e}" if isinstance(e, KeyError) else e
        raise RunFolderError(f"{path / 'recipe.toml'} cannot be read: {why}") from e
    notes: list[str] = []
    summary = _read_json(path / "summary.json", notes)
    facts = _read_json(path / "run.json", notes)
    over = bool(summary) and "interrupted" not in str(summary.get("stopped_because"))
    evaluations: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    stories: dict[int, tuple[np.ndarray, float]] = {}
    for place in under_way(path) or [path]:
        _read_evaluations(place / "evaluations.csv", evaluations, notes)
        stories |= _stories(place / "episodes.csv")
    final, best = (_numbers(summary.get(f"{name}_eval_return")) for name in ("final", "best"))
    counts = [_numbers(summary.get(f"{name}_eval_episodes")) for name in ("final", "best")]
    seeds = []
    for number in sorted({*range(first, first + count), *evaluations, *final}):
        known = np.array(evaluations.get(number, []), np.float64).reshape(-1, 3)  # env steps, return, episodes
        last, highest = (known[-1, 1], known[:, 1].max()) if len(known) else (math.nan, math.nan)
        score = final.get(number, last)
        if math.isnan(score):
            notes.append(f"seed {number} has no evaluation: left out")
            continue
        if over and number not in final:
            notes.append(f"seed {number} has no final score: its last evaluation, at step {known[-1, 0]:,.0f}, is used")
        chosen = best.get(number, float(np.fmax(highest, score)))
        story, ended = stories.get(number, (np.zeros(0, np.uint32), 0.0))
        end = max(ended, float(known[-1, 0]) if len(known) else 0.0)
        newest = number not in final  # is the score
        rests = int(known[-1, 2] if newest else counts[0].get(number, 0)), int(counts[1].get(number, 0))
        seeds.append(SeedEvidence(path, number, float(score), chosen, known[:, 0], known[:, 1], story, end, rests))
    if not seeds:
        raise UsageError(f"{path} holds no evaluation yet")
    horizon = budget
    if not over:
        ends = [int(s.steps[-1]) for s in seeds if len(s.steps)] or [0]
        horizon = min(ends)  # processes that train a run's seeds are not at the same step
        reached = f"{horizon:,}" if horizon == max(ends) else f"{horizon:,} to {max(ends):,}"
        notes.insert(0, f"has not ended: scores are of its newest evaluations, at step {reached} of {budget:,}")
    conditions = {key: _text(recipe.get(key, other)) for key, other in CONDITIONS.items()}
    hyper = recipe.get(agent.rpartition(":")[2], {})
    settings = {"num_envs": recipe.get("num_envs", 1)} | (hyper if isinstance(hyper, dict) else {})
    versions = facts.get("versions")
    return RunEvidence(
        path=path,
        env=env,
        agent=agent,
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
    )


def trained(run: RunEvidence, seed: SeedEvidence) -> Trained:
    """A seed of ``run``, for `rlbench.runfolder.pooling`."""
    return Trained(run.path, run.experiment, seed.number, seed.reached, run.over, seed.story)


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


def _read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError) as e:
        notes.append(f"{path.name} is damaged ({e}): done without it")
        return {}


def _read_evaluations(path: Path, into: dict[int, list[tuple[float, float, float]]], notes: list[str]) -> None:
    """Add a file's rows; a last line without its newline was cut short by a crash and is passed over."""
    header, *lines = _lines(path) or [""]
    names = header.split(",")
    if not header:
        return
    for number, text in enumerate(lines, 2):
        try:
            row = dict(zip(names, text.split(","), strict=True))
            seed, at, value = int(row["seed"]), float(row["env_steps"]), float(row["mean_return"])
            count = float(row.get("episodes", 0))
            if not (math.isfinite(value) and math.isfinite(at) and math.isfinite(count)) or (
                into[seed] and at < into[seed][-1][0]
            ):
                raise ValueError("steps that go back, or a number that is not finite")
        except (ValueError, KeyError) as e:
            why = f"no column {e}" if isinstance(e, KeyError) else e
            notes.append(f"{path.name}, line {number} is damaged ({why}): what follows is left out")
            return
        into[seed].append((at, value, count))


def _stories(path: Path) -> dict[int, tuple[np.ndarray, float]]:
    """Of each seed a digest of every episode, wall time left out, and the env steps of the last one."""
    header, *lines = _lines(path) or [""]
    names = header.split(",")
    last = -1 if names[-1] == "wall_seconds" else None
    at = names.index("env_steps") - 1 if "env_steps" in names[1:] else None
    digests: dict[int, list[int]] = defaultdict(list)
    reached: dict[int, str] = {}
    for text in lines:
        seed, *fields = text.split(",")[:last]
        if seed.isdigit():
            digests[int(seed)].append(zlib.crc32(",".join(fields).encode()))
            reached[int(seed)] = fields[at] if at is not None and at < len(fields) else ""
    steps = {seed: float(text) if text.isdigit() else 0.0 for seed, text in reached.items()}
    return {seed: (np.array(found, np.uint32), steps[seed]) for seed, found in digests.items()}


def _lines(path: Path) -> list[str]:
    try:
        return [line.rstrip("\r") for line in path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1]]
    except OSError:
        return []


def _numbers(table: Any) -> dict[int, float]:
    """A table of summary.json, seed -> number, without those that are none."""
    pairs = table.items() if isinstance(table, dict) else ()
    return {int(k): number for k, v in pairs if str(k).isdigit() and (number := finite(v)) is not None}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
