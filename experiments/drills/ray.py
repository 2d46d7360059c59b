"""A sweep on a Ray cluster of three nodes: one of them, and a worker of another, are killed -9 in the middle of it."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import click

SWEEP = """
[base]
seeds = 2
total_steps = {steps}
device = "cpu"
checkpoint_every = 200
log_every = 100
eval_every = 1000
eval_episodes = 2
final_eval_episodes = 2
[grid]
env = ["CartPole-v1", "rlbench/Catch-v0", "FrozenLake-v1"]
agent = ["dqn", "pqn"]
seed = [0, 100, 200, 300]
"""
CELLS = 24
STORE = 80 * 2**20  # bytes of a node for objects: there are none
HITS = 3  # cells at least that are hit: by the loss of a node, of a worker, of their own process
DONE = (4, 10, 16)  # cells that are done when each of these is killed


@click.command()
@click.option("--steps", default=4_000, show_default=True, help="Env steps per seed of a cell.")
@click.option("--seed", default=0, show_default=True, help="Of what is killed.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep everything in this folder.")
def ray(steps: int, seed: int, out: Path | None) -> None:
    """Run a sweep on three nodes, kill one of them and a worker, compare every cell with the same run at home."""
    from rlbench.sweep.folder import open_sweep

    from .at_home import differing

    with contextlib.ExitStack() as stack:
        place = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = place / "sweep"
        place.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        cluster = stack.enter_context(three_nodes())
        click.echo(f"three nodes at {cluster.address}, up after {time.perf_counter() - began:.0f} s")
        file = place / "sweep.toml"
        file.write_text(SWEEP.format(steps=steps))
        began = time.perf_counter()
        with (place / "sweep.out").open("w+") as printed, _sweeping(file, folder, cluster.address, printed) as sweep:
            wrong = harm(cluster, folder, sweep, random.Random(seed))
            code = sweep.wait()
            printed.seek(0)
            said = printed.read()
        seconds = time.perf_counter() - began
        states = open_sweep(folder).states()
        done = sum(state.state == "done" for state in states.values())
        again = {name: state.attempt for name, state in states.items() if state.attempt > 1}
        click.echo(
            f"rlbench sweep: exit code {code} after {seconds:.0f} s, {done} of {len(states)} cells done; begun again: "
            f"{', '.join(f'{name} ({count} times)' for name, count in again.items()) or 'none'}"
        )
        began = time.perf_counter()
        differ = differing(folder)
        same = len(states) - len({line.partition(":")[0] for line in differ})
        took = time.perf_counter() - began
        click.echo(f"{same} of {len(states)} cells equal the same run at home; {took:.0f} s for these")
    wrong += differ
    wrong += [said] if code else []
    wrong += [f"Ray on the terminal: {line}" for line in said.splitlines() if "raylet" in line or "core_worker" in line]
    wrong += [] if len(states) == CELLS else [f"{len(states)} cells, not {CELLS}"]
    wrong += [] if len(again) >= HITS else [f"{len(again)} cells were begun again, not {HITS} at least"]
    for line in wrong:
        click.echo(line, err=True)
    click.echo(f"{len(wrong)} things went wrong")
    sys.exit(bool(wrong))


@contextlib.contextmanager
def _sweeping(file: Path, folder: Path, address: str, printed: TextIO) -> "Iterator[subprocess.Popen[bytes]]":
    """`rlbench sweep` on its way; it does not outlive the context."""
    command = [sys.executable, "-m", "rlbench", "sweep", str(file), "--out", str(folder), "--on", "ray"]
    command += ["--with", f"address={address}"]
    with subprocess.Popen([*command, "--progress", "plain"], stdout=printed, stderr=subprocess.STDOUT) as sweep:
        try:
            yield sweep
        finally:
            sweep.terminate()


class InHand(NamedTuple):
    """A cell whose process is at work, when it was looked at."""

    folder: Path
    process: int
    steps: int
    saved: int

    def __str__(self) -> str:
        return f"{self.folder.name} (beyond step {self.steps:,}, saved at {self.saved:,})"


def harm(cluster: Any, folder: Path, sweep: "subprocess.Popen[bytes]", chance: random.Random) -> list[str]:
    """Kill a node with all that runs there, a Ray worker, and the process of a cell; gives what went wrong."""
    wrong: list[str] = []
    node = cluster.worker_nodes.pop()
    raylet = pid_of(node)
    if hit := in_hand(folder, sweep, DONE[0], lambda: below(raylet)):
        lost = below(raylet)
        for process in lost[::-1]:  # cells first: nothing has time to save
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        click.echo(f"a node is gone, {len(lost)} processes killed -9, in hand: {', '.join(map(str, hit))}")
    others = [pid_of(one) for one in cluster.list_all_nodes() if one is not node]
    if hit := in_hand(folder, sweep, DONE[1], lambda: [process for pid in others for process in below(pid)]):
        cell = chance.choice(hit)
        worker = parents()[cell.process]
        began = time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        while cell.process in parents() and time.perf_counter() < began + 60:
            time.sleep(0.01)
        said = (cell.folder / "log.txt").read_text()
        took = time.perf_counter() - began
        click.echo(
            f"a Ray worker was killed -9, in hand: {cell}; the cell's process saved and ended {took:.1f} s later"
        )
        if "stopped by SIGTERM; everything is saved" not in said or cell.process in parents():
            wrong.append(f"{cell.folder.name} went on without its Ray worker, or ended without saving")
    if hit := in_hand(folder, sweep, DONE[2], lambda: [process for pid in others for process in below(pid)]):
        cell = chance.choice(hit)
        os.kill(cell.process, signal.SIGKILL)
        click.echo(f"the process of a cell was killed -9: {cell}")
    return wrong


def in_hand(folder: Path, sweep: "subprocess.Popen[bytes]", done: int, among: Any) -> list[InHand]:
    """Wait until so many cells are done, and others are well on their way in the processes ``among``; gives those."""
    from rlbench.runfolder.checkpoints import newest

    while sweep.poll() is None:
        time.sleep(0.1)
        said = [(path.parent, _read(path)) for path in folder.glob("cells/*/attempt.json")]
        if sum(attempt.get("state") == "done" for _, attempt in said) < done:
            continue
        processes = set(among())
        found = [
            InHand(place, attempt["process"], attempt["env_steps"], newest(place).content["env_steps"])
            for place, attempt in said
            if attempt.get("state") == "running"
            and attempt["process"] in processes
            and 0 < attempt["env_steps"] < attempt["total_steps"]
            and (place / "checkpoint.pth").exists()
        ]
        if found:
            return found
    return []


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content


def pid_of(node: Any) -> int:
    """The process that a node of the cluster is."""
    return int(node.all_processes["raylet"][0].process.pid)


def parents() -> dict[int, int]:
    """Process -> its parent, of all that are alive."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(place.name)] = int(parent)
    return found


def below(process: int) -> list[int]:
    """A process and all that come of it, each after its parent."""
    known, found = parents(), [process]
    for one in found:
        found += [child for child, parent in known.items() if parent == one]
    return found if process in known else []


@contextlib.contextmanager
def three_nodes() -> Iterator[Any]:
    """A Ray cluster on this machine: a head and two nodes, each of one core."""
    import logging

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    size = {"num_cpus": 1, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(**size)
        yield cluster
    finally:
        with contextlib.suppress(Exception):  # of a node that was killed
            cluster.shutdown()
