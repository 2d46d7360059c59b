"""Signals from outside: a run that is told to stop saves everything and goes on later as if nothing had happened."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import CARTPOLE, assert_same_record, process, rlbench, succeeds, timeless
from test_promises import assert_same, rows_of_seeds

from rlbench.runfolder import checkpoint_file, checkpoints
from rlbench.training.underway import Underway

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="watches processes through /proc")

STEPS = 1_500
LONG = (
    "train", "--env", "CartPole-v1", "--device", "cpu", "--workers", "1", "--seeds", "2", "--total-steps", str(STEPS),
    "--progress", "plain", "--set", "eval_every=0", "--set", "final_eval_episodes=2", "--set", "checkpoint_every=250",
    "--set", "log_every=100", "--set", "dqn.train_every=1", "--set", "dqn.learning_starts=100",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("signals") / "whole"
    succeeds(*LONG, "--out", folder)
    return folder


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def under_way(folder: Path, workers: int) -> tuple[subprocess.Popen[str], list[int]]:
    """A run in the middle of its training, and the processes of its workers."""
    run = process(*LONG, "--workers", str(workers), "--out", folder)
    places = [folder] if workers == 1 else [folder / "workers" / str(k) for k in range(workers)]
    until(lambda: all((place / "checkpoint.pth").exists() for place in places))
    return run, children(run.pid) if workers > 1 else []


def assert_resumes(folder: Path, whole: Path, command: str | None = None) -> None:
    command = command or f"rlbench train --resume {folder}"
    program, *args = shlex.split(command)
    assert program == "rlbench"
    succeeds(*args, "--progress", "none")
    assert_same_record(folder, whole)
    ours, theirs = (checkpoint_file.load(path / "checkpoint.pth", "checkpoint")["agent"] for path in (folder, whole))
    assert_same(rows_of_seeds(ours, 2), rows_of_seeds(theirs, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [
        (signal.SIGINT, 130, 1),
        (signal.SIGINT, 130, 2),
        (signal.SIGTERM, 143, 1),
        (signal.SIGTERM, 143, 2),
    ],
)
def test_a_signal_saves_everything(
    number: signal.Signals, code: int, workers: int, whole: Path, tmp_path: Path
) -> None:
    run, pids = under_way(tmp_path / "run", workers)
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == code, err
    (line,) = err.splitlines()
    said = re.fullmatch(rf"stopped by {number.name}; everything is saved\. Go on with: (rlbench train .*)", line)
    assert said
    assert "stopped because of interrupted" in out
    assert len(pids) == (workers if workers > 1 else 0)
    assert not any(map(alive, pids))
    for name in ("checkpoint.pth", "summary.json", "curve.png", "episodes.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert 250 <= checkpoint_file.load(tmp_path / "run" / "checkpoint.pth", "checkpoint")["env_steps"] < STEPS
    assert_resumes(tmp_path / "run", whole, said[1])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_second_signal_ends_at_once(workers: int, whole: Path, tmp_path: Path) -> None:
    run, pids = under_way(tmp_path / "run", workers)
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert run.returncode == 130, err
    assert "Traceback" not in err
    until(lambda: not any(map(alive, pids)))
    assert_resumes(tmp_path / "run", whole)


@pytest.mark.parametrize("at", range(5))
def test_an_end_between_the_files_of_a_checkpoint(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay buffer and the weights are two files: whichever was renamed last, a pair of one step is there."""
    succeeds(*CARTPOLE, "--out", tmp_path / "whole")
    saved, replaced, save, replace = [], [], Underway.save, os.replace

    def counted(old: str, new: str) -> None:
        if len(saved) == 3:
            replaced.append(Path(new).name)
            if len(replaced) == at + 1:
                raise KeyboardInterrupt
        replace(old, new)

    def save_and_count(self: Underway) -> None:
        saved.append(self.env_steps)
        save(self)

    monkeypatch.setattr(checkpoints, "SAVE_SHARE", 1e9)  # whatever they cost
    monkeypatch.setattr(os, "replace", counted)
    monkeypatch.setattr(Underway, "save", save_and_count)
    flags = ("--set", "checkpoint_every=30", "--set", "eval_every=40")
    assert rlbench(*CARTPOLE, *flags, "--out", tmp_path / "run").exit_code == 130
    monkeypatch.undo()
    assert replaced == [str(saved[1]), "replay.next.pth", "checkpoint.pth", "best.pth", "replay.pth"][: at + 1]
    succeeds("train", "--resume", tmp_path / "run", "--progress", "none")
    assert timeless(tmp_path / "run", "episodes.csv") == timeless(tmp_path / "whole", "episodes.csv")
    assert timeless(tmp_path / "run", "updates.csv") == timeless(tmp_path / "whole", "updates.csv")
    assert not (tmp_path / "run" / "replay.next.pth").exists()


@pytest.mark.slow
def test_a_signal_while_the_workers_start(whole: Path, tmp_path: Path) -> None:
    run = process(*LONG, "--workers", "2", "--out", tmp_path / "run")
    until(lambda: len(children(run.pid)) == 2)
    pids = children(run.pid)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 143, err
    assert err.splitlines()[-1].startswith("stopped by SIGTERM; everything is saved")
    assert not any(map(alive, pids))
    assert_resumes(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["parent", pytest.param("worker", marks=pytest.mark.slow)])
def test_kill_9(whose: str, whole: Path, tmp_path: Path) -> None:
    run, pids = under_way(tmp_path / "run", 2)
    os.kill(run.pid if whose == "parent" else pids[1], signal.SIGKILL)
    until(lambda: not any(map(alive, pids)), 20)
    _, err = run.communicate(timeout=60)
    assert "Traceback" not in err
    if whose == "worker":
        assert run.returncode == 1
        assert re.fullmatch(r"Error: the process of seed 1 was killed by SIGKILL, .*rlbench train --resume .*\n", err)
    succeeds("eval", tmp_path / "run", "--episodes", "1")  # what the workers saved is of use at once
    drawn = rlbench("plot", tmp_path / "run", "--out", tmp_path / "curve.png")
    assert drawn.exit_code == 0
    assert "is unfinished: its record ends at env step" in drawn.stderr
    assert_resumes(tmp_path / "run", whole)


@pytest.mark.slow
def test_resume_where_not_every_worker_had_saved(whole: Path, tmp_path: Path) -> None:
    run, pids = under_way(tmp_path / "run", 2)
    for pid in (run.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    run.communicate(timeout=60)
    (tmp_path / "run" / "workers" / "1" / "checkpoint.pth").unlink()
    assert_resumes(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_run_cut_off_in_its_last_evaluation_can_be_finished(whole: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from rlbench.training import session; from rlbench.cli import main\n"
        "def finish(run, evaluations): raise KeyboardInterrupt\n"
        "session.finish = finish\n"
        "main(sys.argv[1:], prog_name='rlbench')"
    )
    command = [sys.executable, "-c", script, *LONG, "--out", str(tmp_path / "run")]
    cut = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert cut.returncode == 130, cut.stderr
    assert "Traceback" not in cut.stderr
    assert not (tmp_path / "run" / "summary.json").exists()
    assert_resumes(tmp_path / "run", whole)
    assert (tmp_path / "run" / "summary.json").exists()
    assert rlbench("train", "--resume", tmp_path / "run").exit_code == 2  # there is nothing left to do
