"""What a sweep adds to its cells on this machine, and how long plans and states of many cells take."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

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
@click.option("--seconds", default=1.0, show_default=True, help="That a cell takes, with all cores at work.")
@click.option("--plan", default=100_000, show_default=True, help="Cells of the plan that is listed, and read.")
def sweep(cells: int, seconds: float, plan: int) -> None:
    """Time a sweep beside a bare loop that trains the same runs, one after the other, in as many processes."""
    with tempfile.TemporaryDirectory() as scratch:
        if cells:
            _overhead(Path(scratch), cells, seconds)
        if plan:
            _listing(Path(scratch), plan)


class Took(NamedTuple):
    """What a sweep took, in seconds.

    Attributes:
        whole: from the command to its end.
        start: until the first cell began.
        end: after the last one had ended.
        own: of its cells, as they say, all together.
    """

    whole: float
    start: float
    end: float
    own: float


def _overhead(scratch: Path, cells: int, seconds: float) -> None:
    cores = len(os.sched_getaffinity(0))
    steps = _steps_for(scratch, seconds, cores)
    half = cells // 2  # bare loops before and after: a machine is not equally quick all the time
    bare = _bare(scratch, half, steps, cores)
    ours = _sweep(scratch / "sweep", cells, steps)
    bare += _bare(scratch, cells - half, steps, cores)
    own = ours.own / cores
    between = (ours.whole - ours.start - ours.end) * cores - ours.own
    click.echo(
        f"{cells:,} cells of {ours.own / cells:.2f} s ({steps:,} steps) on {cores} cores: {ours.whole:.1f} s by a "
        f"sweep, {bare:.1f} s by bare loops, so {100 * (ours.whole / bare - 1):+.1f} %; over the cells' own time, "
        f"{own:.1f} s, {100 * (ours.whole / own - 1):+.1f} %"
    )
    click.echo(
        f"of these, the start {ours.start:.1f} s ({100 * ours.start / own:.1f} %), the end {ours.end:.1f} s "
        f"({100 * ours.end / own:.1f} %), between two cells of a core {1000 * between / cells:.0f} ms "
        f"({100 * between / ours.own:.1f} %)"
    )


def _steps_for(scratch: Path, seconds: float, cores: int) -> int:
    """So many steps that a cell of a sweep says it took ``seconds``, with all cores at work.

    By a line through two short sweeps, as a cell takes some time whatever its steps; then once more from where it led.
    """
    few, low, high = 4 * cores, 300, 1000

    def takes(steps: int) -> float:
        return _sweep(scratch / f"short-{steps}", few, steps).own / few

    base = takes(low)
    for _ in range(2):
        each = max((takes(high) - base) / (high - low), 1e-6)
        high = max(round(low + (seconds - base) / each), low + 100)
    return high


def _sweep(out: Path, cells: int, steps: int) -> Took:
    """Run a sweep into ``out`` by the command, as users do."""
    from rlbench.cells.attempt import read_attempt
    from rlbench.sweep.folder import CELLS

    file = out.with_suffix(".toml")
    base = "\n".join(f"{key} = {value!r}" for key, value in CELL.items())
    file.write_text(f"[base]\n{base}\ntotal_steps = {steps}\n[grid]\nseed = {list(range(cells))}\n")
    command = [sys.executable, "-m", "rlbench", "sweep", str(file), "--out", str(out), "--progress", "none"]
    began = time.time()  # by which cells tell when they began, too
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    ended = time.time()
    told = [attempt for folder in (out / CELLS).iterdir() if (attempt := read_attempt(folder))]
    if len(told) != cells or any((one.state, one.attempt) != ("done", 1) for one in told):
        raise click.ClickException("not every cell was done at its first attempt: this is no measurement")
    first, last = min(one.started for one in told), max(one.started + one.seconds for one in told)
    return Took(ended - began, first - began, ended - last, sum(one.seconds for one in told))


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
