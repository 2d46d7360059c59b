"""What a sweep adds to its cells on this machine, and how long plans and states of many cells take."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

CELL: dict[str, Any] = {
    "env": "FrozenLake-v1", "agent": "dqn", "seeds": 1, "track": "none", "eval_every": 0, "final_eval_episodes": 10,
    "workers": 1, "device": "cpu",
}  # fmt: skip
PLAN = """
[base]
seeds = 5
total_steps = 1000
[grid]
env = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "Taxi-v4"]
agent = ["dqn", "ppo"]
num_envs = [1, 2, 4, 8]
seed = [{seeds}]
"""


@click.command()
@click.option("--cells", default=1000, show_default=True, help="Of the sweep that is timed; 0: none.")
@click.option("--seconds", default=1.0, show_default=True, help="That a cell takes by itself.")
@click.option("--plan", default=100_000, show_default=True, help="Cells of the plan that is listed, and read.")
def sweep(cells: int, seconds: float, plan: int) -> None:
    """Time a sweep beside a bare loop that trains the same runs, one after the other, in as many processes."""
    with tempfile.TemporaryDirectory() as scratch:
        if cells:
            _overhead(Path(scratch), cells, seconds)
        if plan:
            _listing(Path(scratch), plan)


def _overhead(scratch: Path, cells: int, seconds: float) -> None:
    cores = len(os.sched_getaffinity(0))
    steps = 2000
    for _ in range(3):  # so many steps that a run takes as long as asked
        took = _bare(scratch, 2 * cores, steps, cores) / 2
        steps = max(round(steps * seconds / took), 100)
    file, out = scratch / "sweep.toml", scratch / "sweep"
    base = "\n".join(f"{key} = {value!r}" for key, value in CELL.items())
    file.write_text(f"[base]\n{base}\ntotal_steps = {steps}\n[grid]\nseed = {list(range(cells))}\n")
    bare, ours = 0.0, 0.0
    half = cells // 2  # interleaved: a machine is not equally quick all the time
    for part in (half, cells):
        bare += _bare(scratch, part if part == half else cells - half, steps, cores)
        text = file.read_text().partition("[grid]")[0] + f"[grid]\nseed = {list(range(part))}\n"
        file.write_text(text)
        began = time.perf_counter()
        command = [sys.executable, "-m", "rlbench", "sweep", str(file), "--out", str(out), "--progress", "none"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        ours += time.perf_counter() - began
    from rlbench.sweep.folder import open_sweep

    states = open_sweep(out).states().values()
    own = sum(state.seconds for state in states) / cores
    click.echo(
        f"{cells:,} cells of {own * cores / cells:.2f} s ({steps:,} steps) on {cores} cores: {ours:.0f} s by two "
        f"sweeps, {bare:.0f} s by bare loops, so {100 * (ours / bare - 1):+.1f} %; over the cells' own time, "
        f"{own:.0f} s, {100 * (ours / own - 1):+.1f} %"
    )


def _bare(scratch: Path, runs: int, steps: int, cores: int) -> float:
    """Seconds that ``runs`` trainings take, one after the other in each of so many processes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        ready = context.Barrier(cores + 1)
        processes = [
            context.Process(target=_train, args=(place, range(k, runs, cores), steps, ready)) for k in range(cores)
        ]
        for process in processes:
            process.start()
        ready.wait()
        began = time.perf_counter()
        for process in processes:
            process.join()
        return time.perf_counter() - began


def _train(place: str, seeds: range, steps: int, ready: Any) -> None:
    from rlbench.engines.ready import ready as imported
    from rlbench.recipe import Recipe
    from rlbench.training import train as training

    imported()
    overrides = {key: value for key, value in CELL.items() if key not in ("env", "agent")}
    recipe = Recipe.load(None, env=CELL["env"], agent=CELL["agent"], overrides={**overrides, "total_steps": steps})
    ready.wait()
    for seed in seeds:
        training.train(recipe=recipe.replace(seed=seed), out=f"{place}/{seed}")


def _listing(scratch: Path, count: int) -> None:
    from rlbench.driving.prepare import Recipes, Trust
    from rlbench.sweep.file import read_file
    from rlbench.sweep.folder import ABOUT, CELLS, FILE, FORMAT, open_sweep
    from rlbench.sweep.index import CellState, Index

    file = scratch / "plan.toml"
    file.write_text(PLAN.format(seeds=", ".join(map(str, range(0, 5 * (count // 40), 5)))))
    began = time.perf_counter()
    recipes = Recipes(read_file(file), Trust())
    listed = time.perf_counter() - began
    recipes.check()
    checked = time.perf_counter() - began
    out = scratch / "many"
    (out / CELLS).mkdir(parents=True)
    (out / FILE).write_text(file.read_text())
    from rlbench.files import write_json

    write_json(out / ABOUT, {"format": FORMAT, "names": recipes.names._asdict()})
    done = CellState("done", 1, 1000, 1000, 1234.5, (1.0, 2.0, 3.0, 4.0, 5.0), 3.5, "", 2**28, "0" * 16, "host")
    index = Index(out)
    index.begin({cell.name: done for cell in recipes.cells})
    index.end()
    began = time.perf_counter()
    states = open_sweep(out).states()
    read = time.perf_counter() - began
    click.echo(
        f"a plan of {len(recipes.cells):,} cells: listed in {listed:.2f} s, checked in {checked:.2f} s; the state of "
        f"{len(states):,} cells read in {read:.2f} s"
    )
