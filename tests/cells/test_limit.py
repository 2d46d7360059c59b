"""The time limit of a cell: it saves, or it is killed; what is left of it goes on."""

import csv
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlbench.cells import limit
from rlbench.cells.attempt import read_attempt
from rlbench.cells.order import Order
from rlbench.cells.perform import DONE, FAILED, perform
from rlbench.cells.telling import Telling
from rlbench.recipe import Recipe
from rlbench.record.watcher import Status
from rlbench.rollout.signals import Interrupts
from rlbench.training import session

KEYS = {"env": "CartPole-v1", "agent": "random", "seeds": 1, "eval_every": 0, "final_eval_episodes": 0, "track": "none"}
HANGS = """
import time
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

class Hangs(FrozenLakeEnv):
    def {method}(self, *args, **options):
        while True:
            pass
"""


def order(folder: Path, attempt: int = 1, steps: int = 2000, **how: float) -> Order:
    return Order("a", str(folder), Recipe(**KEYS, total_steps=steps).content(), attempt, **how)  # type: ignore[arg-type]


def episodes(folder: Path) -> list[dict[str, str]]:
    with (folder / "episodes.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key != "wall_seconds"} for row in csv.DictReader(file)]


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What the timers that run will do, of which a first attempt's is up at step 500, however quick the machine is."""
    waiting: list[Callable[[], object]] = []

    class Timer:
        daemon = False

        def __init__(self, seconds: float, up: Callable[[], object]) -> None:
            self.up = up

        def start(self) -> None:
            waiting.append(self.up)

        def cancel(self) -> None:
            if self.up in waiting:
                waiting.remove(self.up)

    def tick(self: Telling, status: Status) -> None:
        if self.now.attempt == 1 and status.env_steps >= 500 and waiting:
            waiting.pop()()

    monkeypatch.setattr(limit, "threading", SimpleNamespace(Timer=Timer))
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(Telling, "tick", tick)
    return waiting


def test_one_whose_time_is_up_saves_has_failed_and_goes_on_exactly(
    tmp_path: Path, timers: list[Callable[[], object]]
) -> None:
    assert perform(order(tmp_path / "a", time_limit=90)) == FAILED
    told = read_attempt(tmp_path / "a")
    assert told is not None
    assert (told.state, told.message) == ("failed", "its time limit of 1m30s came before its end; everything is saved")
    assert told.env_steps == 500
    assert perform(order(tmp_path / "a", 2, time_limit=300)) == DONE
    assert timers == []
    assert perform(order(tmp_path / "b")) == DONE
    assert episodes(tmp_path / "a") == episodes(tmp_path / "b")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)  # nothing is left of the limit


@pytest.mark.slow
@pytest.mark.parametrize(("method", "grace"), [("step", 0.5), ("__init__", 600.0)])
def test_one_that_hangs_is_killed_by_the_system(tmp_path: Path, method: str, grace: float) -> None:
    """As it steps it may save still; as its environment is made there is nothing to save, and no need to wait."""
    (tmp_path / "mine.py").write_text(HANGS.format(method=method))
    recipe = Recipe.load(env=f"{tmp_path}/mine.py:Hangs", agent="random", overrides=["seeds=1", "total_steps=100"])
    asked = Order("a", str(tmp_path / "a"), recipe.placed().content(), time_limit=0.5)
    command = f"""
from rlbench.cells import limit
from rlbench.cells.__main__ import main
limit.GRACE = {grace}
raise SystemExit(main())
"""
    done = subprocess.run([sys.executable, "-c", command], input=asked.to_json(), text=True, timeout=60)
    assert done.returncode == -signal.SIGALRM


def test_a_cell_that_is_saving_already_is_not_hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(limit.os, "kill", lambda process, number: sent.append(number))
    with Interrupts() as interrupts:
        kept = limit.TimeLimit(1.0)
        interrupts.signal = signal.SIGINT
        kept._up()
        assert (sent, kept.passed) == ([], False)
        interrupts.signal = 0
        kept._up()
        assert (sent, kept.passed) == ([signal.SIGTERM], True)
