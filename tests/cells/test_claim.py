"""Tests of rlbench.cells.claim: sweeps with one store on one machine do not work at one cell at once."""

import os
from pathlib import Path

import pytest

from rlbench.cells import claim as module
from rlbench.cells.attempt import read_attempt
from rlbench.cells.claim import Claim, claim_file
from rlbench.cells.order import Order
from rlbench.cells.perform import REFUSED, perform
from rlbench.recipe import Recipe


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "LEFT", 0.0)


def order(sweep: str, attempt: int = 1) -> Order:
    return Order("cell", "", Recipe(env="CartPole-v1").content(), attempt, store="file:///st/cell", sweep=sweep)


def test_each_sweep_has_a_folder_of_its_own_and_one_of_them_the_cell() -> None:
    assert order("/a").placed().folder != order("/b").placed().folder
    assert order("/a").placed() == order("/a").placed()
    first = Claim(order("/a", 2).placed())
    second = Claim(order("/b").placed())
    assert not first.refused
    assert f"process {os.getpid()}, of the sweep in /a, is at work at this cell" in second.refused
    assert "(attempt 2)" in second.refused
    assert not second.left
    second.release()  # it has nothing to let go of
    assert Claim(order("/b").placed()).refused
    first.release()
    assert not claim_file(order("/a")).exists()
    third = Claim(order("/b").placed())
    assert not third.refused
    third.release()


def test_a_worker_of_the_same_sweep_that_does_not_end_is_left_its_folder() -> None:
    first, second = Claim(order("/a").placed()), Claim(order("/a").placed())
    assert (first.left, second.left) == (False, True)
    first.release()


def test_who_waits_takes_it_as_soon_as_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 30.0)
    first = Claim(order("/a").placed())
    monkeypatch.setattr(module.time, "sleep", lambda seconds: first.release())
    second = Claim(order("/b").placed())
    assert not second.refused
    assert claim_file(order("/b")).exists()
    second.release()


def test_a_cell_that_is_done_elsewhere_is_told_and_nothing_of_its_store_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = order("/b")._replace(folder=str(tmp_path / "b"), store=f"file://{tmp_path}/st")
    assert perform(asked, elsewhere="process 7 has it") == REFUSED
    assert "process 7 has it" in capsys.readouterr().out
    said = read_attempt(tmp_path / "b")
    assert said is not None
    assert (said.state, said.message) == ("refused", "process 7 has it")
    assert not (tmp_path / "st").exists()
