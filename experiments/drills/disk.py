"""A disk that fills up, and one that cannot be written to, under a run. Needs the right to mount a tmpfs."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

TRAIN = (
    "--env", "CartPole-v1", "--seeds", "2", "--workers", "1", "--num-envs", "1", "--total-steps", "6000", "--progress",
    "none", "--set", "checkpoint_every=250", "--set", "eval_every=1000", "--set", "eval_episodes=2", "--set",
    "final_eval_episodes=2", "--set", "dqn.capacity=6000", "--device", "cpu",
)  # fmt: skip


@click.command()
@click.option("--megabytes", default=1, show_default=True, help="What is left of the disk once a run has begun.")
def disk(megabytes: int) -> None:
    """Train on a full and on a read-only disk; go on when there is room; compare with a run that always had it."""
    from rlbench.errors import RlbenchError
    from rlbench.runfolder.checkpoints import newest

    from .kill import same_ending

    wrong = []
    with tempfile.TemporaryDirectory() as scratch, _tmpfs(Path(scratch) / "disk") as mount:
        whole, run = Path(scratch) / "whole", mount / "run"
        _rlbench("train", *TRAIN, "--out", str(whole))
        full = _squeezed(mount, megabytes, "train", *TRAIN, "--out", str(run))
        click.echo(f"disk of {megabytes} MiB: exit code {full.returncode}: {full.stderr.strip()}")
        try:
            click.echo(f"the newest checkpoint is whole, of step {newest(run).content['env_steps']:,}")
        except RlbenchError as e:
            wrong.append(str(e))
        wrong += _judged(full)
        subprocess.run(["mount", "-o", "remount,size=256m", str(mount)], check=True)
        again = _rlbench("train", "--resume", str(run), "--progress", "none")
        if again.returncode or not same_ending(run, whole):
            wrong.append(f"with room again it did not end as one that always had it: {again.stderr.strip()}")
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        for args in (
            ("train", *TRAIN, "--out", str(mount / "new")),
            ("train", "--resume", str(run), "--total-steps", "7000"),
        ):
            refused = _rlbench(*args)
            click.echo(f"read-only: exit code {refused.returncode}: {refused.stderr.strip()}")
            wrong += _judged(refused)
        subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        if not same_ending(run, whole):
            wrong.append("the read-only run has changed")
    for line in wrong:
        click.echo(line, err=True)
    click.echo(f"{len(wrong)} things went wrong")
    sys.exit(bool(wrong))


def _judged(done: "subprocess.CompletedProcess[str]") -> list[str]:
    said = done.stderr.strip()
    if done.returncode != 1 or "Traceback" in said or not said:
        return [f"exit code {done.returncode}, not 1 with a line of its own: {said}"]
    return []


def _rlbench(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "rlbench", *args], capture_output=True, text=True, check=False)


def _squeezed(mount: Path, megabytes: int, *args: str) -> "subprocess.CompletedProcess[str]":
    """As `_rlbench`, of a run that found room enough when it looked, before it began; then others filled the disk."""
    command = [sys.executable, "-m", "rlbench", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(mount.glob("*/episodes.csv")):
            time.sleep(0.01)
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(mount)], check=True)
        out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextlib.contextmanager
def _tmpfs(mount: Path) -> Iterator[Path]:
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(mount)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise click.ClickException(f"this drill mounts a tmpfs, which failed: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=False)
