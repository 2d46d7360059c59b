"""The driver: what it makes of the ends of cells, by an engine whose cells end as a test says."""

import errno
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rlbench.cells.attempt import Attempt, write_attempt
from rlbench.cells.order import Order
from rlbench.driving import run as module
from rlbench.driving.driver import Driver
from rlbench.driving.prepare import Recipes, Trust
from rlbench.driving.resources import needs_of, time_limit_of
from rlbench.driving.run import SweepPlan, failed, run_sweep
from rlbench.engines.engine import CellEnd, Needs
from rlbench.errors import RunFolderError, StoreError, UsageError
from rlbench.rollout.signals import Interrupted, Interrupts
from rlbench.sweep.file import parse_file
from rlbench.sweep.folder import CELLS, open_sweep
from rlbench.sweep.index import CellState, Index

TEXT = '[base]\nenv = "FrozenLake-v1"\nagent = "random"\nseeds = 1\ntotal_steps = 100\n[grid]\nseed = [0, 1, 2]\n'


class Scripted:
    """An `Engine` of two cores. ``script`` says how each attempt ends: exit code, and env steps that it tells."""

    name = "scripted"

    def __init__(
        self,
        script: Callable[[Order], tuple[int | None, int]],
        taken: Mapping[str, int] | None = None,
        out: Path | None = None,
    ) -> None:
        self.script, self._taken, self.out = script, dict(taken or {}), out
        self.hand: list[Order] = []
        self.begun: list[tuple[str, int]] = []
        self.needs: list[Needs] = []
        self.waited: list[float] = []
        self.stopped: list[bool] = []
        self.most = self.closed = 0
        self.unsaid = False  # whether attempts end without a word

    def check(self, needs: Needs) -> list[str]:
        if needs.cpus > 2:
            raise UsageError("there are 2 cores")
        return []

    def taken(self) -> dict[str, int]:
        return self._taken

    def queued(self) -> set[str]:
        return set()

    def free(self, needs: Needs) -> int:
        return int(2 - len(self.hand)) if needs.cpus <= 2 else 0

    def begin(self, order: Order, needs: Needs) -> None:
        self.hand.append(order)
        self.begun.append((order.cell, order.attempt))
        self.needs.append(needs)
        self.most = max(self.most, len(self.hand))

    def wait(self, seconds: float) -> list[CellEnd]:
        self.waited.append(seconds)
        if self._taken:
            cell, attempt = self._taken.popitem()
            if self.out:
                (self.out / CELLS / cell).mkdir()
                write_attempt(self.out / CELLS / cell, Attempt(attempt, "done"))
            return [CellEnd(cell, 0)]
        if not self.hand:
            return []
        order = self.hand.pop(0)
        code, steps = self.script(order)
        folder = Path(order.folder)
        folder.mkdir(parents=True, exist_ok=True)
        stage = {0: "done", 1: "failed", 2: "refused"}.get(code or 0 if code is not None else -1, "running")
        if code is not None and code > 128:
            stage = "stopped"
        said = {"failed": "it broke", "refused": "it cannot", "stopped": "stopped by SIGTERM"}.get(stage, "")
        if self.unsaid:
            stage = "running"
        told = Attempt(order.attempt, stage, said, env_steps=steps, total_steps=100, seconds=1.0)  # type: ignore[arg-type]
        write_attempt(folder, told)
        said = "killed by SIGKILL" if code == -9 else "its node is gone" if code is None else ""
        return [CellEnd(order.cell, code, said, peak=1000)]

    def stop(self, *, insist: bool = False) -> None:
        self.stopped.append(insist)

    def close(self) -> None:
        self.closed += 1


class Quiet:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.looks: list[Mapping[str, CellState]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def look(self, states: Mapping[str, CellState]) -> None:
        self.looks.append(dict(states))


def drive(
    out: Path, engine: Scripted, text: str = TEXT, **how: int
) -> tuple[dict[str, CellState], Quiet, module.SweepEnd]:
    recipes, quiet = Recipes(parse_file(text, "x.toml"), Trust()), Quiet()
    end = run_sweep(SweepPlan(recipes, out, engine, Needs(0), ()), quiet, **how)
    states = {name.removeprefix("FrozenLake-v1_random_"): state for name, state in end.states.items()}
    return states, quiet, end


def test_every_cell_is_handed_over_once_and_no_more_at_a_time_than_there_is_room(tmp_path: Path) -> None:
    engine = Scripted(lambda order: (0, 100))
    states, quiet, end = drive(tmp_path, engine)
    assert {name: state.state for name, state in states.items()} == {f"seed={k}": "done" for k in range(3)}
    assert engine.begun == [(f"FrozenLake-v1_random_seed={k}", 1) for k in range(3)]
    assert (engine.most, engine.closed, failed(end)) == (2, 1, [])
    assert quiet.looks[-1] == end.states
    assert open_sweep(tmp_path).states() == {cell.name: end.states[cell.name] for cell in end.cells}
    again = Scripted(lambda order: (0, 100))
    drive(tmp_path, again)
    assert again.begun == []  # all of it is done


def test_what_an_earlier_attempt_said_is_not_told_of_a_later_one(tmp_path: Path) -> None:
    class Lossy(Scripted):
        def wait(self, seconds: float) -> list[CellEnd]:
            if self.hand and self.hand[0].attempt == 2:
                return [CellEnd(self.hand.pop(0).cell, None, "its node is gone")]
            return super().wait(seconds)

    states, _, _ = drive(tmp_path, Lossy(lambda order: (1, 50)), TEXT.replace("[0, 1, 2]", "[0]"), retries=1)
    assert (states["seed=0"].state, states["seed=0"].attempt) == ("failed", 2)
    assert states["seed=0"].message == "its node is gone"


def test_a_failure_is_tried_again_and_then_reported_while_the_others_go_on(tmp_path: Path) -> None:
    engine = Scripted(lambda order: (1, 50) if order.recipe["seed"] == 1 else (0, 100))
    states, _, end = drive(tmp_path, engine, retries=2)
    assert [attempt for cell, attempt in engine.begun if cell.endswith("seed=1")] == [1, 2, 3]
    assert (states["seed=1"].state, states["seed=1"].message, states["seed=1"].attempt) == ("failed", "it broke", 3)
    assert states["seed=1"].seconds == 3.0  # of all attempts
    assert {states["seed=0"].state, states["seed=2"].state} == {"done"}
    assert [cell.settings["seed"] for cell, _ in failed(end)] == [1]


def test_a_process_that_ends_well_before_its_run_does_has_failed(tmp_path: Path) -> None:
    """As where an agent, or a library that it takes, calls os._exit(0)."""
    engine = Scripted(lambda order: (0, 50))
    engine.unsaid = True
    states, _, _ = drive(tmp_path, engine, retries=1)
    assert {(state.state, state.attempt) for state in states.values()} == {("failed", 2)}
    assert {state.message for state in states.values()} == {"its process ended before its run did, with code 0"}


def test_a_wrong_request_is_not_tried_again(tmp_path: Path) -> None:
    engine = Scripted(lambda order: (2, 0) if order.recipe["seed"] == 1 else (0, 100))
    states, _, _ = drive(tmp_path, engine, retries=5)
    assert (states["seed=1"].state, states["seed=1"].attempt) == ("failed", 1)


@pytest.mark.parametrize("code", [None, -9, 143])
def test_a_cell_that_is_killed_goes_on_as_long_as_it_gets_further(tmp_path: Path, code: int | None) -> None:
    engine = Scripted(lambda order: (code, 10 * order.attempt) if order.attempt < 8 else (0, 100))
    states, _, _ = drive(tmp_path, engine, retries=1)
    assert {state.state for state in states.values()} == {"done"}
    assert {state.attempt for state in states.values()} == {8}


def test_a_cell_that_is_killed_at_one_place_again_and_again_fails(tmp_path: Path) -> None:
    states, _, _ = drive(tmp_path, Scripted(lambda order: (-9, 10)), retries=2)
    assert {state.state for state in states.values()} == {"failed"}
    assert {state.message for state in states.values()} == {"killed by SIGKILL"}
    assert {state.attempt for state in states.values()} == {4}  # the first one got further than none


def test_one_that_may_have_been_short_of_memory_is_reckoned_with_twice_as_much(tmp_path: Path) -> None:
    engine = Scripted(lambda order: (-9, 10) if order.attempt == 1 else (0, 100))
    drive(tmp_path, engine, TEXT.replace("[0, 1, 2]", "[0]"))
    assert [needs.memory for needs in engine.needs] == [0, 2000]


def test_a_disk_without_room_stops_the_sweep_with_one_line_and_it_goes_on(tmp_path: Path) -> None:
    full = Scripted(lambda order: (74, 10))
    with pytest.raises(RunFolderError, match=r"All cells were stopped\. Make room, then: rlbench sweep \S*x\.toml"):
        drive(tmp_path, full)
    assert full.stopped == [False]
    assert len(full.begun) == 2  # those that were in hand, and no more
    states, _, _ = drive(tmp_path, Scripted(lambda order: (0, 100)))
    assert {state.state for state in states.values()} == {"done"}


def test_an_index_that_cannot_be_written_stops_the_sweep_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Index.put

    def full(self: Index, changed: Iterable[tuple[str, CellState]]) -> None:
        put(self, changed)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Index, "put", full)
    engine = Scripted(lambda order: (143, 10))
    with pytest.raises(RunFolderError, match=r"cannot write .*cells\.csv: No space left on device\. All cells were"):
        drive(tmp_path, engine)
    assert (engine.stopped, len(engine.begun)) == ([False], 2)
    monkeypatch.setattr(Index, "put", put)
    states, _, _ = drive(tmp_path, Scripted(lambda order: (0, 100)))
    assert {state.state for state in states.values()} == {"done"}


def test_who_insists_kills_all_cells(tmp_path: Path) -> None:
    class Insisted(Scripted):
        def wait(self, seconds: float) -> list[CellEnd]:
            raise KeyboardInterrupt

    engine = Insisted(lambda order: (0, 100))
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path, engine)
    assert (engine.stopped, engine.closed) == ([True], 1)


def test_a_signal_stops_all_cells_and_the_next_command_goes_on(tmp_path: Path) -> None:
    def signalled(order: Order) -> tuple[int, int]:
        if order.recipe["seed"] == 0:
            signal.raise_signal(signal.SIGINT)
        return (143, 40) if order.recipe["seed"] else (0, 100)

    engine = Scripted(signalled)
    with pytest.raises(Interrupted, match="stopped; 1 of 3 cells are done") as raised:
        drive(tmp_path, engine)
    assert raised.value.exit_code == 130
    assert (engine.stopped, engine.closed) == ([False], 1)
    stages = {name[-1]: state.state for name, state in open_sweep(tmp_path).states().items()}
    assert stages == {"0": "done", "1": "stopped", "2": "waiting"}
    assert {state.message for state in open_sweep(tmp_path).states().values()} == {""}  # nothing is wrong with them
    again = Scripted(lambda order: (0, 100))
    drive(tmp_path, again)
    assert [attempt for _, attempt in again.begun] == [2, 1]


def test_cells_that_an_engine_has_in_hand_already_are_not_begun_again(tmp_path: Path) -> None:
    engine = Scripted(
        lambda order: (0, 100), taken={"FrozenLake-v1_random_seed=1": 3, "of another sweep": 1}, out=tmp_path
    )
    states, _, _ = drive(tmp_path, engine)
    assert sorted(engine.begun) == [("FrozenLake-v1_random_seed=0", 1), ("FrozenLake-v1_random_seed=2", 1)]
    assert (states["seed=1"].state, states["seed=1"].attempt) == ("done", 3)


def test_a_cell_that_asks_for_more_than_there_is_fails_alone(tmp_path: Path) -> None:
    text = TEXT + '[[cell]]\nname = "wide"\nseeds = 4\nworkers = 4\n'
    _, _, end = drive(tmp_path, Scripted(lambda order: (0, 100)), text)
    assert [(cell.name, state.message) for cell, state in failed(end)] == [("wide", "there are 2 cores")]


def test_a_combination_that_does_not_go_together_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = Recipes.recipe

    def refusing(self: Recipes, cell: object) -> object:
        if "seed=1" in cell.name:  # type: ignore[attr-defined]
            raise UsageError("seed: no")
        return recipes(self, cell)  # type: ignore[arg-type]

    monkeypatch.setattr(Recipes, "recipe", refusing)
    states, _, _ = drive(tmp_path, Scripted(lambda order: (0, 100)))
    assert (states["seed=1"].state, states["seed=1"].message) == ("failed", "seed: no")
    assert states["seed=2"].state == "done"


def test_a_sweep_has_one_driver(tmp_path: Path) -> None:
    def second(order: Order) -> tuple[int, int]:
        with pytest.raises(
            RunFolderError, match=r"is driven by another process already\. Look at it with: rlbench watch"
        ):
            drive(tmp_path, Scripted(lambda order: (0, 100)))
        return 0, 100

    drive(tmp_path, Scripted(second), TEXT.replace("[0, 1, 2]", "[0]"))


def test_the_index_may_be_lost(tmp_path: Path) -> None:
    _, _, end = drive(tmp_path, Scripted(lambda order: (1, 50) if order.recipe["seed"] == 1 else (0, 100)), retries=0)
    (tmp_path / "cells.csv").unlink()
    states = open_sweep(tmp_path).states()
    assert {n: s.state for n, s in states.items()} == {n: s.state for n, s in end.states.items()}
    assert [s.message for s in states.values()] == ["", "it broke", ""]
    (tmp_path / "cells.csv").write_bytes(b"\x00\xff, of a disk\nthat is broken\n")
    assert open_sweep(tmp_path).states() == states


def test_a_cell_that_is_killed_for_ever_ends_though_each_attempt_gains_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbench.driving.driver.KILLS", 3)
    engine = Scripted(lambda order: (-9, order.attempt))
    states, _, end = drive(tmp_path, engine, TEXT.replace("[0, 1, 2]", "[0]"), retries=1)
    assert (states["seed=0"].state, states["seed=0"].attempt) == ("failed", 6)
    assert states["seed=0"].message == "killed by SIGKILL, 6 times, each a little further than before"
    assert len(failed(end)) == 1


def test_an_attempt_that_failed_is_none_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbench.driving.driver.KILLS", 1)
    codes = {1: 1, 2: -9, 3: 0}
    engine = Scripted(lambda order: (codes[order.attempt], 10 * order.attempt))
    states, _, _ = drive(tmp_path, engine, TEXT.replace("[0, 1, 2]", "[0]"), retries=1)
    assert (states["seed=0"].state, states["seed=0"].attempt) == ("done", 3)


class Moody:
    """A `Mirror` whose store answers the questions for the numbers of attempts, or does not."""

    def __init__(self, answers: Callable[[str], int]) -> None:
        self.attempts = answers
        self._ended: list[CellEnd] = []

    def address(self, name: str) -> str:
        return f"file:///nowhere/{name}"

    def follow(self, name: str) -> None: ...

    def end(self, end: CellEnd) -> None:
        self._ended.append(end)

    def ended(self) -> list[CellEnd]:
        ended, self._ended = self._ended, []
        return ended


class Placed(Scripted):
    """Its cells' folders come down at once."""

    def begin(self, order: Order, needs: Needs) -> None:
        assert self.out
        super().begin(order._replace(folder=str(self.out / CELLS / order.cell)), needs)


def driver_with(tmp_path: Path, engine: Placed, mirror: Moody, quiet: Quiet) -> Driver:
    recipes = Recipes(parse_file(TEXT, "x.toml"), Trust())
    index = Index(tmp_path)
    index.begin({cell.name: CellState() for cell in recipes.cells})
    how: Any = {"needs": Needs(0), "retries": 0, "mirror": mirror, "onlooker": quiet}
    return Driver(recipes, tmp_path, engine, index, **how)


def test_a_store_that_is_silent_for_a_while_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbench.driving.line.ASK_AGAIN", 0.01)
    asked: Counter[str] = Counter()

    def moody(name: str) -> int:
        asked[name] += 1
        if name.endswith("seed=1") and asked[name] < 4:
            raise StoreError("cannot list s3://there: no answer within 5 s.")
        return 4

    engine, quiet = Placed(lambda order: (0, 100), out=tmp_path), Quiet()
    with Interrupts() as interrupts:
        driver = driver_with(tmp_path, engine, Moody(moody), quiet)
        driver.run(interrupts)
    driver.index.end()
    assert {state.state for state in driver.states.values()} == {"done"}
    assert [attempt for _, attempt in engine.begun] == [5, 5, 5]
    assert quiet.notes == [
        "cannot list s3://there: no answer within 5 s. No further cell begins until it answers; those at work go on.",
        "the store answers again",
    ]


def test_a_store_that_stays_silent_ends_the_sweep_in_order_once_nothing_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ASK_AGAIN", "SILENT"):
        monkeypatch.setattr(f"rlbench.driving.line.{name}", 0.01)

    def silent(name: str) -> int:
        if name.endswith("seed=0"):
            return 0
        raise StoreError("cannot list s3://there: no answer within 5 s.")

    def by_a_store(out: Path, address: str, note: object) -> Moody:
        mirror: Any = Moody(silent)
        mirror.gather, mirror.close = lambda names: None, lambda: None
        return mirror  # type: ignore[no-any-return]

    monkeypatch.setattr(module, "Mirror", by_a_store)
    recipes, quiet = Recipes(parse_file(TEXT, "x.toml"), Trust()), Quiet()
    engine = Placed(lambda order: (0, 100), out=tmp_path)
    with pytest.raises(StoreError, match=r"within 5 s\. All that was done is kept\. Once it answers: rlbench sweep"):
        run_sweep(SweepPlan(recipes, tmp_path, engine, Needs(0), (), "s3://there"), quiet)
    assert {name[-1]: state.state for name, state in open_sweep(tmp_path).states().items()} == {
        "0": "done", "1": "waiting", "2": "waiting",
    }  # fmt: skip
    assert (engine.closed, len(quiet.notes)) == (1, 1)
    assert 0 not in engine.waited  # it does not keep a core busy meanwhile


@pytest.mark.parametrize("memory", ["1.2.3 GiB", ".", "GiB", "4 PiB", "-1", "9999999999 TiB", -1, True, []])
def test_memory_that_is_none_is_one_line(memory: object) -> None:
    with pytest.raises(UsageError, match=r"^x.toml: \[resources\] memory: must be bytes, or a text such as") as e:
        needs_of({"memory": memory}, "x.toml")
    assert str(memory) in str(e.value)


def test_memory_with_its_unit_in_any_letters() -> None:
    found = [needs_of({"memory": text}, "x").memory for text in ("1.5 KiB", "2g", "3.M", ".5K", "7", 8)]
    assert found == [1536, 2 << 30, 3 << 20, 512, 7, 8]
    for wrong in (-1, 10_000, float("nan"), "two"):
        with pytest.raises(
            UsageError, match=r"x: \[resources\] cpus: must be a number, 0 or more and below 10,000, got"
        ):
            needs_of({"cpus": wrong}, "x")


def test_a_cell_whose_time_limit_had_to_kill_it_has_failed_however_far_it_got(tmp_path: Path) -> None:
    limits: list[float] = []

    def hangs(order: Order) -> tuple[int, int]:
        limits.append(order.time_limit)
        return -signal.SIGALRM, 10 * order.attempt

    engine = Scripted(hangs)
    recipes = Recipes(parse_file(TEXT.replace("[0, 1, 2]", "[0]"), "x.toml"), Trust())
    end = run_sweep(SweepPlan(recipes, tmp_path, engine, Needs(0), (), time_limit=90.0), Quiet(), retries=1)
    ((_, state),) = failed(end)
    assert state.attempt == 2
    assert state.message == "its time limit of 1m30s came, and it could not save: killed"
    assert limits == [90, 90]


def test_an_alarm_of_a_cell_without_a_time_limit_is_its_own(tmp_path: Path) -> None:
    engine = Scripted(lambda order: (-signal.SIGALRM, 10 * order.attempt) if order.attempt < 4 else (0, 100))
    states, quiet, _ = drive(tmp_path, engine, TEXT.replace("[0, 1, 2]", "[0]"), retries=1)
    assert (states["seed=0"].state, states["seed=0"].attempt) == ("done", 4)  # each got further
    assert not any("time limit" in state.message for look in quiet.looks for state in look.values())


def test_a_time_limit_has_a_unit() -> None:
    assert [time_limit_of({"time_limit": text}, "x") for text in ("90s", "1.5h", "2d")] == [90, 5400, 172800]
    assert time_limit_of({}, "x") == 0
    for wrong in (90, True, "90", "2 weeks", "-1h"):
        with pytest.raises(UsageError, match=r'x: \[resources\] time_limit: must be a time such as "90m"'):
            time_limit_of({"time_limit": wrong}, "x")


def test_cells_in_a_queue_of_the_engines_own_are_told_as_queued_until_they_speak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOOK", 0.0), ("SHARE", 1e9)):  # looks at every turn
        monkeypatch.setattr(f"rlbench.driving.driver.{name}", value)
    name = "FrozenLake-v1_random_seed=0"

    class Queueing(Scripted):
        """Its one cell waits, begins, is put back into the queue, goes on and ends."""

        turns = 0

        def queued(self) -> set[str]:
            return {order.cell for order in self.hand} if self.turns not in (4, 5) else set()

        def wait(self, seconds: float) -> list[CellEnd]:
            self.turns += 1
            folder = tmp_path / CELLS / name
            folder.mkdir(exist_ok=True)
            if self.turns == 2:
                write_attempt(folder, Attempt(1, "running", env_steps=5))
            if self.turns == 6:
                write_attempt(folder, Attempt(1, "stopped", env_steps=9))
            if self.turns == 8:
                write_attempt(folder, Attempt(1, "done", env_steps=100))  # of which the engine knows nothing yet
            return super().wait(seconds) if self.turns == 10 else []

    _, quiet, _ = drive(tmp_path, Queueing(lambda order: (0, 100)), TEXT.replace("[0, 1, 2]", "[0]"))
    seen = [look[name].state for look in quiet.looks]
    assert [state for i, state in enumerate(seen) if state not in seen[max(i - 1, 0) : i]] == [
        "queued", "running", "queued", "running", "done",
    ]  # fmt: skip
    rows = [line.split(",")[1] for line in (tmp_path / "cells.csv").read_text().splitlines()[1:]]
    assert rows == ["waiting", "queued", "running", "queued", "running", "done"]


def test_what_the_attempt_before_said_takes_none_out_of_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOOK", 0.0), ("SHARE", 1e9)):  # looks at every turn
        monkeypatch.setattr(f"rlbench.driving.driver.{name}", value)

    class Queueing(Scripted):
        """Its second attempt waits for some turns."""

        turns = 0

        def queued(self) -> set[str]:
            return {order.cell for order in self.hand if order.attempt == 2}

        def wait(self, seconds: float) -> list[CellEnd]:
            self.turns += bool(self.queued())
            return [] if 0 < self.turns < 4 else super().wait(seconds)

    engine = Queueing(lambda order: (order.attempt % 2, 5 * order.attempt))
    _, quiet, _ = drive(tmp_path, engine, TEXT.replace("[0, 1, 2]", "[0]"))
    seen = [state.state for look in quiet.looks for state in look.values() if state.attempt == 2]
    assert seen == ["queued", "queued", "queued", "done", "done"]
