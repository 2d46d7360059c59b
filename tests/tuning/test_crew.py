"""Runs handed to an engine: whose process is asked to end, and whose is not."""

import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_engine import StubEngine

from rlbench.cells.attempt import Attempt, write_attempt
from rlbench.recipe import Recipe
from rlbench.tuning.crew import Crew

HOLDS = """
import sys, time
from pathlib import Path
from rlbench.runfolder.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that is at work in the folder of the run."""
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_without_hope_is_asked_to_end_and_nobody_else(tmp_path: Path, trainer: "subprocess.Popen[str]") -> None:
    crew = Crew(StubEngine(lambda hyper, seed: 0.0), 1, 0)
    crew.begin("trial 0", tmp_path, Recipe.load(None, env="FrozenLake-v1", agent="random"))
    right = Attempt(1, "running", host=platform.node(), process=trainer.pid)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        for wrong in (
            right._replace(process=stranger.pid),  # the number is another's by now
            right._replace(process=-1),  # which would be all processes of the user's
            right._replace(state="done"),
            right._replace(attempt=2),
            right._replace(host="elsewhere"),
        ):
            write_attempt(tmp_path, wrong)
            assert not crew.let_go("trial 0"), wrong
        assert (trainer.poll(), stranger.poll()) == (None, None)
        stranger.kill()
    write_attempt(tmp_path, right)
    assert crew.let_go("trial 0")
    assert trainer.wait(10) == -signal.SIGTERM


def test_a_run_that_is_taken_over_counts_on(tmp_path: Path) -> None:
    engine = StubEngine(lambda hyper, seed: 0.0)
    write_attempt(tmp_path, Attempt(3, "running", host="elsewhere"))
    Crew(engine, 1, 0).begin("trial 0", tmp_path, Recipe.load(None, env="FrozenLake-v1", agent="random"))
    assert engine.orders[0].attempt == 4
