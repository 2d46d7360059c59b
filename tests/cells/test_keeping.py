"""Tests of rlbench.cells.keeping: a cell whose folder is kept in a store, on machines that share nothing else."""

import signal
from pathlib import Path
from typing import Any

import pytest
from test_promises import SMALL, assert_same_run

from rlbench.cells.attempt import FILE, Attempt, parse_attempt
from rlbench.cells.keeping import Keeping
from rlbench.cells.order import Order
from rlbench.cells.perform import perform
from rlbench.errors import Overtaken, StoreError
from rlbench.recipe import Recipe
from rlbench.store.objects import Objects
from rlbench.store.store import Store
from rlbench.training import session

KEYS: dict[str, Any] = {
    "env": "CartPole-v1", "device": "cpu", "seeds": 2, "num_envs": 2, "total_steps": 600, "eval_every": 200,
    "eval_episodes": 2, "log_every": 20, "final_eval_episodes": 2, "checkpoint_every": 100, "track": "none",
    "hyper": {**SMALL, "hidden": (16,)},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints as often as asked, whatever they cost."""
    monkeypatch.setattr("rlbench.runfolder.checkpoints.SAVE_SHARE", 1e9)
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)


def order(folder: Path, attempt: int = 1) -> Order:
    """Of a machine of its own, whose folder is ``folder``; all have one store."""
    return Order("cell", str(folder), Recipe(**KEYS).content(), attempt, store=f"file://{folder.parent}/store")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cell without a store, never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert perform(order(folder)._replace(store="")) == 0
    return folder


def told(store: Store) -> Attempt:
    found = parse_attempt((store.read_note(FILE) or b"").decode())
    assert found is not None
    return found


def lose(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Lose the machine at checkpoint ``at``, in the middle of its way up: nothing is saved or told any more."""
    real, calls = Store.up, iter(range(1000))

    def up(self: Store, folder: Path) -> Any:
        if next(calls) >= at:
            raise KeyboardInterrupt
        return real(self, folder)

    monkeypatch.setattr(Store, "up", up)


def test_a_lost_machine_costs_the_steps_since_its_last_checkpoint(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        lose(patched, 3)
        with pytest.raises(KeyboardInterrupt):  # at the end, too
            perform(order(tmp_path / "lost"))
    store = Store(f"file://{tmp_path}/store")
    assert store.down(tmp_path / "looked")
    assert "300" in (tmp_path / "looked" / FILE).read_text(encoding="utf-8")
    assert told(store).state == "running"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log.txt").write_text("== attempt 2\n", encoding="utf-8")
    assert perform(order(tmp_path / "other", 2)) == 0
    assert_same_run(tmp_path / "other", whole)
    assert (told(store).attempt, told(store).state) == (2, "done")
    assert store.down(tmp_path / "brought")
    assert_same_run(tmp_path / "brought", whole)
    assert perform(order(tmp_path / "third", 3)) == 0  # it is done already
    assert_same_run(tmp_path / "third", whole)


def test_a_store_changes_nothing_that_is_learned(tmp_path: Path, whole: Path) -> None:
    assert perform(order(tmp_path / "run")) == 0
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
def test_stopped_it_is_in_the_store_and_goes_on_elsewhere(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Keeping.saved, iter(range(1000))

    def saved(self: Keeping) -> None:
        real(self)
        if next(calls) == 1:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Keeping, "saved", saved)
        assert perform(order(tmp_path / "run")) == 128 + signal.SIGTERM
    store = Store(f"file://{tmp_path}/store")
    assert told(store).state == "stopped"
    assert perform(order(tmp_path / "other", 2)) == 0
    assert_same_run(tmp_path / "other", whole)


def test_a_store_that_is_away_for_a_while_stops_no_run(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = Store.up, iter(range(1000))

    def up(self: Store, folder: Path) -> Any:
        if 1 <= next(calls) <= 3:
            raise StoreError("cannot write s3://bucket/a: nobody answers.")
        return real(self, folder)

    monkeypatch.setattr(Store, "up", up)
    assert perform(order(tmp_path / "run")) == 0
    said = capsys.readouterr().out
    assert said.count("nobody answers. The run goes on, and brings its folder up at a later checkpoint.") == 1
    assert said.count("in step now") == 1
    assert Store(f"file://{tmp_path}/store").down(tmp_path / "brought")
    assert_same_run(tmp_path / "brought", whole)


@pytest.mark.slow
def test_a_store_that_is_away_at_the_end_is_a_failure_and_a_later_attempt_ends_well(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        real, calls = Store.up, iter(range(1000))

        def up(self: Store, folder: Path) -> Any:
            if next(calls) >= 2:
                raise StoreError("cannot write s3://bucket/a: nobody answers.")
            return real(self, folder)

        patched.setattr(Store, "up", up)
        assert perform(order(tmp_path / "run")) == 1
    assert "nobody answers" in capsys.readouterr().out
    assert perform(order(tmp_path / "other", 2)) == 0
    assert_same_run(tmp_path / "other", whole)


def test_who_is_overtaken_ends_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = Keeping.saved, iter(range(1000))
    store, seen = Store(f"file://{tmp_path}/store"), []

    def saved(self: Keeping) -> None:
        if next(calls) == 2:
            later = Store(store.address, 2)
            assert later.down(tmp_path / "later")
            later.write_note(FILE, b"of attempt 2")
            seen.append(store.newest())
        real(self)

    monkeypatch.setattr(Keeping, "saved", saved)
    assert perform(order(tmp_path / "run")) == 1
    assert "attempt 2 has taken this run over" in capsys.readouterr().out
    assert store.newest() == seen[0]
    assert store.read_note(FILE) == b"of attempt 2"
    (tmp_path / "late").mkdir()
    with pytest.raises(Overtaken):
        Keeping(order(tmp_path / "late")).down()


def test_a_folder_that_somebody_has_emptied_takes_the_place_of_no_state(tmp_path: Path) -> None:
    assert perform(order(tmp_path / "run")) == 0
    store = Store(f"file://{tmp_path}/store")
    state = store.newest()
    assert state is not None
    keeping = Keeping(order(tmp_path / "run", 2))
    keeping.down()
    state = store.newest()
    (tmp_path / "run" / "recipe.toml").unlink()
    for bring_up in (keeping.saved, keeping.end, lambda: keeping.end(done=True)):
        with pytest.raises(StoreError, match=r"has lost recipe\.toml while this run was at work"):
            bring_up()
    assert store.newest() == state
    fresh = Keeping(order(tmp_path / "fresh")._replace(store=f"file://{tmp_path}/new"))
    (tmp_path / "fresh").mkdir()
    with pytest.raises(StoreError, match="has lost"):
        fresh.end(done=True)
    fresh.end()  # it never came to its run, and its log tells why
    assert Store(f"file://{tmp_path}/new").newest() is not None


def test_logs_of_all_attempts_stay_together(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        folder = tmp_path / f"machine {attempt % 2}"  # the third is on the first's again
        folder.mkdir(exist_ok=True)
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"== attempt {attempt}\n")
            log.flush()
            keeping = Keeping(order(folder, attempt)._replace(store=f"file://{tmp_path}/store"))
            (folder / "recipe.toml").touch()
            keeping.down()
            log.write(f"end of {attempt}\n")
        keeping.end()
    expected = "".join(f"== attempt {k}\nend of {k}\n" for k in (1, 2, 3))
    assert (Store(f"file://{tmp_path}/store").read_file("log.txt") or b"").decode() == expected


def test_a_bad_address_is_refused_before_anything_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(order(tmp_path / "run")._replace(store="nothing://a/b")) == 2
    assert "fsspec knows no protocol 'nothing'" in capsys.readouterr().out
    assert not (tmp_path / "run" / "checkpoint.pth").exists()


def test_training_does_not_wait_for_what_is_told_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    keeping, free, put = Keeping(order(tmp_path / "run")), threading.Event(), list[str]()

    def slow(self: Objects, name: str, data: bytes) -> None:
        free.wait(10)
        put.append(name)

    monkeypatch.setattr(Objects, "put", slow)
    monkeypatch.setattr("rlbench.cells.keeping.NOTES", 0.0)
    for _ in range(5):
        keeping.tell(FILE, b"1")
    assert put == []
    free.set()
    assert keeping._telling.wait(10)
    assert put == [FILE]
