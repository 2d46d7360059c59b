"""``python -m rlbench.experiments.bench``: speed beside the peers', measured in turns within one run.

Peers are no dependency of rlbench: ``pip install -r experiments/bench/requirements.txt``.
"""

import platform
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import click

from .agents import agents, agents_one
from .live import live, live_one
from .overhead import overhead
from .record import buffer, record, record_one
from .serve import serve
from .ship import ship, ship_one
from .store import store
from .sweep import sweep
from .whole import whole


@click.group()
def bench() -> None:
    """Time rlbench beside its peers. Figures are env steps per second, all seeds together; medians over the rounds."""


BARE = ("rlbench x1", "rlbench x10", "rlbench x5 twice")
USED = ("train x1", "train x10", "train x10 on two")


@bench.command()
@click.option("--workload", type=click.Choice(["classic", "cleanrl"]), default="classic", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--steps", default=10_000, show_default=True, help="Env steps per seed and round.")
def rate(workload: str, rounds: int, steps: int) -> None:
    """The training loop alone, and `rlbench train` as used, its record included; beside Stable-Baselines3's and the
    textbook loop: one learner, ten learners, ten on both cores."""
    names = ("sb3", "textbook", *(name for pair in zip(BARE, USED, strict=True) for name in pair))
    rates: dict[str, list[float]] = {name: [] for name in names}
    click.echo(f"{workload}: one thread a process, {rounds} rounds of {steps:,} env steps, {_machine()}")
    for _ in range(rounds):
        for name in names:
            rates[name].append(_measure(name, workload, steps))
    click.echo(f"{'':18}{'median':>10}{'min':>10}{'max':>10}{'/ sb3':>10}")
    for name, values in rates.items():
        ratio = _median_ratio(values, rates["sb3"])
        row = (statistics.median(values), min(values), max(values))
        click.echo(f"{name:18}" + "".join(f"{v:>10,.0f}" for v in row) + f"{ratio:>9.1f}x")
    for title, (one, ten, _) in (("the loop alone", BARE), ("as used", USED)):
        click.echo(f"{title}: ten learners take {10 * _median_ratio(rates[one], rates[ten]):.2f} times the time of one")
    shares = (
        f"{name} {100 - 100 * _median_ratio(rates[name], rates[bare]):.0f} %"
        for bare, name in zip(BARE, USED, strict=True)
    )
    click.echo(f"as used, below the loop alone: {', '.join(shares)}")


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    """The median over the rounds of what was measured side by side."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@bench.command(hidden=True)
@click.argument("name")
@click.argument("workload")
@click.argument("steps", type=int)
def one(name: str, workload: str, steps: int) -> None:
    """One measurement, in a process of its own."""
    from .workloads import CONTENDERS, WORKLOADS

    click.echo(CONTENDERS[name](WORKLOADS[workload], steps))


def _measure(name: str, workload: str, steps: int) -> float:
    if name.endswith(" twice"):  # two processes at a time, as `--workers 2` has them
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda _: _measure(name.removesuffix(" twice"), workload, steps), range(2)))
    command = [sys.executable, "-m", "rlbench.experiments.bench", "one", name, workload, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def _machine() -> str:
    import torch

    return f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}"


for command in (
    agents, agents_one, overhead, whole, record, record_one, buffer, live, live_one, serve, ship, ship_one,
    store, sweep,
):  # fmt: skip
    bench.add_command(command)

if __name__ == "__main__":
    bench(prog_name="python -m rlbench.experiments.bench")
