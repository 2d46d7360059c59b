"""Where the time of a vector step goes, and what the runner itself costs."""

import time
from collections.abc import Callable
from typing import Any

import click


@click.command()
@click.option("--seeds", default=1, show_default=True)
@click.option("--steps", default=20_000, show_default=True)
def overhead(seeds: int, steps: int) -> None:
    """Time of a vector step by part: environments, network maths, replay, and the rest, which is the runner's own."""
    from rlbench.build import build, make_envs
    from rlbench.runner import run

    from .workloads import CLASSIC, recipe

    made = recipe(CLASSIC, seeds)
    parts = build(made, made.seed_numbers, "cpu")
    envs = make_envs(parts, made)
    agent: Any = parts.agent
    spent = {"env.step": 0.0, "act: network": 0.0, "update": 0.0, "replay.sample": 0.0, "replay.add": 0.0}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - began

        return wrapper

    loop = run(agent, envs)
    for _ in range(2_000):
        next(loop)
    plain = _clock(loop, steps)  # without the stop-watches, which cost something themselves
    envs._steps = [timed("env.step", step) for step in envs._steps]
    network = agent.q_net.forward
    agent.q_net.forward = timed("act: network", network)
    agent._learn = timed("update", agent._learn)
    agent.replay.sample = timed("replay.sample", agent.replay.sample)
    agent.replay.add = timed("replay.add", agent.replay.add)
    _clock(loop, steps)
    watch = _stopwatch_cost()
    calls = {"env.step": seeds, "act: network": 1, "update": 1 / CLASSIC.train_every, "replay.add": 1}
    click.echo(f"S = {seeds}, E = 1, recipe classic, microseconds per vector step of {plain * 1e6:.1f}")
    rest = plain
    for name in ("env.step", "act: network", "update", "replay.add"):
        each = spent[name] / steps - watch * calls[name]
        rest -= each
        click.echo(f"  {name:14} {each * 1e6:8.1f}")
    click.echo(f"  {'of update: sample':17} {spent['replay.sample'] / steps * 1e6:5.1f}")
    click.echo(f"  {'all the rest':14} {rest * 1e6:8.1f}   (runner, EnvBatch, epsilon-greedy)")


def _clock(loop: Any, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        next(loop)
    return (time.perf_counter() - began) / steps


def _stopwatch_cost() -> float:
    """Seconds that one pair of clock readings adds."""
    n = 100_000
    began = time.perf_counter()
    for _ in range(n):
        time.perf_counter()
    return (time.perf_counter() - began) / n
