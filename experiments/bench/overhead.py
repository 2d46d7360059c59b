"""Where the time of a vector step goes, and what the runner itself costs."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import click


@click.command()
@click.option("--seeds", default=1, show_default=True)
@click.option("--steps", default=20_000, show_default=True)
def overhead(seeds: int, steps: int) -> None:
    """Time of a vector step by part: environments, network maths, replay, and the rest, which is the runner's own."""
    from rlbench.recipe.build import build, make_envs
    from rlbench.rollout.loop import run

    from .workloads import CLASSIC, recipe

    made = recipe(CLASSIC, seeds)
    parts = build(made, made.seed_numbers, "cpu")
    envs: Any = make_envs(parts, made)
    agent: Any = parts.agent
    spent = dict.fromkeys(("env.step", "act: network", "update", "update: sample", "replay.add"), 0.0)
    calls = dict.fromkeys(spent, 0)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            result = function(*args, **kwargs)
            spent[name] += time.perf_counter() - began
            calls[name] += 1
            return result

        return wrapper

    loop = run(agent, envs)
    for _ in range(2_000):
        next(loop)
    plain = _clock(loop, steps)  # without the stop-watches, which cost something themselves
    if envs.copies._native is None:
        envs.copies._steps = [timed("env.step", step) for step in envs.copies._steps]
    else:
        envs.copies._native.step = timed("env.step", envs.copies._native.step)
    agent.q_net.forward = timed("act: network", agent.q_net.forward)
    agent._learn = timed("update", agent._learn)
    agent.replay.sample = timed("update: sample", agent.replay.sample)
    agent.replay.add = timed("replay.add", agent.replay.add)
    loop = run(agent, envs, obs=envs._current)  # the runner takes the methods anew
    _clock(loop, steps)
    watch = _stopwatch_cost()
    each = {name: (seconds - watch * calls[name]) / steps for name, seconds in spent.items()}
    rest = plain - sum(each[name] for name in ("env.step", "act: network", "update", "replay.add"))
    click.echo(f"S = {seeds}, E = 1, recipe classic, microseconds per vector step: {plain * 1e6:.1f}")
    for name, value in each.items():
        click.echo(f"  {name:16}{value * 1e6:8.1f}")
    click.echo(f"  {'all the rest':16}{rest * 1e6:8.1f}   (runner, EnvBatch, epsilon-greedy)")
    own = rest + each["replay.add"]
    click.echo(f"the runner's own, all but env.step, network and sampling: {own * 1e6:.1f} microseconds")


def _clock(loop: Any, steps: int) -> float:
    """Seconds per step: the median over pieces of 500 steps, as other programs disturb some of them."""
    pieces = []
    for _ in range(steps // 500):
        began = time.perf_counter()
        for _ in range(500):
            next(loop)
        pieces.append((time.perf_counter() - began) / 500)
    return statistics.median(pieces)


def _stopwatch_cost() -> float:
    """Seconds that one pair of clock readings adds."""
    n = 100_000
    began = time.perf_counter()
    for _ in range(n):
        time.perf_counter()
    return (time.perf_counter() - began) / n
