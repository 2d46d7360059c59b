"""A sweep whose cells, and whose driver, are killed: none is lost, none is there twice, all are as at home."""

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np

FILE = """
[base]
seeds = 2
total_steps = {steps}
checkpoint_every = 200
eval_every = 1000
[grid]
env = ["rlbench/Catch-v0", "FrozenLake-v1"]
agent = ["dqn", "pqn"]
seed = [{seeds}]
"""
ALWAYS_FAILS = """
[[cell]]
name = "fails"
env = "FrozenLake-v1"
agent = "dqn"
env_kwargs.map_name = "nowhere"
"""


@click.command()
@click.option("--cells", default=40, show_default=True, help="A multiple of 4.")
@click.option("--kills", default=8, show_default=True, help="Of workers; the driver is killed once besides.")
@click.option("--steps", default=3000, show_default=True, help="Env steps per seed of a cell.")
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
@click.option("--failing", is_flag=True, help="Add a cell that always fails.")
def sweep(cells: int, kills: int, steps: int, seed: int, failing: bool) -> None:
    """Kill KILLS random workers of a sweep with -9, and its driver once; go on; compare every cell with one at home."""
    from .driven import Driven

    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        file, out = Path(scratch) / "sweep.toml", Path(scratch) / "sweep"
        seeds = ", ".join(str(2 * k) for k in range(cells // 4))
        file.write_text(FILE.format(steps=steps, seeds=seeds) + ALWAYS_FAILS * failing)
        driver, killed, victims = Driven(file, out), 0, Counter[str]()
        while driver.running():
            time.sleep(rng.uniform(0.3, 1.5))
            working = _workers(out)
            if killed < kills and working:
                cell, process = working[rng.integers(len(working))]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed += 1
                    victims[cell] += 1
            if killed >= kills // 2 and not driver.killed:
                driver.kill()
        end = driver.end()
        doubled = {path.name for path in (out / "cells").iterdir()} - end.states.keys()
        wrong = [line for line in end.wrong if not line.startswith("fails:")]
        click.echo(
            f"{len(end.states)} cells, {killed} workers killed ({len(victims)} cells), {driver.killed} driver killed; "
            f"{end.headline()}; attempts beyond the first: {sum(state.attempt - 1 for state in end.states.values())}\n"
            f"folders that are no cell: {len(doubled)}; cells that are not as at home: {len(wrong)}"
        )
        for line in wrong:
            click.echo(f"  {line}")
        if failing:
            click.echo(f"the cell that always fails: {end.states['fails'].state}: {end.states['fails'].message}")
        expected = int(failing)
        sys.exit(bool(wrong or doubled or end.counts["failed"] != expected or end.code != expected))


def _workers(out: Path) -> list[tuple[str, int]]:
    """Cells at work, with the numbers of their processes."""
    from rlbench.runfolder.lock import holder

    found = []
    for folder in (out / "cells").glob("*/"):
        if (process := holder(folder)).isdecimal():
            found.append((folder.name, int(process)))
    return found
