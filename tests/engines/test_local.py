"""Cells on this machine: forked, packed by cores and memory, stopped with checkpoints, killed, and outlived."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlbench.cells import life
from rlbench.cells.attempt import read_attempt
from rlbench.cells.order import Order
from rlbench.driving.engines import open_engine
from rlbench.engines import local as module
from rlbench.engines import nursery
from rlbench.engines.engine import CellEnd, Needs
from rlbench.engines.local import Local
from rlbench.errors import UsageError
from rlbench.recipe import Recipe

LONG, SHORT = 10_000_000, 50
SECONDS = 60.0  # that anything here may take


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Local]:
    one = Local(tmp_path, {"cores": 3})
    yield one
    one.stop(insist=True)
    one.close()


def order(tmp_path: Path, cell: str, steps: int) -> Order:
    overrides: dict[str, Any] = {"seeds": 1, "total_steps": steps, "eval_every": 0, "final_eval_episodes": 2}
    overrides |= {"workers": 1, "track": "none", "checkpoint_every": 1000}
    recipe = Recipe.load(None, env="FrozenLake-v1", agent="random", overrides=overrides)
    return Order(cell, str(tmp_path / cell), recipe.content())


def ends(engine: Local, count: int) -> dict[str, CellEnd]:
    found: dict[str, CellEnd] = {}
    until = time.monotonic() + SECONDS
    while len(found) < count:
        assert time.monotonic() < until
        found |= {end.cell: end for end in engine.wait(0.2)}
    return found


def at_work(folder: Path) -> int:
    """Wait until a cell trains, and has a checkpoint; gives the number of its process."""
    until = time.monotonic() + SECONDS
    while not (folder / "checkpoint.pth").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    attempt = read_attempt(folder)
    assert attempt is not None
    return attempt.process


@pytest.mark.skipif(not nursery.FORKS, reason="cells are started anew here")
def test_a_forked_cell_knows_whose_death_it_is_to_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "live", lambda order, parent: 7 if parent == os.getppid() else 8)
    monkeypatch.setattr(nursery, "_tell", lambda content: None)
    one = nursery.Nursery()
    one._begin(order(tmp_path, "a", SHORT))
    _, status = os.waitpid(next(iter(one.cells)), 0)
    assert os.waitstatus_to_exitcode(status) == 7


@pytest.mark.slow
def test_cells_are_run_killed_stopped_and_outlived(tmp_path: Path, engine: Local) -> None:
    for cell, steps in (("done", SHORT), ("killed", LONG), ("stopped", LONG)):
        engine.begin(order(tmp_path, cell, steps), Needs())
    assert engine.free(Needs()) == 0
    done = ends(engine, 1)["done"]
    assert (done.code, done.said) == (0, "")
    assert done.peak > 2**20
    assert (tmp_path / "done" / "log.txt").read_text().startswith("== attempt 1, ")
    assert engine.free(Needs()) == 1
    os.kill(at_work(tmp_path / "killed"), signal.SIGKILL)
    killed = ends(engine, 1)["killed"]
    assert (killed.code, killed.said) == (-9, "killed by SIGKILL, as is done where memory runs out")
    process = at_work(tmp_path / "stopped")
    engine.stop()
    assert ends(engine, 1)["stopped"].code == 128 + signal.SIGTERM
    attempt = read_attempt(tmp_path / "stopped")
    assert attempt is not None
    assert (attempt.state, attempt.process) == ("stopped", process)
    assert attempt.env_steps >= 1000


@pytest.mark.slow
def test_cells_save_and_end_when_their_nursery_dies_or_their_driver_does(tmp_path: Path, engine: Local) -> None:
    engine.begin(order(tmp_path, "orphan", LONG), Needs())
    at_work(tmp_path / "orphan")
    assert engine._nursery is not None
    engine._nursery.kill()
    lost = ends(engine, 1)["orphan"]
    assert (lost.code, "the process that it came from was killed by SIGKILL" in lost.said) == (None, True)
    _has_stopped(tmp_path / "orphan")
    engine.begin(order(tmp_path, "left", LONG), Needs())  # another nursery
    at_work(tmp_path / "left")
    engine.close()  # as where the driver is gone
    _has_stopped(tmp_path / "left")


def _has_stopped(folder: Path) -> None:
    until = time.monotonic() + SECONDS
    while (attempt := read_attempt(folder)) is None or attempt.state != "stopped":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_cell_without_a_process_ends_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    def none_left() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(nursery, "_tell", told.append)
    monkeypatch.setattr(nursery.os, "fork", none_left)
    home = nursery.Nursery()
    home._begin(order(tmp_path, "cell", SHORT))
    assert told[0]["said"] == "no process could be made for it: Resource temporarily unavailable"
    assert (told[0]["ended"], told[0]["code"], home.cells) == ("cell", 71, {})
    for handle in (home._woken, home._wakes):
        os.close(handle)


class Resident:
    """What processes hold, and what is free, as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int | None, each: int = 0) -> None:
        monkeypatch.setattr(module, "free_memory", lambda: free)
        monkeypatch.setattr(module, "_resident", lambda process: each)


def handed(engine: Local, *needs: Needs) -> None:
    for k, one in enumerate(needs):
        engine._hand[f"cell {k}"] = module._InHand(one)


@pytest.mark.parametrize(
    ("free", "each", "hand", "needs", "room"),
    [
        (None, 0, [], Needs(), 3),
        (100, 0, [], Needs(memory=1000), 3),  # one alone is tried, whatever it is thought to take
        (100, 0, [Needs(memory=10)], Needs(memory=1000), 0),
        (1000, 0, [Needs(memory=100)], Needs(memory=400), 2),
        (1000, 0, [Needs(memory=600)], Needs(memory=400), 0),
        (1000, 500, [Needs(memory=600)], Needs(memory=400), 2),  # most of it is taken already
        (None, 0, [Needs(2)], Needs(), 1),
        (None, 0, [Needs(2)], Needs(2), 0),
        (None, 0, [Needs(0.5)], Needs(0.5), 5),
    ],
)
def test_there_is_room_by_cores_and_by_memory(
    engine: Local,
    monkeypatch: pytest.MonkeyPatch,
    free: int | None,
    each: int,
    hand: list[Needs],
    needs: Needs,
    room: int,
) -> None:
    Resident(monkeypatch, free, each)
    handed(engine, *hand)
    assert engine.free(needs) == room
    engine._hand.clear()


def test_what_no_machine_has_is_told_before_anything_begins(engine: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    Resident(monkeypatch, 2**30)
    assert engine.check(Needs(3)) == []
    for needs, said in (
        (Needs(4), "a cell takes 4 cores, and there are 3 here"),
        (Needs(gpus=1), "a cell takes 1 cards, and there is none here that torch can use"),
        (Needs(memory=2**34), "a cell takes 16.0 GiB of memory, and 1.0 GiB are free here"),
    ):
        with pytest.raises(UsageError, match=said):
            engine.check(needs)


def test_settings_and_engines_have_names(tmp_path: Path) -> None:
    for settings, said in (({"core": 1}, "knows no 'core'"), ({"cores": 0}, "got 0"), ({"cores": "two"}, "got 'two'")):
        with pytest.raises(UsageError, match=said):
            Local(tmp_path, settings)
    with pytest.raises(UsageError, match=r"there is no engine 'locl'\. Did you mean local\?"):
        open_engine("locl", tmp_path, {})
