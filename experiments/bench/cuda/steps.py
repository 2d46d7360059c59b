"""Stages that take one step apart: its kernels, an update as one graph, and where a card overtakes the CPU."""

from functools import partial
from typing import Any

import numpy as np
import torch

from rlbench.cuda.graphs import Graph
from rlbench.process.denormals import flush

from .job import Job, Loop, classic, least_bytes, microseconds, named

CROSSING = (1, 4, 10, 30, 100)


def kernels(job: Job) -> dict[str, Any]:
    """Of one vector step at the largest width: microseconds on the card by kernel, launches, and the least bytes."""
    from torch.profiler import ProfilerActivity, profile

    device, where = job.places[1]
    loop, steps = Loop(classic(max(job.seeds), **where), device), min(40, job.steps)
    agent: Any = loop.parts.agent
    every = agent.config.train_every
    batch = sum(x.nbytes for x in agent.replay.sample(agent.config.batch_size))
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if loop.cuda else [])]
    with profile(activities=kinds) as seen:
        wall = loop.go(steps)
    on_card = [e for e in seen.key_averages() if e.device_type.name == "CUDA"]
    busy = sum(e.self_device_time_total for e in on_card)
    rows = sorted(on_card, key=lambda e: -e.self_device_time_total)[:14]
    found: dict[str, Any] = {
        "wall, profiled": round(1e6 * wall / steps), "on the card": round(busy / steps, 1),
        "launches": sum(e.count for e in on_card) / steps,
        "MiB of updates, least": round(least_bytes(agent, batch) / every / 2**20, 2),
    }  # fmt: skip
    loop.close()
    return found | {f"  {e.key[:60]}": [round(e.self_device_time_total / steps, 1), e.count / steps] for e in rows}


def graphs(job: Job) -> dict[str, Any]:
    """Microseconds of an update from a batch that lies on the card: launched one by one, and as one graph."""
    found = {}
    for seeds in job.seeds:
        loop = Loop(classic(seeds), job.device)
        agent: Any = loop.parts.agent
        batch = agent.replay.sample(agent.config.batch_size)
        times = 50 if loop.cuda else 5
        flush(True)
        with torch.inference_mode():
            row = {"us, by itself": microseconds(partial(agent.gradient_step, *batch), loop.cuda, times)}
            if loop.cuda:
                graph = Graph(agent.gradient_step, loop.parts.device)
                row["us, one graph"] = microseconds(partial(graph, *batch), True)
        row["MiB, least"] = round(least_bytes(agent, sum(x.nbytes for x in batch)) / 2**20, 2)
        found[str(seeds)] = row
        loop.close()
    return found


def crossing(job: Job) -> dict[str, Any]:
    """Microseconds of a vector step by width, card and CPU, and the constants for `rlbench/recipe/device.py`."""
    widths = job.widths(*CROSSING)
    places = job.places if job.cuda else [*job.places, ("cpu", job.places[0][1])]
    found: dict[str, Any] = {}
    lines = []
    for device, where in places:
        us = []
        for seeds in widths:
            loop = Loop(classic(seeds, **where), device)
            us.append(loop.us(max(4, min(job.steps, 20_000 // seeds))))
            agent: Any = loop.parts.agent
            params = 2 * agent.online.data.shape[1]  # target networks among them, as `worth_a_card` counts
            loop.close()
        lines.append(line(widths, us))
        found[named(device, where)] = {str(n): round(x) for n, x in zip(widths, us, strict=True)}
    cpu = lines[-1]
    for (_, where), card in zip(places, lines[:-1], strict=False):
        found[f"COSTS, envs and replay {where['envs_on']}"] = costs(card, cpu, params)
    return found


def line(widths: list[int], us: list[float]) -> tuple[float, float]:
    """Microseconds of no seed at all, and of each seed: least squares of relative errors, as widths differ so much."""
    if len(widths) < 2:
        return us[0], 0.0
    slope, start = np.polyfit(widths, us, 1, w=1 / np.array(us))
    return float(start), float(slope)


def costs(card: tuple[float, float], cpu: tuple[float, float], params: int) -> str:
    """The line of `rlbench/recipe/device.py` that says so: what a card takes longer, and each seed here and there."""
    launches, alongside = card[0] - cpu[0], max(0.0, card[1])
    computed = f"{max(0.0, cpu[1] - alongside):.2f} / {params:_}"
    return f"Costs(launches={launches:.1f}, computed={computed}, alongside={alongside:.2f})"
