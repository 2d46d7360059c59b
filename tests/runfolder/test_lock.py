"""Tests of rlbench.runfolder.lock: one process at a time in a run folder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command import CARTPOLE, rlbench, succeeds

from rlbench.errors import RunFolderError
from rlbench.runfolder.lock import Lock
from rlbench.training import train as training

HOLD = """
import sys
from pathlib import Path
from rlbench.runfolder.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
input()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def test_a_folder_in_use_is_refused_and_free_again_after_a_kill(tmp_path: Path) -> None:
    other = holder(tmp_path)
    with pytest.raises(RunFolderError, match=f"in use: process {other.pid} is training there"):
        Lock(tmp_path, patience=0)
    os.kill(other.pid, signal.SIGKILL)
    other.communicate()
    with Lock(tmp_path, patience=0), pytest.raises(RunFolderError, match=f"process {os.getpid()}"):
        Lock(tmp_path, patience=0)
    Lock(tmp_path, patience=0).release()


def test_resuming_a_run_under_way_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbench.runfolder.lock.PATIENCE", 0.0)
    succeeds(*CARTPOLE, "--out", tmp_path / "run")
    other = holder(tmp_path / "run")
    try:
        result = rlbench("train", "--resume", tmp_path / "run", "--total-steps", "200")
    finally:
        other.communicate("\n")
    assert result.exit_code == 1
    assert "in use" in result.output
    assert "Traceback" not in result.output
    succeeds("train", "--resume", tmp_path / "run", "--total-steps", "200", "--progress", "none")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write"):
        Lock(tmp_path / "missing")


def test_who_asks_in_the_moment_it_begins_does_not_stop_a_run(tmp_path: Path) -> None:
    """`rlbench runs` and `rlbench watch` hold the lock for an instant when they ask who does."""
    (tmp_path / "run").mkdir()
    asks = os.open(tmp_path / "run" / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(asks, fcntl.LOCK_SH)
    goes = threading.Timer(0.1, os.close, [asks])
    goes.start()
    run = training.train("CartPole-v1", out=tmp_path / "run", seeds=1, total_steps=20, eval_every=0, track="none")
    assert run.summary["env_steps"] == 20
    goes.join()


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RunFolderError, match=r"cannot write .*: No space left on device\.$"):
        Lock(tmp_path)
    monkeypatch.undo()
    Lock(tmp_path, patience=0).release()  # nobody holds it
