"""A search over two processes, one of which is killed -9 with all that it had started: what becomes of its trial."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from .kill import _children

SEARCH = """
[base]
env = "Acrobot-v1"
total_steps = 12_000
eval_every = 3_000
eval_episodes = 20
checkpoint_every = 2_000
seeds = 20
[space]
dqn.learning_rate = {low = 1e-4, high = 1e-2, log = true}
dqn.n_step = {low = 1, high = 8}
dqn.tau = {low = 0.003, high = 0.1, log = true}
dqn.train_every = [1, 2, 4]
dqn.hidden = [[64, 64], [128, 128]]
dqn.layer_norm = [false, true]
dqn.epsilon_end = {low = 0.01, high = 0.3}
dqn.epsilon_steps = {low = 1_000, high = 12_000}
[search]
trials = 40
seeds = 3
"""  # fmt: skip
SMALL = """
[base]
env = "rlbench/Catch-v0"
total_steps = 3_000
checkpoint_every = 200
final_eval_episodes = 20
seeds = 4
[base.dqn]
learning_starts = 100
[space]
dqn.learning_rate = {low = 1e-4, high = 1e-2, log = true}
dqn.n_step = {low = 1, high = 4}
[search]
trials = 4
seeds = 3
"""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Keep everything here.  [default: nowhere]")
@click.option("--small", is_flag=True, help="Four trials on Catch, in place of forty on Acrobot.")
@click.option("--pruner", is_flag=True, help="Stop trials without hope, too.")
def tune(out: Path | None, small: bool, pruner: bool) -> None:
    """Search over two processes; kill one -9 when half of the trials have ended; compare its trial with one alone."""
    with contextlib.ExitStack() as stack:
        place = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lost = drill(place.absolute(), (SMALL if small else SEARCH) + 'pruner = "interval"\n' * pruner)
    sys.exit(bool(lost))


def drill(place: Path, search: str) -> int:
    """Carry it out in ``place``; gives how many things went wrong."""
    place.mkdir(parents=True, exist_ok=True)
    file, folder = place / "search.toml", place / "tuned"
    file.write_text(search)
    began = time.monotonic()
    first, second = (_start(file, folder, place / f"process{i}.txt") for i in (1, 2))
    hit = _strike(second, folder)
    third = _start(file, folder, place / "process3.txt")
    codes = [process.wait() for process in (first, third)]
    seconds = time.monotonic() - began
    click.echo((place / "process1.txt").read_text() if codes[0] == 0 else f"a process ended with {codes}")
    rows = (folder / "trials.csv").read_text().splitlines()
    numbers = [int(row.split(",")[0]) for row in rows[1:]]
    states = {row.split(",")[1] for row in rows[1:]}
    lost = len(set(range(len(numbers))) ^ set(numbers)) + bool(states - {"complete", "pruned"}) + any(codes)
    order = json.loads((folder / "trials" / str(hit) / "order.json").read_text())
    alone = place / "alone"
    subprocess.run(
        [sys.executable, "-m", "rlbench.cells"],
        input=json.dumps({**order, "folder": str(alone), "attempt": 1}),
        text=True,
        check=True,
    )
    same = _episodes(folder / "trials" / str(hit)) == _episodes(alone)
    click.echo(
        f"{len(numbers)} trials in {seconds:.0f} s, {lost} lost, doubled or failed; trial {hit}, whose process was "
        f"killed, took {order['attempt']} attempts, and its {len(_episodes(alone)) - 1:,} episodes are "
        f"{'those' if same else 'NOT those'} of one never touched"
    )
    return lost + (not same)


def _start(file: Path, folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "rlbench", "tune", str(file), "--out", str(folder), "--jobs", "1"]
    with log.open("wb") as said:
        return subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)


def _strike(process: "subprocess.Popen[bytes]", folder: Path) -> int:
    """Kill a process and all that it has started, in the middle of a trial; gives the trial's number."""
    while process.poll() is None:
        time.sleep(0.1)
        trials = list(folder.glob("trials/*/attempt.json"))
        ended = sum(_said(path).get("state") == "done" for path in trials)
        if ended < _wanted(folder) // 2:
            continue
        all_ = _descendants(process.pid)
        for path in trials:
            said = _said(path)
            begun = (path.parent / "checkpoint.pth").exists()
            if said.get("process") in all_ and said.get("state") == "running" and begun:
                for pid in (process.pid, *all_):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait()
                return int(path.parent.name)
    raise click.ClickException("the process that was to be killed ended before")


def _descendants(pid: int) -> list[int]:
    found = _children(pid)
    return found + [inner for child in found for inner in _descendants(child)]


def _said(path: Path) -> dict[str, object]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _wanted(folder: Path) -> int:
    """How many trials are wanted."""
    file = folder.parent / "search.toml"
    return next(int(line.split("=")[1]) for line in file.read_text().splitlines() if line.startswith("trials"))


def _episodes(folder: Path) -> list[str]:
    """Rows of episodes.csv, without wall-clock seconds."""
    return [line.rpartition(",")[0] for line in (folder / "episodes.csv").read_text().splitlines()]
