"""kill -9 in the middle of a sync: the newest complete state is found on another machine, and what goes on is exact.

With ``--on s3`` against an S3-speaking server on this machine: moto, which ``pip install 'moto[server]'`` brings.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

RUN: dict[str, Any] = {
    "env": "CartPole-v1", "seeds": 2, "num_envs": 2, "total_steps": 4_000, "checkpoint_every": 50, "log_every": 50,
    "eval_every": 1_000, "eval_episodes": 2, "final_eval_episodes": 2, "device": "cpu", "track": "none",
    "hyper": {"hidden": (16,), "capacity": 20_000, "learning_starts": 100, "batch_size": 16},
}  # fmt: skip
IDLE, UP, DOWN = 0, 1, 2  # what a worker is at
PATIENCE = 60.0  # seconds for a worker to come to what it is to be killed at


@click.command()
@click.option("--kills", default=100, show_default=True, help="In the middle of a sync up.")
@click.option("--downs", default=25, show_default=True, help="And in the middle of one down.")
@click.option("--on", type=click.Choice(["file", "s3"]), default="file", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
def store(kills: int, downs: int, on: str, seed: int) -> None:
    """Kill workers while they sync; each time another one, with an empty disk, goes on; compare what they end with."""
    import rlbench.cells.life  # noqa: F401  (now, and not in every worker)
    from rlbench.store.objects import Objects

    from .kill import same_ending

    rng = np.random.default_rng(seed)
    counts = {"up": 0, "down": 0, "half": 0, "lost": 0, "differ": 0, "runs": 0, "whole": 0}
    with tempfile.TemporaryDirectory() as scratch, place(on, Path(scratch)) as address:
        whole = Path(scratch) / "whole"
        _carry_out(_order(whole, 1, ""), _shared()).join()
        Objects(address).check()
        while counts["up"] < kills or counts["down"] < downs:
            counts["runs"] += 1
            brought = _one_run(f"{address}/{counts['runs']}", Path(scratch), rng, counts, kills, downs)
            if not same_ending(brought, whole):
                counts["differ"] += 1
                click.echo(f"run {counts['runs']} ended unlike one never touched", err=True)
    click.echo(
        f"{on}: {counts['up']} kills while a folder went up, {counts['half']} of them with some of its objects there "
        f"and no manifest; {counts['down']} while one came down; {counts['runs']} runs brought to their end.\n"
        f"states asked for: {counts['whole']}; not the newest complete one: {counts['lost']}; "
        f"runs that ended unlike one never touched: {counts['differ']}"
    )
    sys.exit(bool(counts["lost"] or counts["differ"]))


def _one_run(
    address: str, scratch: Path, rng: np.random.Generator, counts: dict[str, int], kills: int, downs: int
) -> Path:
    """A cell, from machine to machine until it is done; the folder that who looks on is given in the end."""
    attempt = 0
    while True:
        attempt += 1
        now = _shared()
        folder = scratch / f"machine {counts['runs']} {attempt}"
        process = _carry_out(_order(folder, attempt, address), now)
        at_down = counts["down"] < downs and attempt > 1 and bool(rng.random() < 0.3)
        if counts["up"] < kills or at_down:
            syncs = 0 if at_down else int(rng.integers(0, 5))
            _wait_for(process, now, DOWN if at_down else UP, syncs)
            time.sleep(rng.uniform(0, max(now[3], 20) / 1000))
        else:
            process.join()
        ended = process.exitcode is not None
        if not ended:
            doing = now[0]
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            counts["up"] += doing == UP
            counts["down"] += doing == DOWN
        _check(address, scratch / "looks on", tuple(now[1:3]), counts)
        if ended:
            if process.exitcode:
                raise click.ClickException(f"attempt {attempt} ended with code {process.exitcode}: see {folder}")
            return scratch / "looks on"


def _check(address: str, folder: Path, last: tuple[int, ...], counts: dict[str, int]) -> None:
    """The newest state is no older than the last whose sync had come to its end, and is all there."""
    from rlbench.runfolder.checkpoints import newest
    from rlbench.store.manifest import Generation
    from rlbench.store.store import Store

    said: list[str] = []
    looks = Store(address, note=said.append)
    put = [one for name in looks.objects.sizes("objects") if (one := Generation.of(name))]
    state = looks.newest()
    counts["half"] += bool(put and (state is None or max(put) > state.generation))
    if state is None:
        counts["lost"] += any(last)
        return
    counts["whole"] += 1
    found = (state.generation.attempt, state.generation.sync)
    down = looks.down(folder)
    if not down or said or found < last or newest(folder).content["env_steps"] <= 0:
        counts["lost"] += 1
        click.echo(f"after attempt {found[0]}: found {found}, synced {last}, {said}", err=True)


def _order(folder: Path, attempt: int, address: str) -> Any:
    from rlbench.cells.order import Order
    from rlbench.recipe import Recipe

    return Order("cell", str(folder), Recipe(**RUN).content(), attempt, store=address)


def _shared() -> Any:
    """What a worker is at; of its last sync that came to its end attempt, number and milliseconds."""
    return multiprocessing.get_context("fork").Array("i", [IDLE, 0, 0, 0])


def _carry_out(order: Any, now: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=_work, args=(order, now))
    process.start()
    return process


def _work(order: Any, now: Any) -> None:
    """A worker that says, in shared memory, what it is at."""
    from rlbench.cells.perform import perform
    from rlbench.runfolder import checkpoints
    from rlbench.store.store import Store

    os.setpgrp()
    Path(order.folder).mkdir(parents=True, exist_ok=True)
    sys.stdout = sys.stderr = (Path(order.folder) / "log.txt").open("a", encoding="utf-8", buffering=1)
    checkpoints.SAVE_SHARE = 1e9  # save as often as asked, whatever it costs: that is the point here
    real_up, real_down = Store.up, Store.down

    def up(self: Store, folder: Path) -> Any:
        now[0] = UP
        done = real_up(self, folder)
        assert self._mine is not None
        now[0], now[1], now[2], now[3] = IDLE, self._mine.attempt, self._mine.sync, int(1000 * done.seconds)
        return done

    def down(self: Store, *args: Any, **more: Any) -> bool:
        now[0] = DOWN
        found = real_down(self, *args, **more)
        now[0] = IDLE
        return found

    Store.up, Store.down = up, down  # type: ignore[method-assign]
    code = perform(order)
    sys.stdout.flush()
    os._exit(code)


def _wait_for(process: Any, now: Any, doing: int, syncs: int) -> None:
    """Until a worker has synced so often, and is at what it is to be killed at."""
    until = time.monotonic() + PATIENCE
    while process.exitcode is None and (now[0] != doing or now[2] < syncs) and time.monotonic() < until:
        time.sleep(0.0005)


@contextlib.contextmanager
def place(on: str, scratch: Path) -> Iterator[str]:
    """An address to keep runs at: a folder, or a bucket of a server of its own."""
    if on == "file":
        yield f"file://{scratch}/store"
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "drill", "AWS_SECRET_ACCESS_KEY": "drill", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    serve = "import sys; from moto.server import main; main(sys.argv[1:])"
    with (scratch / "server.txt").open("w", encoding="utf-8") as log:
        server = subprocess.Popen([sys.executable, "-c", serve, "-p", str(port)], stdout=log, stderr=subprocess.STDOUT)
    try:
        import s3fs

        until = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                if server.poll() is not None or time.monotonic() > until:
                    said = (scratch / "server.txt").read_text(encoding="utf-8").strip().splitlines()
                    raise click.ClickException(
                        f"no S3 server began: {said[-1] if said else 'it says nothing'}"
                    ) from None
                time.sleep(0.1)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("drill-bucket")
        yield "s3://drill-bucket/runs"
    finally:
        server.terminate()
        server.wait()
