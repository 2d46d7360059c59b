"""The Slurm engine, with submitit's own code, on a stand-in for Slurm's commands."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slurm_stand_in
from conftest import slow
from slurm_stand_in import until

from rlbench.cells.order import Order
from rlbench.engines.engine import CellEnd, Needs
from rlbench.errors import RlbenchError, UsageError
from rlbench.on_slurm import engine as slurm
from rlbench.on_slurm import queue
from rlbench.on_slurm.engine import Slurm
from rlbench.process import mkl

pytest.importorskip("submitit")
HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = {"time": 10, "poll": 1}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a stand-in that is on PATH."""
    state = slurm_stand_in.install(tmp_path / "cluster")
    monkeypatch.setenv("PATH", f"{state.parent / 'programs'}:{os.environ['PATH']}")
    monkeypatch.setattr(Slurm, "worker", (str(HERE / "cell_worker.py"),))
    monkeypatch.setattr(slurm, "SOON", 0.1)
    monkeypatch.setattr(slurm, "LATE", 0.5)
    yield state
    queue.cancel({path.name.split("_")[0] for path in state.glob("[0-9]*_*")}, "--full", "--signal=KILL")


def order(place: Path, cell: str, attempt: int = 1, **recipe: Any) -> Order:
    return Order(cell, str(place / cell), {"steps": 3, **recipe}, attempt)


def ends(engine: Slurm, count: int = 1, seconds: float = 30.0) -> dict[str, CellEnd]:
    """The next ends, by cell."""
    found: dict[str, CellEnd] = {}
    until(lambda: found.update((end.cell, end) for end in engine.wait(0.2)) or len(found) >= count, seconds)
    return found


def test_cells_are_one_array_and_tell_their_end(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun between two waits is handed in together; codes and signals come back, and the script says all."""
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("RLBENCH_MKL_CBWR", "COMPATIBLE")  # chosen by us for this CPU; a node's may be another
    engine = Slurm(tmp_path / "engine", {**SETTINGS, "partition": "long", "array_parallelism": 2, "mail_type": "END"})
    assert engine.check(Needs(cpus=1.5, memory=2**30)) == []
    for cell, recipe in {"good": {}, "bad": {"code": 1}, "dead": {"die": int(signal.SIGKILL)}}.items():
        engine.begin(order(tmp_path, cell, **recipe), Needs(cpus=1.5, memory=2**30))
    assert engine.free(Needs()) == 997
    found = ends(engine, 3)
    assert [found[cell].code for cell in ("good", "bad", "dead")] == [0, 1, -9]
    assert found["dead"].said == "killed by SIGKILL"
    assert found["good"].peak > 2**20
    assert found["good"].where
    assert (tmp_path / "good" / "began").read_text() == f"0 {mkl.modes()[0]}\n"
    assert os.environ["MKL_CBWR"] == "COMPATIBLE"
    script = (state / "script").read_text()
    for line in ("array=0-2%2", "cpus-per-task=2", "mem=1024M", "partition=long", "time=10", "signal=B:USR1@90",
                 "mail-type=END", "requeue", "job-name=rlbench-"):  # fmt: skip
        assert f"#SBATCH --{line}" in script
    assert engine.taken() == {}
    engine.close()
    assert [path.name for path in (tmp_path / "engine" / "slurm").iterdir()] == ["ends"]


def test_a_time_limit_puts_the_job_back_and_is_no_end(state: Path, tmp_path: Path) -> None:
    """Warned once, the cell saves; the job goes back into the queue and on from there; nothing is told of it."""
    engine = Slurm(tmp_path / "engine", SETTINGS)
    engine.begin(order(tmp_path, "long", steps=40, each=0.05), Needs())
    assert engine.wait(0.1) == []
    until((tmp_path / "long" / "began").exists)
    slurm_stand_in.warn(state, "1_0")
    until(lambda: (tmp_path / "long" / "began").read_text().count("\n") == 2)
    assert ends(engine) == {"long": ends_like("long", 0)}
    first, second = (int(line.split()[0]) for line in (tmp_path / "long" / "began").read_text().splitlines())
    assert first == 0
    assert 0 < second < 40
    assert (tmp_path / "long" / "saved").read_text() == "40"


def test_what_slurm_has_not_begun_is_queued(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Slurm(tmp_path / "engine", {**SETTINGS, "poll": 1})
    for cell in ("one", "other"):
        engine.begin(order(tmp_path, cell, steps=40, each=0.05), Needs())
    assert engine.queued() == {"one", "other"}  # not handed in yet
    known = {("1", 0): queue.Job("RUNNING", "", "n1"), ("1", 1): queue.Job("PENDING", "Resources", "")}
    with monkeypatch.context() as patch:
        patch.setattr(queue, "jobs", lambda: known)
        engine.wait(0.1)
        engine._due = 0.0
        engine.wait(0.1)
        assert engine.queued() == {"other"}
    assert ends(engine, 2) == {cell: ends_like(cell, 0) for cell in ("one", "other")}
    assert engine.queued() == set()


@pytest.mark.slow
def test_time_limits_without_an_env_step_end_it(state: Path, tmp_path: Path) -> None:
    """A cell that no limit is long enough for is not begun for ever."""
    engine = Slurm(tmp_path / "engine", SETTINGS)
    engine.begin(order(tmp_path, "slow", steps=1, each=0.1, pace=0), Needs())
    engine.wait(0.1)
    for times in range(1, 5):
        until(lambda times=times: _lines(tmp_path / "slow" / "began") == times)
        slurm_stand_in.warn(state, "1_0")
    end = ends(engine)["slow"]
    assert end.code == 128 + signal.SIGUSR1
    assert "give it more time" in end.said


def test_scancel_is_told_as_such(state: Path, tmp_path: Path) -> None:
    """Whoever cancels a job in Slurm stops its cell, which saves; one that had not begun is lost without a word."""
    engine = Slurm(tmp_path / "engine", SETTINGS)
    for cell in ("one", "other"):
        engine.begin(order(tmp_path, cell, steps=100, each=0.05), Needs())
    engine.wait(0.1)
    until(lambda: all((tmp_path / cell / "began").exists() for cell in ("one", "other")))
    queue.cancel(["1_1"])
    end = ends(engine)["other"]
    assert (end.code, end.said) == (128 + signal.SIGTERM, "cancelled in Slurm")
    assert engine.taken() == {"one": 1}


def test_scancel_before_it_began(state: Path, tmp_path: Path) -> None:
    """A job that was cancelled while it waited just vanishes from its array."""
    (state / "queued").touch()
    engine = Slurm(tmp_path / "engine", SETTINGS)
    for cell in ("one", "other"):
        engine.begin(order(tmp_path, cell), Needs())
    engine.wait(0.1)
    (state / "1_1").unlink()
    assert ends(engine)["other"] == CellEnd("other", None, "cancelled in Slurm before it began")


def test_jobs_outlive_the_driver(state: Path, tmp_path: Path) -> None:
    """A driver that comes back finds what goes on, and what has ended meanwhile; nothing is begun twice."""
    gone = Slurm(tmp_path / "engine", SETTINGS)
    for cell, steps in {"short": 1, "long": 30}.items():
        gone.begin(order(tmp_path, cell, 2, steps=steps, each=0.05), Needs())
    gone.wait(0.1)
    until((tmp_path / "short" / "attempt.json").exists)
    engine = Slurm(tmp_path / "engine", SETTINGS)
    assert engine.taken() == {"short": 2, "long": 2}
    assert {cell: end.code for cell, end in ends(engine, 2).items()} == {"short": 0, "long": 0}
    assert [_lines(tmp_path / cell / "began") for cell in ("short", "long")] == [1, 1]
    assert Slurm(tmp_path / "engine", SETTINGS).taken() == {}


def test_a_driver_that_dies_while_it_hands_in(state: Path, tmp_path: Path) -> None:
    """An array that Slurm gave no number to is none: its cells are handed in anew."""
    engine = Slurm(tmp_path / "engine", SETTINGS)
    engine._arrays.begin([order(tmp_path, "half")])
    assert engine.taken() == {}


@pytest.mark.parametrize("insist", [False, slow(True)])
def test_stop(state: Path, tmp_path: Path, insist: bool) -> None:
    """All save and end, what waits leaves the queue, what was never handed in is told too; or all are killed."""
    engine = Slurm(tmp_path / "engine", SETTINGS)
    engine.begin(order(tmp_path, "works", steps=200, each=0.05), Needs())
    engine.wait(0.1)
    until((tmp_path / "works" / "began").exists)
    (state / "queued").touch()
    for cell in ("waits", "too"):
        engine.begin(order(tmp_path, cell), Needs())
    engine.wait(0.1)
    engine.begin(order(tmp_path, "new"), Needs())
    engine.stop(insist=insist)
    found = ends(engine, 4, 60.0)
    assert found["waits"].code == found["too"].code == found["new"].code == 128 + signal.SIGTERM
    assert found["works"].code == (None if insist else 128 + signal.SIGTERM)
    assert (tmp_path / "works" / "saved").exists() is not insist


@pytest.mark.slow
def test_a_controller_that_is_away(state: Path, tmp_path: Path) -> None:
    """While nobody answers nothing is taken for lost; what a job told itself counts without it."""
    engine = Slurm(tmp_path / "engine", SETTINGS)
    for cell, recipe in {"good": {}, "dead": {"die": int(signal.SIGKILL)}}.items():
        engine.begin(order(tmp_path, cell, **recipe), Needs())
    engine.wait(0)
    (state / "down").touch()
    assert list(ends(engine)) == ["good"]
    assert engine.wait(1.5) == []
    (state / "down").unlink()
    assert ends(engine)["dead"].code == -9


@pytest.mark.slow
def test_stop_while_the_controller_is_away(state: Path, tmp_path: Path) -> None:
    """Cells are told to stop as soon as it is back."""
    engine = Slurm(tmp_path / "engine", SETTINGS)
    engine.begin(order(tmp_path, "works", steps=500, each=0.05), Needs())
    engine.wait(0.1)
    until((tmp_path / "works" / "began").exists)
    (state / "down").touch()
    engine.stop()
    assert engine.wait(0.5) == []
    (state / "down").unlink()
    assert ends(engine)["works"].code == 128 + signal.SIGTERM


def test_a_job_that_tells_nothing_is_lost(state: Path, tmp_path: Path) -> None:
    """Where the job itself cannot begin, its own last words are told."""
    engine = Slurm(tmp_path / "engine", {**SETTINGS, "python": "echo no such module; false"})
    engine.begin(order(tmp_path, "lost"), Needs())
    end = ends(engine)["lost"]
    assert end.code is None
    assert end.said.startswith("its job failed: ")
    assert end.where == "here"


@pytest.mark.slow
def test_a_limit_of_jobs(state: Path, tmp_path: Path) -> None:
    """Where Slurm takes fewer at once they are handed in by halves."""
    (state / "limit").write_text("2")
    engine = Slurm(tmp_path / "engine", SETTINGS)
    for k in range(4):
        engine.begin(order(tmp_path, f"c{k}", steps=1), Needs())
    assert {end.code for end in ends(engine, 4).values()} == {0}
    assert [one.number for one in engine._arrays.all()] == []


def test_slurm_takes_nothing(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused for good: an error in Slurm's words."""
    monkeypatch.setattr(slurm, "PATIENCE", -1.0)
    (state / "limit").write_text("0")
    engine = Slurm(tmp_path / "engine", SETTINGS)
    engine.begin(order(tmp_path, "c"), Needs())
    with pytest.raises(RlbenchError, match=r"Slurm takes no jobs: AssocMaxSubmitJobLimit; Batch job"):
        engine.wait(0)


@pytest.mark.parametrize(
    ("settings", "needs", "says"),
    [
        ({"partition": "shrt"}, Needs(), r"partition: Slurm has no 'shrt'. It has: short, long, old"),
        ({"partition": "old"}, Needs(), r"partition old takes no jobs now"),
        ({}, Needs(cpus=5), r"a cell takes 5 cores, and the largest node of partition short has 4 cores, 7.8 GiB"),
        ({}, Needs(memory=2**33), r"1 core, 8.0 GiB, and the largest node of partition short has 4 cores, 7.8 GiB"),
        ({"partition": "long"}, Needs(gpus=1), r"takes 1 core, 1 card, and .* has 16 cores, 62.5 GiB and no cards"),
        ({"mem": "9G"}, Needs(), r"1 core, 9.0 GiB, and the largest"),
        ({}, Needs(gpus=0.5), r"0.5 cards, and Slurm lends whole ones. Set \[resources\] gpus = 1"),
        ({"time": "2h"}, Needs(), r"time: partition short takes jobs for 1h00m at most"),
        ({"time": 1, "signal_delay": 60}, Needs(), r"signal_delay: 60 seconds before its time limit of 1m00s"),
        ({"account": "theirs"}, Needs(), r"sbatch would not take such a job: Batch job submission failed: Invalid acc"),
    ],
)
def test_check_refuses(state: Path, tmp_path: Path, settings: dict[str, Any], needs: Needs, says: str) -> None:
    """Before anything starts, and with what there is."""
    with pytest.raises(UsageError, match=says):
        Slurm(tmp_path, settings).check(needs)


def test_check_takes(state: Path, tmp_path: Path) -> None:
    """What fits is rehearsed with sbatch; where no time is asked for, what that means is told."""
    assert Slurm(tmp_path, {"time": "1:00:00", "account": "ours"}).check(Needs(cpus=4, gpus=2)) == []
    asked = (state / "asked").read_text()
    assert "--cpus-per-task=4 --gpus-per-node=2 --account=ours --time=60" in asked
    (note,) = Slurm(tmp_path, {"partition": "long"}).check(Needs())
    assert "partition long gives 10 min" in note


def test_check_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no sbatch here"):
        Slurm(tmp_path, {}).check(Needs())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'rlbench\[slurm\]'"):
        Slurm(tmp_path, {}).check(Needs())


def test_check_without_a_controller(state: Path, tmp_path: Path) -> None:
    (state / "down").touch()
    with pytest.raises(UsageError, match=r"controller does not answer: Slurmctld\(primary\) at here is DOWN"):
        Slurm(tmp_path, {}).check(Needs())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"array": "0-3"}, r"\[slurm\] array: rlbench asks sbatch for this itself"),
        ({"time": "soon"}, r"\[slurm\] time: must be a time such as 90 \(minutes\)"),
        ({"Part": "x"}, r"'Part': not a long option"),
        ({"signal_delay": 0}, r"signal_delay: must be a number of at least 1, got 0"),
        ({"qos": ""}, r"qos: must be a text of one line"),
        ({"constraint": {"a": 1}}, r"constraint: must be a text, a number"),
        ({"gres": ["gpu:1\ntouch it", "shard:1"]}, r"gres: must be a text of one line"),
        ({"setup": 3}, r"setup: must be lines of shell"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Slurm(tmp_path, settings)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("90:00", 90), ("0:30", 1), ("1:30:00", 90), ("1-12", 2160), ("1-12:30", 2190), ("1-0:0:1", 1441),
     ("infinite", 0)],
)  # fmt: skip
def test_times_of_slurm(text: str, minutes: int) -> None:
    assert queue.minutes(text) == minutes


@pytest.mark.parametrize(
    ("gres", "cards"),
    [("(null)", 0), ("gpu:4", 4), ("gpu:a100:4(S:0-1)", 4), ("gpu:a100:2(S:0),gpu:t4:2,nic:8", 4), ("shard:8", 0)],
)
def test_cards_of_a_node(gres: str, cards: int) -> None:
    assert queue._gpus(gres) == cards


def ends_like(cell: str, code: int) -> Any:
    """Equals an end of that cell with that code, whatever it held and wherever it was."""

    class Like:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, CellEnd) and other[:2] == (cell, code) and not other.said

    return Like()


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0
