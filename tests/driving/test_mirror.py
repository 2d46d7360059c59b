"""Tests of rlbench.driving.mirror: a sweep whose run folders are kept in a store."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command import mistake
from test_keeping import KEYS, _often  # noqa: F401  (checkpoints as often as asked)
from test_promises import assert_same_run

from rlbench.cells.attempt import FILE, Attempt, read_attempt, write_attempt
from rlbench.cells.order import Order
from rlbench.cells.perform import DONE, FAILED, FULL, perform
from rlbench.driving import mirror as module
from rlbench.driving.mirror import Mirror, checked_store
from rlbench.engines.engine import CellEnd
from rlbench.errors import StoreError, UsageError
from rlbench.recipe import Recipe
from rlbench.store.objects import Objects
from rlbench.store.store import Store


@pytest.fixture
def mirror(tmp_path: Path) -> Any:
    (tmp_path / "sweep" / "cells").mkdir(parents=True)
    said: list[str] = []
    with contextlib.closing(Mirror(f"file://{tmp_path}/store", tmp_path / "sweep", said.append)) as made:
        yield made
    assert said == []


def brought(mirror: Mirror, end: CellEnd) -> CellEnd:
    mirror.end(end)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if ended := mirror.ended():
            return ended[0]
        time.sleep(0.01)
    raise AssertionError("it never came down")


def carry_out(mirror: Mirror, name: str, folder: Path, attempt: int = 1) -> int:
    return perform(Order(name, str(folder), Recipe(**KEYS).content(), attempt, store=mirror.address(name)))


def test_a_cell_that_has_ended_comes_down_whole_and_its_store_is_tidied(mirror: Mirror, tmp_path: Path) -> None:
    assert mirror.attempts("a") == 0
    assert carry_out(mirror, "a", tmp_path / "machine", 3) == DONE
    assert mirror.attempts("a") == 3
    assert brought(mirror, CellEnd("a", DONE, peak=7)) == CellEnd("a", DONE, peak=7)
    assert_same_run(mirror.out / "cells" / "a", tmp_path / "machine")
    assert len(Store(mirror.address("a")).objects.sizes("manifests")) == 2
    other = tmp_path / "another driver"
    with contextlib.closing(Mirror(mirror.objects.address, other, print)) as second:
        second.gather(["a", "b"])
    assert_same_run(other / "cells" / "a", tmp_path / "machine")
    assert not (other / "cells" / "b").exists()


def test_a_cell_of_which_nothing_is_found_has_not_ended_well(mirror: Mirror) -> None:
    end = brought(mirror, CellEnd("a", DONE))
    assert end.code == FAILED
    assert "holds no run, though its cell has ended well" in end.said
    assert brought(mirror, CellEnd("a", None, "lost")) == CellEnd("a", None, "lost")


def test_a_state_without_a_run_is_not_called_done(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "gutted").mkdir()
    write_attempt(tmp_path / "gutted", Attempt(1, "done"))
    Store(mirror.address("a"), 1).up(tmp_path / "gutted")
    assert brought(mirror, CellEnd("a", DONE)).code == FAILED


def test_what_a_worker_on_this_machine_could_not_put_is_taken_from_its_folder(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    place = Path(Order("a", "", {}, store=mirror.address("a"), sweep=str(mirror.out)).placed().folder)
    place.mkdir(parents=True)
    write_attempt(place, Attempt(1, "failed", "no permission"))
    (place / "log.txt").write_text("no permission\n", encoding="utf-8")
    brought(mirror, CellEnd("a", 1))
    assert read_attempt(mirror.out / "cells" / "a") == Attempt(1, "failed", "no permission")
    assert (mirror.out / "cells" / "a" / "log.txt").read_text(encoding="utf-8") == "no permission\n"


def test_a_folder_that_cannot_be_written_fails_its_cell_alone(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    place = Path(Order("a", "", {}, store=mirror.address("a"), sweep=str(mirror.out)).placed().folder)
    place.mkdir(parents=True)
    write_attempt(place, Attempt(1, "failed", "no permission"))

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_text", full)
    end = brought(mirror, CellEnd("a", 1))
    assert end.code == FULL
    assert "No space left" in end.said


def test_what_cells_say_is_seen_while_they_are_at_work_and_not_afterwards(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)
    for name in ("a", "b"):
        write_attempt(tmp_path, Attempt(1, "running", env_steps=10))
        Store(mirror.address(name)).write_note(FILE, (tmp_path / FILE).read_bytes())
    Store(mirror.address("c")).write_note(FILE, b"{ half of one")
    mirror.follow("a")
    mirror.follow("c")
    until = time.monotonic() + 10
    while read_attempt(mirror.out / "cells" / "a") is None and time.monotonic() < until:
        time.sleep(0.01)
    assert read_attempt(mirror.out / "cells" / "a") == Attempt(1, "running", env_steps=10)
    brought(mirror, CellEnd("a", None))
    (mirror.out / "cells" / "a" / FILE).unlink()
    time.sleep(0.1)
    assert not (mirror.out / "cells" / "a" / FILE).exists()
    assert not (mirror.out / "cells" / "b").exists()
    assert not (mirror.out / "cells" / "c" / FILE).exists()


def test_a_defect_of_who_looks_at_cells_is_told_once_and_it_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)
    said: list[str] = []
    looks = []
    with contextlib.closing(Mirror(f"file://{tmp_path}/store", tmp_path / "sweep", said.append)) as mirror:
        get = mirror.objects.get

        def broken(name: str) -> bytes | None:
            looks.append(name)
            if len(looks) < 3:
                raise KeyError("ETag")
            return get(name)

        monkeypatch.setattr(mirror.objects, "get", broken)
        write_attempt(tmp_path, Attempt(1, "running", env_steps=10))
        Store(mirror.address("a")).write_note(FILE, (tmp_path / FILE).read_bytes())
        mirror.follow("a")
        until = time.monotonic() + 10
        while read_attempt(mirror.out / "cells" / "a") is None and time.monotonic() < until:
            time.sleep(0.01)
        assert read_attempt(mirror.out / "cells" / "a") == Attempt(1, "running", env_steps=10)
    why = "what cells at work say is not seen here: KeyError: 'ETag'. They go on; this is tried again."
    assert said == [why]


def test_what_a_cell_said_that_has_ended_meanwhile_is_not_written(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_attempt(tmp_path, Attempt(1, "running", env_steps=10))

    def late(name: str) -> bytes:
        mirror._followed.discard("a")
        return (tmp_path / FILE).read_bytes()

    monkeypatch.setattr(mirror.objects, "get", late)
    mirror._followed.add("a")
    mirror._look()
    assert read_attempt(mirror.out / "cells" / "a") is None


def test_a_driver_that_has_others_to_look_after_waits_but_a_few_seconds_for_an_answer(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience: list[float] = []

    def sizes(self: Objects, folder: str) -> dict[str, int]:
        patience.append(self.patience)
        return {}

    monkeypatch.setattr(Objects, "sizes", sizes)
    assert mirror.attempts("a") == 0
    assert patience == [module.ASKED]


def test_a_defect_where_a_folder_comes_down_fails_its_cell_alone(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Store, folder: Path) -> bool:
        raise KeyError("ETag")

    monkeypatch.setattr(Store, "down", broken)
    end = brought(mirror, CellEnd("a", DONE))
    assert (end.code, end.said) == (FAILED, f"it did not come down from {mirror.address('a')}: KeyError: 'ETag'")


def test_a_store_is_tried_before_anything_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_store(str(tmp_path / "store")) == f"file://{tmp_path}/store"
    with pytest.raises(UsageError, match=r"memory://a lies in the memory of one process"):
        checked_store("memory://a")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        checked_store(str(tmp_path / "file" / "store"))


FILE_TEXT = """
[base]
env = "CartPole-v1"
seeds = 2
total_steps = 2000
checkpoint_every = 100
eval_every = 0
final_eval_episodes = 0
track = "none"
[grid]
num_envs = [1, 2]
"""


@pytest.mark.slow
def test_a_sweep_with_a_store_ends_as_one_without_whoever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "sweep.toml").write_text(FILE_TEXT, encoding="utf-8")
    words = [sys.executable, "-m", "rlbench", "sweep", "sweep.toml", "--progress", "none"]
    subprocess.run([*words, "--out", "home"], check=True)
    kept = [*words, "--store", "store", "--out", "kept"]
    with subprocess.Popen(kept) as driver:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("store/*/manifests/*-000003-*")) and time.monotonic() < until:
            time.sleep(0.05)
        killed = [read_attempt(place) for place in tmp_path.glob("scratch/*/*/")]
        os.kill(next(one.process for one in killed if one is not None), signal.SIGKILL)
        time.sleep(1)
        driver.kill()
    other = [*words, "--store", "store", "--out", "other"]  # as of another machine
    subprocess.run(other, check=True)
    for cell in ("num_envs=1", "num_envs=2"):
        name = next(path.name for path in (tmp_path / "home" / "cells").glob(f"*{cell}"))
        assert_same_run(tmp_path / "other" / "cells" / name, tmp_path / "home" / "cells" / name, evaluated=False)
    attempts = [read_attempt(place) for place in (tmp_path / "other" / "cells").iterdir()]
    assert max(one.attempt for one in attempts if one is not None) > 1
    subprocess.run([*words, "--out", "other"], check=True)  # it knows its store
    for out, at in (("other", f"file://{tmp_path}/store"), ("home", "home/cells")):
        said = mistake("sweep", "sweep.toml", "--out", out, "--store", "elsewhere")
        assert f"{out} keeps its runs at {at}. Leave --store out" in said
