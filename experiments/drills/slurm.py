"""A sweep on a Slurm of this machine: a time limit, an scancel and the driver's death; every cell ends as at home."""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

#: Six small cells, one that meets its time limit of a minute, and one that is cancelled.
FILE = """
[base]
seeds = 2
total_steps = {steps}
checkpoint_every = 500
eval_every = 1000
[grid]
env = ["rlbench/Catch-v0", "FrozenLake-v1", "CartPole-v1"]
agent = ["dqn", "pqn"]
[[cell]]
name = "long"
env = "CartPole-v1"
agent = "dqn"
seed = 4
total_steps = {long}
[[cell]]
name = "cancelled"
env = "CartPole-v1"
agent = "dqn"
seed = 8
total_steps = {cancelled}
"""
WITH = {"time": 1, "signal_delay": 20, "poll": 2}


@click.command()
@click.option("--steps", default=3000, show_default=True, help="Env steps per seed of a small cell.")
@click.option("--long", "long_", default=60_000, show_default=True, help="Of the one that meets its time limit.")
@click.option("--cpus", default=3, show_default=True, help="Cores of the node: how many jobs run at once.")
def slurm(steps: int, long_: int, cpus: int) -> None:
    """Start Slurm here, run 8 cells on it, scancel one, kill the driver once; compare every cell with one at home.

    A job that goes back into the queue is left alone by Slurm for two minutes; that wait is cut short.
    """
    from .driven import Driven
    from .slurmd import slurm_here

    with tempfile.TemporaryDirectory() as scratch, slurm_here(cpus):
        file, out = Path(scratch) / "sweep.toml", Path(scratch) / "sweep"
        file.write_text(FILE.format(steps=steps, long=long_, cancelled=4 * steps))
        settings = [word for key, value in WITH.items() for word in ("--with", f"{key}={value}")]
        driver, cancelled = Driven(file, out, "--on", "slurm", *settings), 0
        while driver.running():
            time.sleep(0.5)
            _hurry()
            if not cancelled and _steps(out, "cancelled") > steps // 2 and (job := _job(out, "cancelled")):
                subprocess.run(["scancel", job], check=True)
                cancelled += 1
            if not driver.killed and cancelled and _steps(out, "long"):
                driver.kill()
        end = driver.end()
        begun = {cell.name: _begun(end.sweep.folder_of(cell) / "log.txt") for cell in end.sweep.cells}
        attempts = {name: state.attempt for name, state in end.states.items()}
        requeued = {name: begun[name] - attempts[name] for name in begun if begun[name] > attempts[name]}
        click.echo(
            f"{len(begun)} cells, {driver.killed} driver killed, {end.headline()}\n"
            f"saved at a time limit and put back into the queue: "
            f"{', '.join(f'{name} {times} times' for name, times in requeued.items()) or 'none'}\n"
            f"scancelled: {cancelled}; attempts: {', '.join(f'{k} {n}' for k, n in attempts.items() if n > 1)}\n"
            f"cells that are not as at home: {len(end.wrong)}"
        )
        for line in end.wrong:
            click.echo(f"  {line}")
        shown = requeued.get("long", 0) and cancelled and attempts["cancelled"] == 2 and attempts["long"] == 1
        sys.exit(bool(end.wrong or end.code or end.counts["done"] != len(begun) or not shown))


def _job(out: Path, cell: str) -> str:
    """The number of the newest job of a cell; "" where it has none."""
    for array in sorted((out / "engine" / "slurm").glob("[0-9]*"), reverse=True):
        with contextlib.suppress(OSError, ValueError):
            names = [name for name, _ in json.loads((array / "cells.json").read_text())["cells"]]
            if cell in names and (script := next(array.glob("[0-9]*_submission.sh"), None)):
                number = script.name.partition("_")[0]
                return number if len(names) == 1 else f"{number}_{names.index(cell)}"
    return ""


def _hurry() -> None:
    """Let jobs that were put back into the queue begin at once."""
    listed = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=PENDING", "--format=%i|%r"], capture_output=True, text=True
    )
    for line in listed.stdout.splitlines():
        job, _, reason = line.partition("|")
        if reason == "BeginTime":
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True)


def _steps(out: Path, cell: str) -> int:
    """Env steps that a cell has made."""
    from rlbench.cells.attempt import read_attempt

    attempt = read_attempt(out / "cells" / cell)
    return attempt.env_steps if attempt else 0


def _begun(log: Path) -> int:
    """How often a cell's process began, but for those that began again at once in another mode of MKL."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return len(re.findall(r"^== attempt", text, re.MULTILINE)) - len(re.findall(r"starting again in", text))
