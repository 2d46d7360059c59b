"""``python -m rlbench.experiments.bench``: speed beside the peers', measured in turns within one run.

Peers are no dependency of rlbench: ``pip install -r experiments/bench/requirements.txt``.
"""

import platform
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import click

from .live import live, live_one
from .overhead import overhead
from .record import buffer, record, record_one
from .whole import whole


@click.group()
def bench() -> None:
    """Time rlbench beside its peers. Figures are env steps per second, all seeds together; medians over the rounds."""


@bench.command()
@click.option("--workload", type=click.Choice(["classic", "cleanrl"]), default="classic", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--steps", default=10_000, show_default=True, help="Env steps per seed and round.")
def rate(workload: str, rounds: int, steps: int) -> None:
    """The training loop: one learner, ten learners, ten on both cores, Stable-Baselines3 and the textbook loop."""
    names = ("sb3", "textbook", "rlbench x1", "rlbench x10", "rlbench x5 twice")
    rates: dict[str, list[float]] = {name: [] for name in names}
    click.echo(f"{workload}: one thread a process, {rounds} rounds of {steps:,} env steps, {_machine()}")
    for _ in range(rounds):
        for name in names:
            rates[name].append(_measure(name, workload, steps))
    click.echo(f"{'':18}{'median':>10}{'min':>10}{'max':>10}{'/ sb3':>10}")
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, rates["sb3"], strict=True))
        row = (statistics.median(values), min(values), max(values))
        click.echo(f"{name:18}" + "".join(f"{v:>10,.0f}" for v in row) + f"{ratio:>9.1f}x")
    ten = statistics.median(10 * a / b for a, b in zip(rates["rlbench x1"], rates["rlbench x10"], strict=True))
    click.echo(f"ten learners take {ten:.2f} times the time of one")


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


for command in (overhead, whole, record, record_one, buffer, live, live_one):
    bench.add_command(command)

if __name__ == "__main__":
    bench(prog_name="python -m rlbench.experiments.bench")
