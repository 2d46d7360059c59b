"""What the record of a run costs: training with and without checkpoints and journal; a large buffer's checkpoint."""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

# Settings of runs whose evaluations are left out of the clock; 84 x 84 is what Atari games are shrunk to.
RUNS: dict[str, dict[str, Any]] = {
    "cartpole": {"env": "CartPole-v1", "seeds": 10, "total_steps": 30_000},
    "cartpole, one seed": {"env": "CartPole-v1", "seeds": 1, "total_steps": 30_000},
    "catch": {"env": "rlbench/Catch-v0", "seeds": 10},
    "pixels": {
        "env": "rlbench/Catch-v0",
        "seeds": 1,
        "total_steps": 12_000,
        "env_kwargs.rows": 84,
        "env_kwargs.columns": 84,
        "dqn.learning_starts": 500,
        "dqn.train_every": 8,
    },
}
PARTS = {"bare": (), "journal": ("journal",), "checkpoints": ("checkpoints",), "both": ("journal", "checkpoints")}


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--only", type=click.Choice(list(RUNS)), multiple=True, help="Runs to time.  [default: all]")
def record(rounds: int, only: tuple[str, ...]) -> None:
    """Training time with journal and checkpoints over that without, in turns; and the share that stop-watches see."""
    for name in only or RUNS:
        seconds: dict[str, list[float]] = {part: [] for part in PARTS}
        shares: dict[str, list[float]] = {"journal": [], "checkpoints": []}
        for _ in range(rounds):
            for part in PARTS:
                whole, journal, saving, saves = _measure(name, part)
                seconds[part].append(whole)
                if part == "both":
                    shares["journal"].append(journal / whole)
                    shares["checkpoints"].append(saving / whole)
        bare = seconds["bare"]
        told = ", ".join(
            f"{part} {statistics.median(a / b for a, b in zip(seconds[part], bare, strict=True)):.3f}"
            for part in PARTS
            if part != "bare"
        )
        click.echo(f"{name}: {statistics.median(bare):.1f} s bare; times that, median of {rounds} rounds: {told}")
        within = ", ".join(f"{part} {100 * statistics.median(values):.2f} %" for part, values in shares.items())
        click.echo(f"{'':4}by stop-watch, of the training time with both: {within} ({saves:.0f} checkpoints)")


@click.command(hidden=True)
@click.argument("name")
@click.argument("part")
def record_one(name: str, part: str) -> None:
    """One training: its seconds, those spent in the journal and in checkpoints, and the number of checkpoints."""
    from rlbench.recipe import Recipe
    from rlbench.record.watcher import Watcher
    from rlbench.rollout.signals import Interrupts
    from rlbench.runfolder.journal import Journal
    from rlbench.training import milestones
    from rlbench.training.session import Session
    from rlbench.training.underway import Underway

    settings = {"eval_every": 0, "workers": 1, **RUNS[name]}
    made = Recipe.load(env=settings.pop("env"), overrides=settings)
    spent, calls = {"journal": 0.0, "checkpoints": 0.0}, {"journal": 0, "checkpoints": 0}

    def watched(what: str, owner: Any, method: str) -> None:
        whole = getattr(owner, method)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            result = whole(*args, **kwargs) if what in PARTS[part] else None
            spent[what] += time.perf_counter() - began
            calls[what] += 1
            return result

        setattr(owner, method, wrapper)

    for method in ("add", "flush"):
        watched("journal", Journal, method)
    watched("checkpoints", Underway, "save")
    with tempfile.TemporaryDirectory() as folder:
        session = Session(made, Watcher(), alone=False)
        session.start(Path(folder))
        milestones.evaluate = lambda run, evaluations, only=None: None
        began = time.perf_counter()
        session._loop(Interrupts())
        whole = time.perf_counter() - began
    click.echo(f"{whole} {spent['journal']} {spent['checkpoints']} {calls['checkpoints']}")


@click.command()
@click.option("--transitions", default=1_000_000, show_default=True)
@click.option("--side", default=84, show_default=True, help="Of the image, in pixels.")
@click.option("--where", type=click.Path(path_type=Path), help="Folder to write to.  [default: the temporary one]")
def buffer(transitions: int, side: int, where: Path | None) -> None:
    """A replay buffer full of images: bytes, seconds to write and read its checkpoint, and how often that is done."""
    import numpy as np
    import torch

    from rlbench.replay import Replay
    from rlbench.rng import Streams
    from rlbench.runfolder.checkpoints import SAVE_SHARE, Keeper, newest
    from rlbench.types import Spec
    from rlbench.units import byte_size

    spec = Spec(obs_shape=(side, side), obs_dtype=torch.uint8, num_obs=None, num_actions=6)
    held = Replay(spec, transitions, Streams([0])["replay"])
    block = np.random.default_rng(0).integers(256, size=(2, side * side), dtype=np.uint8)
    held._pixels[:] = block  # also makes the memory real
    held._filled = transitions
    size = held._pixels.nbytes + held._rows.nbytes
    click.echo(f"{transitions:,} transitions of {side} x {side} bytes: {byte_size(size)} in memory, no copy made")
    folder = Path(tempfile.mkdtemp(dir=where))
    try:
        keeper = Keeper(folder, 1)
        for step in (1, 2):
            began = time.perf_counter()
            keeper.save({"env_steps": step, "has_replay": True}, held.state_dict(), None)
            wrote = time.perf_counter() - began
            minutes = wrote / SAVE_SHARE / 60
            click.echo(f"  checkpoint {step}: {wrote:.1f} s; {SAVE_SHARE:.0%} of the time is one in {minutes:.1f} min")
        began = time.perf_counter()
        kept = newest(folder)
        assert kept.replay is not None
        held.load_state_dict(kept.replay)
        click.echo(f"  read, verified and in its place: {time.perf_counter() - began:.1f} s")
    finally:
        shutil.rmtree(folder)


def _measure(name: str, part: str) -> tuple[float, ...]:
    command = [sys.executable, "-m", "rlbench.experiments.bench", "record-one", name, part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr.strip().splitlines()[-1])
    return tuple(map(float, done.stdout.split()))
