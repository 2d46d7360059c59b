"""kill -9 at random moments, during checkpoints too: a run that is resumed after each ends as one never touched."""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

RUN: dict[str, Any] = {
    "env": "CartPole-v1", "seeds": 2, "num_envs": 2, "total_steps": 6_000, "checkpoint_every": 50, "log_every": 50,
    "eval_every": 1_000, "eval_episodes": 2, "final_eval_episodes": 2, "device": "cpu",
    "hyper": {"hidden": (16,), "capacity": 2_000, "learning_starts": 100, "batch_size": 16},
}  # fmt: skip


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
def kill(kills: int, workers: int, seed: int) -> None:
    """Kill training processes KILLS times; resume each; compare what they end with."""
    from rlbench.errors import RlbenchError
    from rlbench.runfolder import checkpoint_file
    from rlbench.runfolder.checkpoints import newest
    from rlbench.runfolder.layout import worker_folders

    rng = np.random.default_rng(seed)
    killed, unloadable, writing, differ, runs = 0, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        began = time.perf_counter()
        _wait(_start(whole, workers))
        seconds = time.perf_counter() - began
        while killed < kills:
            folder, runs = Path(scratch) / f"run{runs}", runs + 1
            while True:
                process = _start(folder, workers)
                process.join(rng.uniform(0, min(seconds / 2, 1.5)))
                if killed % 2:  # every other time in the middle of a checkpoint
                    _wait_for_writing(process, folder)
                if process.exitcode is not None:
                    break
                _kill_all(process)
                killed += 1
                places = worker_folders(folder) or [folder]
                writing += any(list(place.glob(".*.tmp")) for place in places)
                for place in places:
                    if not (place / "checkpoint.pth").exists():
                        continue
                    try:
                        newest(place)
                        for name in ("checkpoint.pth", "best.pth"):
                            if (place / name).exists():
                                checkpoint_file.load(place / name, "checkpoint")
                    except RlbenchError as e:
                        unloadable += 1
                        click.echo(f"after kill {killed}: {e}", err=True)
            if process.exitcode:
                click.echo(f"run {runs} ended with exit code {process.exitcode}", err=True)
            if process.exitcode or not same_ending(folder, whole):
                differ += 1
    click.echo(
        f"{killed} kills, {writing} of them while a checkpoint was being written, {workers} workers; {runs} runs "
        f"brought to their end.\nunloadable checkpoints: {unloadable}; "
        f"runs that ended unlike one never touched: {differ}"
    )
    sys.exit(bool(unloadable or differ))


def _start(folder: Path, workers: int) -> Any:
    """A process that begins the run in ``folder``, or goes on with it."""
    process = multiprocessing.get_context("fork").Process(target=_train, args=(folder, workers))
    process.start()
    return process


def _train(folder: Path, workers: int) -> None:
    from rlbench.recipe import Recipe
    from rlbench.runfolder import checkpoints
    from rlbench.training import train as training

    os.setpgrp()
    checkpoints.SAVE_SHARE = 1e9  # save as often as asked, whatever it costs: that is the point here
    places = list(folder.glob("workers/*/checkpoint.pth")) or list(folder.glob("checkpoint.pth"))
    if places and (folder / "summary.json").exists():  # killed after its very end
        return
    if places:
        training.resume(folder)
    else:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
        training.train(recipe=Recipe(**RUN, workers=workers), out=folder)


def _wait(process: Any) -> None:
    process.join()
    if process.exitcode:
        raise click.ClickException("the run that was to be the measure of the others failed")


def _wait_for_writing(process: Any, folder: Path) -> None:
    """Until a checkpoint is being written, at most two seconds."""
    until = time.monotonic() + 2
    while process.exitcode is None and time.monotonic() < until:
        if any(any(place.glob(".*.pth.*.tmp")) for place in (folder, *folder.glob("workers/*"))):
            return


def _kill_all(process: Any) -> None:
    """SIGKILL for the process and its workers, which are in groups of their own."""
    children = _children(process.pid)
    for pid in (process.pid, *children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.join()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/stat").exists() and "Z" not in _state(pid) for pid in children):
        if time.monotonic() > until:
            raise click.ClickException("a worker outlived its kill")
        time.sleep(0.01)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def same_ending(folder: Path, whole: Path) -> bool:
    """Whether two runs ended with the same weights, replay buffers, episodes and journals."""
    import torch

    from rlbench.runfolder import checkpoint_file, journal
    from rlbench.runfolder.layout import worker_folders

    def rows(place: Path, name: str) -> list[str]:
        return [line.rpartition(",")[0] for line in (place / name).read_text().splitlines()]  # without wall seconds

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        if isinstance(one, list):
            return len(one) == len(other) and all(map(same, one, other))
        if isinstance(one, torch.Tensor):
            return torch.equal(one, other)
        return bool(one == other)

    if rows(folder, "episodes.csv") != rows(whole, "episodes.csv"):
        return False
    pairs = zip(journal.files(folder), journal.files(whole), strict=True)
    if any(mine.read_bytes() != theirs.read_bytes() for mine, theirs in pairs):
        return False
    for mine, theirs in zip([folder, *worker_folders(folder)], [whole, *worker_folders(whole)], strict=True):
        for name, kind, part in (("checkpoint.pth", "checkpoint", "agent"), ("replay.pth", "replay", "replay")):
            if (theirs / name).exists() and not same(
                checkpoint_file.load(mine / name, kind)[part], checkpoint_file.load(theirs / name, kind)[part]
            ):
                return False
    return True
