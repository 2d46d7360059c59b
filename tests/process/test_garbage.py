"""What existed before a run is not looked through for garbage while it trains, and afterwards it is again."""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rlbench
from rlbench.recipe import Recipe
from rlbench.record.watcher import Watcher
from rlbench.training import session

TINY = Recipe(env="CartPole-v1", agent="random", seeds=1, total_steps=60, eval_every=0, final_eval_episodes=0)


class Counts(Watcher):
    def __init__(self) -> None:
        self.found: list[int] = []

    def tick(self, status: Any) -> None:
        self.found.append(gc.get_freeze_count())


@pytest.mark.slow
def test_it_is_set_apart_while_a_run_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    counts = Counts()
    assert gc.get_freeze_count() == 0
    rlbench.train(recipe=TINY, out=tmp_path / "run", watcher=counts)
    assert min(counts.found) > 10_000
    assert gc.get_freeze_count() == 0


@pytest.mark.slow
def test_what_somebody_else_has_set_apart_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    counts = Counts()
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        rlbench.train(recipe=TINY, out=tmp_path / "run", watcher=counts)
        assert max(counts.found) <= before
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_an_error_gives_it_back() -> None:
    found: list[int] = []

    def fail() -> None:
        with session.set_apart():
            found.append(gc.get_freeze_count())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert found[0] > 10_000
    assert gc.get_freeze_count() == 0


def test_at_the_end_of_a_command_nothing_is_looked_through() -> None:
    code = (
        "import atexit, gc; from rlbench.process.garbage import end_quickly\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"  # called after what is registered later
        "end_quickly(); end_quickly(); print(gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\nTrue\n"
