"""The process of a Slurm job at its time limit: the cell goes on later, unless it gets nowhere."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlbench.cells.attempt import Attempt, write_attempt
from rlbench.cells.order import Order
from rlbench.on_slurm.job import IDLE, WARNED, CellJob, read_end

pytest.importorskip("submitit")
SAVES = f"""
import signal, sys, time
signal.signal({int(WARNED)}, lambda *_: sys.exit({128 + WARNED}))
print("ready", flush=True)
time.sleep(60)
"""


def at_its_limit(job: CellJob) -> Any:
    """Let a cell's process be warned; gives what goes on later."""
    job._process = subprocess.Popen([sys.executable, "-c", SAVES], stdout=subprocess.PIPE, text=True)
    assert job._process.stdout is not None
    with job._process.stdout as said:
        assert said.readline() == "ready\n"
        try:
            return job.checkpoint().function
        finally:
            job._process.wait()


def test_time_limits_are_no_failure_as_long_as_a_cell_gets_further(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "order.json").write_text(Order("a", str(tmp_path / "a"), {}).to_json())
    job, end = CellJob(str(tmp_path / "order.json"), str(tmp_path / "end.json"), ()), tmp_path / "end.json"
    for steps in (5, 6, 6, 6, 7, 7, 7):  # twice without one more, and then one more
        write_attempt(tmp_path / "a", Attempt(1, "stopped", env_steps=steps))
        job = at_its_limit(job)
        assert read_end(end) is None
    with pytest.raises(SystemExit) as raised:
        at_its_limit(job)
    assert raised.value.code == 128 + signal.SIGUSR1
    told = read_end(end)
    assert told is not None
    assert told["code"] == 128 + WARNED
    assert told["said"].startswith(f"{IDLE} time limits came before an env step more")
