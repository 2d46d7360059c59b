"""What is done on a node of a Ray cluster, done here: a cell's process started, asked to stop, and what hinders it."""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rlbench.cells.attempt import Attempt, write_attempt
from rlbench.cells.order import Order
from rlbench.on_ray import task
from rlbench.on_ray.task import carry_out
from rlbench.runfolder.lock import Lock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

#: In the place of Python with a cell's process: says what it was given, and what comes of SIGTERM.
CELL = """#!{python}
import json, os, signal, sys, time
how, said = json.load(open({place!r} + "/how")), {place!r} + "/said"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143) if how["heeds"] else None)
given = dict(args=sys.argv[1:], order=json.loads(sys.stdin.read()), cwd=os.getcwd(), group=os.getpgrp() == os.getpid(),
             parent=os.environ["RLBENCH_PARENT"], cards=os.environ.get("CUDA_VISIBLE_DEVICES"))
with open(said + ".new", "w") as file:
    json.dump(given, file)
os.rename(said + ".new", said)
time.sleep(how["seconds"])
print("at the end of its tether", file=sys.stderr)
sys.exit(how["code"])
"""


class Case:
    """A cell that is to be carried out, and a stand-in for its process."""

    def __init__(self, place: Path) -> None:
        self.place, self.run = place, place / "run"
        self.run.mkdir()
        self.order = Order("one", str(self.run), {"env": "x"}, attempt=2, stands=str(place))
        script = place / "python"
        script.write_text(CELL.format(python=sys.executable, place=str(place)))
        script.chmod(0o755)
        self.is_to()

    def is_to(self, *, seconds: float = 0.0, code: int = 0, heeds: bool = True) -> None:
        (self.place / "how").write_text(json.dumps({"seconds": seconds, "code": code, "heeds": heeds}))

    def carried_out(self, gpus: float = 0, mark: tuple[str, str] | None = None) -> dict[str, Any]:
        return carry_out(self.order.to_json(), gpus, mark)

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.place / "said").read_text())
        return found


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(task, "COMMAND", (str(tmp_path / "python"), "as asked"))
    monkeypatch.setattr(task, "POLL", 0.02)
    return Case(tmp_path)


def interrupts(case: Case, count: int) -> None:
    """What Ray does to a task that it is asked to cancel, once the cell's process is there."""

    def send() -> None:
        while not (case.place / "said").exists():
            time.sleep(0.01)
        for _ in range(count):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    threading.Thread(target=send, daemon=True).start()


def test_a_process_of_its_own_carries_it_out(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    before = signal.getsignal(signal.SIGINT)
    write_attempt(case.run, Attempt(2, "done", peak=123))
    assert case.carried_out(gpus=0.5) == {"where": os.uname().nodename, "code": 0, "said": "", "peak": 123}
    assert signal.getsignal(signal.SIGINT) is before
    assert case.said == {
        "args": ["as asked"], "order": case.order._asdict(), "cwd": str(case.place), "group": True,
        "parent": str(os.getpid()), "cards": "3",
    }  # fmt: skip


def test_with_a_store_the_folder_is_a_place_of_the_node_s_own(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    case.order = case.order._replace(folder="", store="memory://one")
    assert case.carried_out()["code"] == 0
    assert Path(case.said["order"]["folder"]).is_relative_to(tmp_path / "scratch")


def test_without_a_card_of_its_own_it_sees_none(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    case.carried_out()
    assert case.said["cards"] == ""


def test_one_that_never_came_to_its_log_is_told_by_its_last_words(case: Case) -> None:
    write_attempt(case.run, Attempt(1, "running", peak=123))  # of the attempt before
    case.is_to(code=1)
    assert case.carried_out() | {"where": ""} == {"where": "", "code": 1, "said": "at the end of its tether", "peak": 0}


@pytest.mark.parametrize(("heeds", "count", "code"), [(True, 1, 143), (False, 2, -9)], ids=["asked", "insisted"])
def test_what_asks_a_task_to_stop_is_handed_on(heeds: bool, count: int, code: int, case: Case) -> None:
    case.is_to(seconds=30, heeds=heeds)
    interrupts(case, count)
    assert case.carried_out()["code"] == code


def test_a_node_that_does_not_see_the_folder_refuses(case: Case, tmp_path: Path) -> None:
    mark = tmp_path / "sweep" / "engine" / "seen"
    refused = case.carried_out(mark=(str(mark), "token"))
    assert refused["code"] == 2
    assert f"does not see {tmp_path / 'sweep'}" in refused["said"]
    assert "--store" in refused["said"]
    mark.parent.mkdir(parents=True)
    mark.write_text("of another sweep\n")
    assert case.carried_out(mark=(str(mark), "token"))["code"] == 2
    mark.write_text("token\n")
    assert case.carried_out(mark=(str(mark), "token"))["code"] == 0


def test_it_waits_for_whoever_is_in_the_folder_still(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock(case.run)
    began = time.monotonic()
    threading.Timer(0.5, lock.release).start()
    assert case.carried_out()["code"] == 0
    assert time.monotonic() - began >= 0.5
    monkeypatch.setattr(task, "PATIENCE", 0.1)
    (case.place / "said").unlink()
    with Lock(case.run):
        lost = case.carried_out()
    assert lost["code"] is None
    assert f"in use still, by process {os.getpid()}" in lost["said"]
    assert not (case.place / "said").exists()
