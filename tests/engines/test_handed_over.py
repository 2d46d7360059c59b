"""Cells between a driver and their processes: stopped before they have a number, and outlived by what they started."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlbench.cells import life
from rlbench.cells.order import Order
from rlbench.engines import nursery
from rlbench.engines.engine import Needs
from rlbench.engines.local import Local

SECONDS = 30.0  # that anything here may take


class Spoken:
    """A nursery as the engine sees it: lines go in, answers come out when the test gives them."""

    def __init__(self) -> None:
        read, self._answers = os.pipe()
        self.stdout = os.fdopen(read, "rb")
        self.lines: list[str] = []
        self.stdin = SimpleNamespace(write=self._write, flush=lambda: None, close=self._close)

    def answer(self, **content: Any) -> None:
        os.write(self._answers, json.dumps(content).encode() + b"\n")

    def wait(self) -> int:
        return 0

    def _write(self, data: bytes) -> None:
        self.lines += data.decode().splitlines()

    def _close(self) -> None:
        os.close(self._answers)


@pytest.fixture
def spoken(tmp_path: Path) -> Iterator[tuple[Local, Spoken]]:
    engine, other = Local(tmp_path, {"cores": 3}), Spoken()
    engine._nursery = other  # type: ignore[assignment]
    yield engine, other
    engine.close()


def test_a_stop_reaches_a_cell_that_had_no_process_yet_as_soon_as_it_has_one(spoken: tuple[Local, Spoken]) -> None:
    engine, other = spoken
    for cell in ("one", "two"):
        engine.begin(Order(cell, f"/nowhere/{cell}", {}), Needs())
    other.answer(began="one", process=41)
    engine.wait(0.05)
    engine.stop()
    assert other.lines[2:] == ["signal 15 41"]  # the other has no number that it could be sent to
    other.answer(began="two", process=42)
    engine.wait(0.05)
    assert other.lines[3:] == ["signal 15 42"]
    engine.stop(insist=True)
    assert other.lines[4:] == ["signal 9 41", "signal 9 42"]


def test_a_cell_that_begins_where_nobody_has_asked_to_stop_is_left_alone(spoken: tuple[Local, Spoken]) -> None:
    engine, other = spoken
    engine.begin(Order("one", "/nowhere/one", {}), Needs())
    other.answer(began="one", process=41)
    engine.wait(0.05)
    assert [line.partition(" ")[0] for line in other.lines] == ["begin"]


@pytest.mark.skipif(not nursery.FORKS, reason="cells are started anew here")
def test_what_a_cell_leaves_behind_is_killed_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    read, held = os.pipe()

    def leaving(order: Order, parent: int) -> int:
        os.setpgrp()  # as `live` does
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[held])
        return 3

    told: list[dict[str, Any]] = []
    monkeypatch.setattr(life, "live", leaving)
    monkeypatch.setattr(nursery, "_tell", told.append)
    home = nursery.Nursery()
    home._begin(Order("one", "/nowhere/one", {}))
    os.close(held)
    until = time.monotonic() + SECONDS
    while home.cells:
        assert time.monotonic() < until
        home._reap()
        time.sleep(0.01)
    assert (told[-1]["ended"], told[-1]["code"]) == ("one", 3)
    ready, _, _ = select.select([read], [], [], SECONDS)
    assert ready == [read]  # nobody holds its other end any more
    assert os.read(read, 1) == b""
    for handle in (read, home._woken, home._wakes):
        os.close(handle)


@pytest.mark.skipif(not nursery.FORKS, reason="cells are started anew here")
def test_a_cell_that_is_killed_by_request_takes_with_it_what_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[tuple[int, int]] = []
    monkeypatch.setattr(nursery.os, "kill", lambda process, number: groups.append((process, number)))
    monkeypatch.setattr(nursery.os, "killpg", lambda process, number: groups.append((-process, number)))
    home = nursery.Nursery()
    home.cells[41] = "one"
    home._signal(41, signal.SIGTERM)
    home._signal(42, signal.SIGKILL)  # none of ours
    assert groups == [(41, signal.SIGTERM)]  # it saves, and ends what it has started itself
    home._signal(41, signal.SIGKILL)
    assert groups[1:] == [(41, signal.SIGKILL), (-41, signal.SIGKILL)]
    for handle in (home._woken, home._wakes):
        os.close(handle)
