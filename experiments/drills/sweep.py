"""A sweep whose cells, and whose driver, are killed: none is lost, none is there twice, all are as at home."""

import contextlib
import os
import signal
import subprocess
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
    from rlbench.sweep.folder import open_sweep

    from .at_home import differing

    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        file, out = Path(scratch) / "sweep.toml", Path(scratch) / "sweep"
        seeds = ", ".join(str(2 * k) for k in range(cells // 4))
        file.write_text(FILE.format(steps=steps, seeds=seeds) + ALWAYS_FAILS * failing)
        driver, killed, drivers, victims = _drive(file, out), 0, 0, Counter[str]()
        began = time.monotonic()
        while driver.poll() is None:
            time.sleep(rng.uniform(0.3, 1.5))
            working = _workers(out)
            if killed < kills and working:
                cell, process = working[rng.integers(len(working))]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed += 1
                    victims[cell] += 1
            if killed >= kills // 2 and not drivers:
                driver.kill()
                driver.wait()
                drivers += 1
                driver = _drive(file, out)
        seconds = time.monotonic() - began
        opened = open_sweep(out)
        states = opened.states()
        counts = Counter(state.state for state in states.values())
        folders = {path.name for path in (out / "cells").iterdir()}
        doubled = folders - {cell.name for cell in opened.cells}
        wrong = [line for line in differing(out) if not line.startswith("fails:")]
        click.echo(
            f"{len(opened.cells)} cells, {killed} workers killed ({len(victims)} cells), {drivers} driver killed; "
            f"{seconds:.0f} s, exit code {driver.returncode}\n"
            f"{', '.join(f'{n} {state}' for state, n in counts.items())}; attempts beyond the first: "
            f"{sum(state.attempt - 1 for state in states.values())}\n"
            f"folders that are no cell: {len(doubled)}; cells that are not as at home: {len(wrong)}"
        )
        for line in wrong:
            click.echo(f"  {line}")
        if failing:
            click.echo(f"the cell that always fails: {states['fails'].state}: {states['fails'].message}")
        expected = int(failing)
        sys.exit(bool(wrong or doubled or counts["failed"] != expected or driver.returncode != expected))


def _drive(file: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "rlbench", "sweep", str(file), "--out", str(out), "--progress", "none"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def _workers(out: Path) -> list[tuple[str, int]]:
    """Cells at work, with the numbers of their processes."""
    from rlbench.runfolder.lock import holder

    found = []
    for folder in (out / "cells").glob("*/"):
        if (process := holder(folder)).isdecimal():
            found.append((folder.name, int(process)))
    return found
