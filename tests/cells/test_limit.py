"""The time limit of a cell: it saves, or it is killed; what is left of it goes on."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlbench.cells.attempt import read_attempt
from rlbench.cells.order import Order
from rlbench.cells.perform import DONE, FAILED, perform
from rlbench.recipe import Recipe

KEYS = {"env": "CartPole-v1", "agent": "random", "seeds": 1, "eval_every": 0, "final_eval_episodes": 0, "track": "none"}
HANGS = """
import time
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

class Hangs(FrozenLakeEnv):
    def {method}(self, *args, **options):
        while True:
            pass
"""


def order(folder: Path, attempt: int = 1, steps: int = 40_000, **how: float) -> Order:
    return Order("a", str(folder), Recipe(**KEYS, total_steps=steps).content(), attempt, **how)  # type: ignore[arg-type]


def episodes(folder: Path) -> list[dict[str, str]]:
    with (folder / "episodes.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key != "wall_seconds"} for row in csv.DictReader(file)]


def test_one_whose_time_is_up_saves_has_failed_and_goes_on_exactly(tmp_path: Path) -> None:
    assert perform(order(tmp_path / "a", time_limit=0.4)) == FAILED
    told = read_attempt(tmp_path / "a")
    assert told is not None
    assert (told.state, told.message) == ("failed", "its time limit of 0s came before its end; everything is saved")
    assert 0 < told.env_steps < 40_000
    assert perform(order(tmp_path / "a", 2, time_limit=300)) == DONE
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
