"""The state of a cell by its run folder alone: what its attempt says, and what has become of who said it."""

import json
import os
import time
from pathlib import Path

from rlbench.cells.attempt import FILE, Attempt, write_attempt
from rlbench.runfolder.lock import Lock
from rlbench.sweep.folder import SILENT, _live, state_of
from rlbench.sweep.index import CellState, Phase


def aged(folder: Path) -> None:
    """As if nothing had been told for longer than a process at work is silent."""
    then = time.time() - SILENT - 5
    os.utime(folder / FILE, (then, then))


def test_one_that_was_refused_has_failed(tmp_path: Path) -> None:
    write_attempt(tmp_path, Attempt(1, "refused", "it cannot act there"))
    state = state_of(tmp_path)
    assert (state.state, state.message) == ("failed", "it cannot act there")


def test_one_whose_process_is_gone_was_stopped(tmp_path: Path) -> None:
    write_attempt(tmp_path, Attempt(2, "running", env_steps=7))
    assert state_of(tmp_path).state == "running"  # maybe on another machine
    aged(tmp_path)
    assert state_of(tmp_path) == CellState("stopped", 2, 7, message="its process died")
    with Lock(tmp_path):
        assert state_of(tmp_path).state == "running"  # busy with something long


def test_the_time_of_earlier_attempts_counts_once(tmp_path: Path) -> None:
    write_attempt(tmp_path, Attempt(3, "failed", seconds=4.0))
    assert state_of(tmp_path, CellState("failed", 2, seconds=10.0)).seconds == 14.0
    assert state_of(tmp_path, CellState("failed", 3, seconds=14.0)).seconds == 14.0  # that includes it
    assert state_of(tmp_path, CellState("running", 3, seconds=10.0)).seconds == 14.0  # and that does not
    phases: tuple[Phase, ...] = ("queued", "running")
    for state in phases:  # the next one has said nothing yet
        assert state_of(tmp_path, CellState(state, 4, seconds=14.0)).seconds == 14.0


def test_a_run_without_an_attempt_is_done_where_it_has_ended(tmp_path: Path) -> None:
    assert state_of(tmp_path).state == "stopped"
    (tmp_path / "summary.json").write_text(json.dumps({"env_steps": 50, "stopped_because": "total_steps"}))
    assert state_of(tmp_path) == CellState("done", env_steps=50, total_steps=50)
    ended = {"env_steps": 50, "stopped_because": "total_steps", "final_eval_return": {"0": 1.5, "1": None}}
    (tmp_path / "summary.json").write_text(json.dumps(ended))
    (tmp_path / FILE).write_text("")  # as it may be found after a power cut: of a run that is done nobody waits for it
    state = state_of(tmp_path)
    assert state._replace(returns=()) == CellState("done", env_steps=50, total_steps=50)
    assert str(state.returns) == "(1.5, nan)"  # of a seed that was lost


def test_one_that_is_queued_is_at_work_once_its_own_attempt_says_so(tmp_path: Path) -> None:
    queued = CellState("queued", 2, 40, 100)
    assert _live(tmp_path, queued, driven=True) == queued
    write_attempt(tmp_path, Attempt(1, "failed", "it broke", env_steps=40))
    assert _live(tmp_path, queued, driven=True) == queued  # that was the attempt before
    write_attempt(tmp_path, Attempt(2, "running", env_steps=60))
    assert _live(tmp_path, queued, driven=True)[:3] == ("running", 2, 60)
    write_attempt(tmp_path, Attempt(2, "stopped", env_steps=60))
    assert _live(tmp_path, queued, driven=True) == queued  # it was put back


def test_one_that_was_queued_waits_once_nobody_drives_it(tmp_path: Path) -> None:
    assert _live(tmp_path, CellState("queued", 1), driven=False).state == "waiting"
