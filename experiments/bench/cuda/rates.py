"""Stages that time whole training: by width and place, a thousand seeds, pictures, compiled, and as users run it."""

import tempfile
import time
from pathlib import Path
from typing import Any

from rlbench.recipe import Recipe
from rlbench.training.train import train

from .job import AGENTS, WARM_UP, Job, Loop, classic, named, pixels

WHOLE = 500_000  # env steps of each seed that `thousand` speaks of
ON_THE_WAY = 40_000  # seed steps of one timing on a CPU, which takes long for many


def rates(job: Job) -> dict[str, Any]:
    """Env steps per second of all seeds together, the loop alone: environments and buffers here and there."""
    return {
        f"{seeds} on {named(device, where)}": _timed(classic(seeds, **where), device, job)
        for seeds in job.seeds
        for device, where in job.places
    }


def thousand(job: Job) -> dict[str, Any]:
    """Seconds that 500,000 env steps of each of 1,000 seeds would take, from a shorter stretch; of 128, and of 1."""
    found: dict[str, Any] = {}
    device, where = job.places[1]
    for agent, made in AGENTS.items():
        seconds = {}
        for seeds in job.widths(1, 128, 1000):
            recipe = made(seeds, **where)
            loop = Loop(recipe, device, _whole_rollouts(recipe, 2, job))
            steps = _whole_rollouts(recipe, 8, job)
            us = loop.us(steps, 2)
            loop.close()
            seconds[seeds] = us * WHOLE / recipe.num_envs / 1e6
            found[f"{agent} x {seeds}"] = {
                "s, extrapolated": round(seconds[seeds], 1), "us a vector step": round(us), "measured steps": steps,
                "envs": recipe.num_envs,
            }  # fmt: skip
        least = seconds[min(seconds)]
        found[f"{agent}, against one"] = {str(seeds): round(s / least, 2) for seeds, s in seconds.items()}
    return found


def _whole_rollouts(recipe: Recipe, count: int, job: Job) -> int:
    """Vector steps: some rollouts of an agent that collects them, so that their updates are in the measure."""
    rollout = recipe.hyper.get("rollout_steps")
    return count * rollout if rollout else max(WARM_UP if count == 2 else 0, min(job.steps, 1_000))


def pictures(job: Job) -> dict[str, Any]:
    """Convolutions on pictures of 84 x 84, in float32 and, where the recipe knows it, in bfloat16."""
    short = job._replace(steps=max(8, job.steps // 40))
    found: dict[str, Any] = {}
    for seeds in job.widths(1, 10):
        for device, where in job.places:
            for precision in _values("precision", "float32", "bf16"):
                name = f"{seeds} on {named(device, where)}{', ' * bool(precision)}{precision.get('precision', '')}"
                if device == "cpu" and precision.get("precision") == "bf16":
                    continue  # no CPU is asked for it
                found[name] = _timed(pixels(seeds, **where, **precision), device, short, 40)
    return found


def compiled(job: Job) -> dict[str, Any]:
    """What torch.compile gains, where the recipe knows it."""
    choices = _values("compile", False, True)
    if len(choices) < 2:
        return {"not run": "no key `compile`"}
    device, where = job.places[1]
    return {
        f"{agent} x {seeds}, compile {choice['compile']}": _timed(made(seeds, **where, **choice), device, job)
        for agent, made in AGENTS.items()
        for seeds in job.widths(10, 1000)
        for choice in choices
    }


def _values(key: str, *values: Any) -> list[dict[str, Any]]:
    """The key with each value, if recipes know it, else nothing of it."""
    return [{key: value} for value in values] if key in Recipe.model_fields else [{}]


def used(job: Job) -> dict[str, Any]:
    """Seconds of `rlbench train` as used: ten seeds, evaluations, record and checkpoints included."""
    found = {}
    for device, where in job.places:
        made = classic(min(10, max(job.seeds)), **where)
        made = made.replace(total_steps=10 * job.steps, device=device, eval_every=5 * job.steps)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            done = train(recipe=made, out=Path(folder) / "run")
            seconds = time.perf_counter() - began
        row = {"s": round(seconds, 2), "steps": 10 * job.steps, "updates": done.summary["updates"]}
        found[named(device, where)] = row
    return found


def _timed(made: Recipe, device: str, job: Job, warm_up: int = WARM_UP) -> dict[str, Any]:
    loop = Loop(made, device, warm_up)
    most = job.steps if device != "cpu" else max(4, ON_THE_WAY // made.seeds)
    us = loop.us(max(4, min(job.steps, most)))
    loop.close()
    return {"us a step": round(us), "steps/s": round(made.seeds * made.num_envs * 1e6 / us)}
