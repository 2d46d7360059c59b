"""What looking on costs: training with the live panel on a terminal and with TensorBoard, over that without."""

import json
import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PARTS = {"neither": (), "panel": ("panel",), "tensorboard": ("tensorboard",), "both": ("panel", "tensorboard")}


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seeds", default=10, show_default=True)
@click.option("--steps", default=30_000, show_default=True, help="Env steps per seed.")
def live(rounds: int, seeds: int, steps: int) -> None:
    """CPU time of training CartPole with panel and TensorBoard over that without, in turns; the share of each."""
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    shares: dict[str, list[float]] = {"panel": [], "tensorboard": []}
    for _ in range(rounds):
        for part in PARTS:
            told = _measure(part, seeds, steps)
            seconds[part].append(told["seconds"])
            if part == "both":
                for name, values in shares.items():
                    values.append(told[name] / told["seconds"])
    bare = seconds["neither"]
    click.echo(
        f"CartPole-v1, {seeds} seeds, {steps:,} steps each: {statistics.median(bare):.2f} s of CPU time with neither"
    )
    for part in list(PARTS)[1:]:
        ratios = [a / b for a, b in zip(seconds[part], bare, strict=True)]
        click.echo(
            f"{part:>12}: {statistics.median(ratios):.3f} times that, median of {rounds} rounds "
            f"[{min(ratios):.3f}, {max(ratios):.3f}]"
        )
    within = ", ".join(f"{part} {100 * statistics.median(values):.2f} %" for part, values in shares.items())
    click.echo(f"by stop-watch, of the time with both: {within}")


def _measure(part: str, seeds: int, steps: int) -> dict[str, float]:
    """One training in a process of its own, whose output is a terminal that is read as it comes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rlbench.experiments.bench", "live-one", part, str(seeds), str(steps), folder]
        ours, theirs = pty.openpty()
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
            os.close(theirs)
            said = b""
            while process.poll() is None:
                if select.select([ours], [], [], 0.5)[0]:
                    try:
                        said = (said + os.read(ours, 65536))[-2000:]
                    except OSError:  # the other end was closed
                        break
        os.close(ours)
        if process.returncode:
            raise click.ClickException(said.decode(errors="replace"))
        told: dict[str, float] = json.loads((Path(folder) / "told.json").read_text())
        return told


@click.command(hidden=True)
@click.argument("part")
@click.argument("seeds", type=int)
@click.argument("steps", type=int)
@click.argument("folder", type=click.Path(path_type=Path))
def live_one(part: str, seeds: int, steps: int, folder: Path) -> None:
    """One training, in this process. What is imported once, whatever the length of a run, is not counted."""
    import rich.live
    import rich.panel  # noqa: F401

    from rlbench.live.progress import watcher_for
    from rlbench.recipe import Recipe
    from rlbench.track.tensorboard import TensorBoard
    from rlbench.training import train as training

    parts = PARTS[part]
    spent = {"panel": 0.0, "tensorboard": 0.0}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            result = function(*args, **kwargs)
            spent[name] += time.thread_time() - began
            return result

        return wrapper

    for method in ("numbers", "histograms", "flush", "sizes"):
        setattr(TensorBoard, method, timed("tensorboard", getattr(TensorBoard, method)))
    settings = {"seeds": seeds, "total_steps": steps, "workers": 1, "final_eval_episodes": 0, "device": "cpu"}
    track = "tensorboard" if "tensorboard" in parts else "none"
    recipe = Recipe.load(env="CartPole-v1", overrides={**settings, "track": track})
    with watcher_for("auto" if "panel" in parts else "none") as watcher:
        watcher.tick = timed("panel", watcher.tick)  # type: ignore[method-assign]
        began = time.process_time()
        training.train(recipe=recipe, out=folder / "run", watcher=watcher)
        spent["seconds"] = time.process_time() - began
    (folder / "told.json").write_text(json.dumps(spent))
