"""What keeping a run folder in a store takes: seconds and bytes at checkpoints of a real run, of a folder and of S3."""

import tempfile
import time
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--steps", default=220_000, show_default=True, help="Env steps per seed, of ten seeds, before the first.")
@click.option("--every", default=10_000, show_default=True, help="Env steps to the next checkpoint.")
@click.option("--s3/--no-s3", default=True, show_default=True, help="An S3-speaking server on this machine, too: moto.")
def store(steps: int, every: int, s3: bool) -> None:
    """Train DQN on CartPole with ten seeds, a buffer of 48 MB and rare updates; bring its folder up and down."""
    from rlbench.recipe import Recipe
    from rlbench.record.watcher import Watcher
    from rlbench.runfolder import checkpoints
    from rlbench.store.store import Store
    from rlbench.training.train import train
    from rlbench.units import byte_size

    from ..drills.store import place

    keys: dict[str, Any] = {
        "env": "CartPole-v1", "seeds": 10, "num_envs": 10, "total_steps": steps + 2 * every, "checkpoint_every": every,
        "checkpoint_minutes": 0, "eval_every": 0, "final_eval_episodes": 0, "device": "cpu", "track": "none",
        "hyper": {"capacity": 100_000, "train_every": 10_000, "learning_starts": 10_000},
    }  # fmt: skip

    def told(what: str, seconds: float, sent: int, requests: str) -> None:
        click.echo(f"  {what:44}{seconds:>8.2f}s{byte_size(sent):>12}{requests:>10}")

    class Kept(Watcher):
        """Brings the folder up at every checkpoint from ``steps`` on, to each place."""

        def __init__(self, addresses: dict[str, str]) -> None:
            self.stores = {name: Store(address, 1) for name, address in addresses.items()}
            self.rows: list[tuple[str, int, Any]] = []

        def saved(self, status: Any) -> None:
            if status.env_steps >= steps:
                self.rows += [(name, status.env_steps, at.up(status.folder)) for name, at in self.stores.items()]

    with tempfile.TemporaryDirectory() as scratch, place("s3" if s3 else "file", Path(scratch)) as given:
        addresses = {"file": f"file://{scratch}/bench", **({"s3": given} if s3 else {})}
        kept = Kept(addresses)
        folder = Path(scratch) / "run"
        checkpoints.SAVE_SHARE = 1e9  # as often as asked: each is measured by itself
        train(recipe=Recipe(**keys), out=folder, watcher=kept)
        sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        journal = sum(size for path, size in sizes.items() if path.parent.name == "journal")
        click.echo(
            f"{byte_size(sum(sizes.values()))} in {len(sizes)} files: replay.pth "
            f"{byte_size(sizes[folder / 'replay.pth'])}, journal {byte_size(journal)}"
        )
        for name, address in addresses.items():
            click.echo(f"{name}:{'seconds':>52}{'bytes':>12}{'objects':>10}")
            first = True
            for place_name, at, done in kept.rows:
                if place_name == name:
                    what = f"up at {at:,} steps{', the first time' if first else ''}"
                    told(what, done.seconds, done.sent, str(done.requests))
                    first = False
            began = time.perf_counter()
            done = kept.stores[name].up(folder)
            told("up at the end, with summary and curve", time.perf_counter() - began, done.sent, str(done.requests))
            done = kept.stores[name].up(folder)
            told("up, nothing new", done.seconds, done.sent, str(done.requests))
            with (folder / "episodes.csv").open("a", encoding="utf-8") as rows:
                rows.write("0,0,0,0,0,0,0\n" * 1000)
            done = kept.stores[name].up(folder)
            told("up, 14 kB more in episodes.csv", done.seconds, done.sent, str(done.requests))
            for what in ("down to an empty folder", "down, all of it there"):
                began = time.perf_counter()
                Store(address).down(Path(scratch) / f"down {name}")
                told(what, time.perf_counter() - began, 0 if "all" in what else done.nbytes, "")
