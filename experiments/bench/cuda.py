"""``python -m rlbench.experiments.bench.cuda --out DIR``: what a card does for training, in a few minutes.

Stages, each by itself if named: what machine it is, where the loop waits for the card, rates by number of seeds beside
one CPU thread of the same machine, a run as users make it, which kernels a step is made of, and what an update costs
as one graph. A stage that fails is named and the others go on. The table comes last; DIR/cuda.json holds the figures.
Whether the numbers are right is another question: ``pytest -m cuda tests`` asks it.
"""

import collections
import json
import os
import platform
import statistics
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from rlbench.cuda.graphs import Graph
from rlbench.process.denormals import flush
from rlbench.recipe import Recipe
from rlbench.recipe.build import build, make_envs
from rlbench.rollout.loop import Step, run
from rlbench.training.train import train

from .workloads import CLASSIC, recipe

WARM_UP = 120  # vector steps before a clock starts: the buffer holds a batch, kernels are loaded


class Job(NamedTuple):
    """What the stages are asked to do."""

    device: str
    seeds: list[int]
    steps: int


def classic(seeds: int) -> Recipe:
    """CartPole, 64/64, batches of 64, an update every 4 steps; a small buffer, for many seeds are to fit."""
    return recipe(CLASSIC, seeds).replace(hyper={**recipe(CLASSIC, seeds).hyper, "capacity": 10_000})


def pixels(seeds: int) -> Recipe:
    """Catch on 84 x 84 pixels with the network of Mnih et al. 2015, batches of 32, an update every 4 steps."""
    return Recipe.load(
        env="rlbench/Catch-v0",
        overrides={
            "seeds": seeds, "env_kwargs": {"rows": 84, "columns": 84}, "dqn.capacity": 500, "dqn.batch_size": 32,
            "dqn.learning_starts": 32, "dqn.train_every": 4,
        },
    )  # fmt: skip


class Loop:
    """A training loop on a device, warmed up."""

    def __init__(self, made: Recipe, device: str, warm_up: int = WARM_UP) -> None:
        self.cuda = device.startswith("cuda")
        self.parts = build(made, made.seed_numbers, device)
        self.envs = make_envs(self.parts, made)
        self._steps: Iterator[Step] = run(self.parts.agent, self.envs)
        self.go(warm_up)

    def go(self, steps: int) -> float:
        """Seconds that ``steps`` vector steps take."""
        began = time.perf_counter()
        for _ in range(steps):
            next(self._steps)
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def close(self) -> None:
        self.envs.close()


def facts(job: Job) -> dict[str, Any]:
    """The machine."""
    card = torch.cuda.get_device_properties(job.device) if job.device.startswith("cuda") else None
    return {
        "card": card.name if card else "none",
        "GiB": round(card.total_memory / 2**30) if card else 0,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "CPUs": len(_cores()),
    }


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def waits(job: Job) -> dict[str, Any]:
    """How often a vector step waits for the card, and the lines of rlbench that do."""
    loop, steps = Loop(classic(8), job.device), 100
    places: collections.Counter[str] = collections.Counter()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.go(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        loop.close()
    for warning in caught:
        if "called a synchronizing" in str(warning.message):
            places[f"{Path(warning.filename).name}:{warning.lineno}"] += 1
    return {"a step": sum(places.values()) / steps, **{place: n / steps for place, n in places.most_common(12)}}


def rates(job: Job) -> dict[str, Any]:
    """Env steps per second of all seeds together, the loop alone: on the device, and on one CPU thread."""
    return _rates(job, classic, job.seeds, job.steps, WARM_UP)


def pictures(job: Job) -> dict[str, Any]:
    """The same with convolutions."""
    return _rates(job, pixels, [n for n in job.seeds if n <= 10], max(8, job.steps // 40), 40)


def _rates(job: Job, made: Callable[[int], Recipe], widths: list[int], steps: int, warm_up: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for seeds in widths:
        for device in dict.fromkeys((job.device, "cpu")):
            loop = Loop(made(seeds), device, warm_up)
            count = max(8, min(steps, 40_000 // seeds))
            seconds = min(loop.go(count) for _ in range(3)) / count
            found[f"{seeds} on {device}"] = {"us a step": round(1e6 * seconds), "steps/s": round(seeds / seconds)}
            loop.close()
    return found


def used(job: Job) -> dict[str, Any]:
    """Seconds of `rlbench train` as used: ten seeds, evaluations, record and checkpoints included."""
    found = {}
    for device in dict.fromkeys((job.device, "cpu")):
        made = classic(10).replace(total_steps=10 * job.steps, device=device, eval_every=5 * job.steps)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            done = train(recipe=made, out=Path(folder) / "run")
            seconds = time.perf_counter() - began
            updates = done.summary["updates"]
        found[device] = {"s": round(seconds, 2), "steps": 10 * job.steps, "updates": updates}
    return found


def kernels(job: Job) -> dict[str, Any]:
    """Of one vector step at the largest width: microseconds on the card by kernel, launches, and all of it."""
    from torch.profiler import ProfilerActivity, profile

    loop, steps = Loop(classic(max(job.seeds)), job.device), 40
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if loop.cuda else [])]
    with profile(activities=kinds) as seen:
        wall = loop.go(steps)
    loop.close()
    on_card = [e for e in seen.key_averages() if e.device_type.name == "CUDA"]
    busy = sum(e.self_device_time_total for e in on_card)
    rows = sorted(on_card, key=lambda e: -e.self_device_time_total)[:14]
    found: dict[str, Any] = {
        "wall, profiled": round(1e6 * wall / steps), "on the card": round(busy / steps, 1),
        "launches": sum(e.count for e in on_card) / steps,
    }  # fmt: skip
    return found | {f"  {e.key[:60]}": round(e.self_device_time_total / steps, 1) for e in rows}


def graphs(job: Job) -> dict[str, Any]:
    """Microseconds of an update from a batch that lies on the card: launched one by one, and as one graph."""
    found = {}
    for seeds in job.seeds:
        loop = Loop(classic(seeds), job.device)
        agent: Any = loop.parts.agent
        batch = agent.replay.sample(agent.config.batch_size)
        flush(True)
        with torch.inference_mode():
            row = {"us, by itself": _microseconds(partial(agent.gradient_step, *batch), loop.cuda)}
            if loop.cuda:
                graph = Graph(agent.gradient_step, loop.parts.device)
                row["us, one graph"] = _microseconds(partial(graph, *batch), True)
        moved = 4 * agent.online.data.numel() * 14  # parameters and gradients: read or written so often in an update
        row["MiB, least"] = round((moved + sum(x.nbytes for x in batch)) / 2**20, 2)
        found[str(seeds)] = row
        flush(False)
        loop.close()
    return found


def copies(job: Job) -> dict[str, Any]:
    """GB/s of a large copy within the device, bytes read and written: what an update's bytes are divided by."""
    source = torch.ones(2**28 if job.device.startswith("cuda") else 2**22, device=job.device)
    target = torch.empty_like(source)
    us = _microseconds(lambda: target.copy_(source), job.device.startswith("cuda"))
    return {"GB/s": round(2 * source.nbytes / us / 1e3)}


def _microseconds(work: Callable[[], object], cuda: bool, times: int = 50) -> float:
    """Of one call; the median of five rounds."""

    def once() -> float:
        began = time.perf_counter()
        for _ in range(times):
            work()
        if cuda:
            torch.cuda.synchronize()
        return 1e6 * (time.perf_counter() - began) / times

    once()
    return round(statistics.median(once() for _ in range(5)), 1)


STAGES: dict[str, Callable[[Job], dict[str, Any]]] = {
    stage.__name__: stage for stage in (facts, copies, waits, graphs, rates, pictures, kernels, used)
}
CARDS_ONLY = ("waits",)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path(), show_default=True, help="For cuda.json.")
@click.option("--device", default="cuda", show_default=True)
@click.option("--stages", default=",".join(STAGES), show_default=True, help="With commas.")
@click.option("--seeds", default="1,10,100,1000", show_default=True, help="Widths to time, with commas.")
@click.option("--steps", default=1_000, show_default=True, help="Vector steps of one timing.")
def main(out: Path, device: str, stages: str, seeds: str, steps: int) -> None:
    """Time training on a card beside one CPU thread."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise click.ClickException(f"torch {torch.__version__} sees no CUDA device; --device cpu tries the script.")
    asked = [name for name in stages.split(",") if name]
    if unknown := [name for name in asked if name not in STAGES]:
        raise click.ClickException(f"no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    job = Job(device, [int(n) for n in seeds.split(",")], steps)
    found: dict[str, Any] = {}
    failed = []
    out.mkdir(parents=True, exist_ok=True)
    for name in asked:
        if name in CARDS_ONLY and not device.startswith("cuda"):
            continue
        began = time.perf_counter()
        try:
            found[name] = STAGES[name](job)
        except Exception:  # a card is lent for minutes: what else there is to learn is to be learned
            failed.append(name)
            found[name] = {"failed": traceback.format_exc()}
        click.echo(f"{name}: {time.perf_counter() - began:.1f} s", err=True)
        (out / "cuda.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for name, rows in found.items():
        click.echo(f"\n{name}")
        for key, value in rows.items():
            click.echo(f"  {key:24} {value}")
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
