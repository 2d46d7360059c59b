"""summary.json: what came of a run, in numbers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..recipe import Recipe
from .scoreboard import Scoreboard


def summarise(
    recipe: Recipe,
    scores: Scoreboard,
    ends: Sequence[int],
    *,
    updates: int,
    wall_seconds: float,
    train_seconds: float,
    final: np.ndarray,
    best: np.ndarray,
    episodes: tuple[Sequence[int], Sequence[int]],
    interrupted: bool,
    inexact: Sequence[int],
    device: str,
) -> dict[str, Any]:
    """What summary.json holds.

    Args:
        recipe: what was run.
        scores: what is known of the seeds.
        ends: env steps that each seed took.
        updates: gradient steps of each seed.
        wall_seconds: of the whole run.
        train_seconds: of the loop, without evaluations and checkpoints.
        final: (S,) mean greedy return of the final weights.
        best: (S,) of the weights that did best in an evaluation during training, on the same fresh episodes.
        episodes: how many episodes each of these rests on, per seed.
        interrupted: whether a signal ended the run.
        inexact: env steps at which it was resumed, but not exactly.
        device: where it ran.
    """
    seeds = recipe.seed_numbers
    reasons = {why or "total_steps" for why in scores.stopped if why or not interrupted}
    reasons |= {"interrupted"} if interrupted else set()
    return {
        "env": recipe.env,
        "agent": recipe.agent,
        "seeds": seeds,
        "env_steps": max(ends),
        "env_steps_of_seed": _by_seed(seeds, ends),
        "updates": updates,
        "episodes": _by_seed(seeds, scores.episodes),
        "wall_seconds": round(wall_seconds, 3),
        "train_seconds": round(train_seconds, 3),
        "env_steps_per_second": round(sum(ends) / max(train_seconds, 1e-9), 1),
        "recent_return": _by_seed(seeds, scores.recent_means()),
        "final_eval_return": _by_seed(seeds, final),
        "best_eval_return": _by_seed(seeds, best),
        "eval_episodes": min(episodes[0], default=0),
        "final_eval_episodes": _by_seed(seeds, episodes[0]),
        "best_eval_episodes": _by_seed(seeds, episodes[1]),
        "solved_at": scores.solved_at,
        "solved_at_env_steps": _by_seed(seeds, scores.solved),
        "solved_at_episode": _by_seed(seeds, scores.solved_episode),
        "stopped_because": ", ".join(sorted(reasons)),
        "exact": not inexact,
        "inexact_resumes_at": list(inexact),
        "device": device,
    }


def combine(summaries: Sequence[dict[str, Any]], wall_seconds: float) -> dict[str, Any]:
    """The summary of a run whose seeds were split over processes, from the processes' own."""
    whole: dict[str, Any] = dict(summaries[0])
    for key, value in whole.items():
        if isinstance(value, dict):
            whole[key] = {seed: v for part in summaries for seed, v in part[key].items()}
    whole["seeds"] = [seed for part in summaries for seed in part["seeds"]]
    whole["device"] = ",".join(dict.fromkeys(part["device"] for part in summaries))
    for key in ("env_steps", "updates", "train_seconds"):
        whole[key] = max(part[key] for part in summaries)
    whole["eval_episodes"] = min(part["eval_episodes"] for part in summaries)
    whole["exact"] = all(part["exact"] for part in summaries)
    whole["inexact_resumes_at"] = sorted({at for part in summaries for at in part["inexact_resumes_at"]})
    # A resumed process knows of the time before, and counts on.
    whole["wall_seconds"] = round(max(wall_seconds, *(part["wall_seconds"] for part in summaries)), 3)
    steps = sum(whole["env_steps_of_seed"].values())
    whole["env_steps_per_second"] = round(steps / max(whole["train_seconds"], 1e-9), 1)
    reasons = {reason for part in summaries for reason in part["stopped_because"].split(", ")}
    whole["stopped_because"] = ", ".join(sorted(reasons))
    return whole


def _by_seed(seeds: Sequence[int], values: Iterable[Any]) -> dict[str, Any]:
    """Seed -> value, with None where there is none."""
    return {str(seed): _plain(value) for seed, value in zip(seeds, values, strict=True)}


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
