"""Tests of rlbench.store.store: what goes up comes down, whoever is killed when, and whoever else is at work."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlbench import files
from rlbench.errors import Overtaken, UsageError
from rlbench.store import store as module
from rlbench.store.manifest import Manifest
from rlbench.store.objects import Objects
from rlbench.store.pieces import PIECE
from rlbench.store.store import Store
from rlbench.store.tidy import Tidy
from rlbench.store.uploads import PACK


@pytest.fixture(params=["memory", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Places that give no more than S3 does: what is put is there whole, and listed."""
    return f"memory://{request.node.name}-{os.getpid()}" if request.param == "memory" else f"file://{tmp_path}/objects"


class Killed(BaseException):
    """As of a process that is killed: nothing is put right behind it."""


def noise(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def checkpoint(folder: Path, step: int, replay: int = 3000) -> None:
    """What a run leaves at a checkpoint: some files new, some longer, some as before; ``step`` is 1, 2, ..."""
    (folder / "journal").mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text("seeds = 2\n", encoding="utf-8")
    older = folder / "checkpoints" / str(step - 1)
    if (folder / "checkpoint.pth").exists():
        older.mkdir(parents=True)
        for name in ("checkpoint.pth", "replay.pth"):
            os.link(folder / name, older / name)
            (folder / name).unlink()
        gone = folder / "checkpoints" / str(step - 2)
        for path in gone.glob("*"):
            path.unlink()
        if gone.exists():
            gone.rmdir()
    (folder / "checkpoint.pth").write_bytes(noise(500, step))
    (folder / "replay.pth").write_bytes(noise(replay, 1000 + step))
    for seed in range(2):
        with (folder / "journal" / f"{seed}.bin").open("ab") as file:
            file.write(noise(200, 10 * step + seed))
    with (folder / "episodes.csv").open("a", encoding="utf-8") as rows:
        rows.write(f"{step},{step},{step}\n" * 20)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def brought(address: str, folder: Path) -> dict[str, bytes] | None:
    """What who only looks on is given."""
    return content(folder) if Store(address).down(folder) else None


def test_what_goes_up_comes_down(address: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    checkpoint(run, 1, replay=2 * PIECE + 5)
    (run / "a file, größer").write_bytes(noise(PIECE, 0))
    (run / "empty").touch()
    expected = content(run)
    (run / ".lock").write_text("1", encoding="utf-8")
    (run / ".a.0123abcd.tmp").touch()
    assert not Store(address).down(tmp_path / "before")
    assert Store(address).newest() is None
    assert not (tmp_path / "before").exists()
    done = Store(address, 1).up(run)
    assert (done.files, done.nbytes, done.sent) == (len(expected), sum(map(len, expected.values())), done.nbytes)
    for place in ("other", "other"):  # the second time all of it is there
        assert brought(address, tmp_path / place) == expected


def test_a_folder_that_holds_something_else_is_made_equal(address: str, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    checkpoint(run, 1)
    Store(address, 1).up(run)
    expected = content(run)
    for step in (1, 2, 3):
        checkpoint(run, step + 1)
        checkpoint(other, step, replay=50)
    (other / "summary.json").write_text("{}", encoding="utf-8")
    (other / "log.txt").write_text("mine", encoding="utf-8")
    (other / ".episodes.csv.0123abcd.tmp").touch()
    assert Store(address).down(other, keep=("log.txt", "attempt.json"))
    assert content(other) == {**expected, "log.txt": b"mine"}
    assert not (other / "checkpoints").exists()
    assert brought(address, run) == expected  # whose own files are longer


def test_what_a_cell_is_taken_by_comes_down_last(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("attempt.json", "summary.json", "checkpoint.pth", "zzz.csv"):
        (tmp_path / "ours").mkdir(exist_ok=True)
        (tmp_path / "ours" / name).write_text(name)
    Store(address, 1).up(tmp_path / "ours")
    came: list[str] = []
    replace = os.replace
    monkeypatch.setattr(
        "os.replace", lambda source, target: (came.append(Path(target).name), replace(source, target))[1]
    )
    assert Store(address).down(tmp_path / "theirs")
    assert came == ["zzz.csv", "checkpoint.pth", "summary.json", "attempt.json"]


def test_only_what_is_new_goes_up(address: str, tmp_path: Path) -> None:
    run, store = tmp_path / "run", Store(address, 1)
    checkpoint(run, 1, replay=5 * PIECE + 100)
    store.up(run)
    assert store.up(run)[2:4] == (0, 0)
    os.utime(run / "replay.pth")
    assert store.up(run)[2:4] == (0, 0)  # looked at, and found to be as it was
    with (run / "journal" / "0.bin").open("ab") as file:
        file.write(noise(50, 9))
    assert store.up(run)[2:4] == (50, 2)  # an object and a manifest
    with (run / "replay.pth").open("r+b") as file:
        file.seek(2 * PIECE + 3)
        file.write(b"new")
    assert store.up(run).sent == PIECE
    expected = content(run)
    checkpoint(run, 2, replay=0)  # the older pair needs no second place
    grown = (200 + 50 + 200) + (200 + 200) + (120 + 120)  # journals and episodes, each with what is no larger
    assert store.up(run).sent == 500 + grown
    assert content(run)["checkpoints/1/replay.pth"] == expected["replay.pth"]
    assert brought(address, tmp_path / "other") == content(run)
    again = Store(address, 2)  # in another process, of a folder that came down
    again.down(tmp_path / "other")
    assert again.up(tmp_path / "other").sent == 0


def test_a_file_that_is_gone_again_is_left_out(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    checkpoint(run, 1)
    real = module.files_of
    monkeypatch.setattr(module, "files_of", lambda folder: [("tb/gone", folder / "tb" / "gone"), *real(folder)])
    Store(address, 1).up(run)
    monkeypatch.undo()
    assert brought(address, tmp_path / "other") == content(run)


def test_a_file_that_grows_often_comes_down_in_few_pieces(address: str, tmp_path: Path) -> None:
    run, store = tmp_path / "run", Store(address, 1, grace=0.0)
    run.mkdir()
    for k in range(40):
        with (run / "episodes.csv").open("ab") as file:
            file.write(noise(100, k))
        store.up(run)
    state = store.newest()
    assert state is not None
    assert len(state.files["episodes.csv"].pieces) <= 6
    assert len(store.objects.sizes("objects")) <= 7
    assert brought(address, tmp_path / "other") == content(run)


def killing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int) -> None:
    """Let the process be killed at call ``at`` of ``owner.name``, before anything comes of it."""
    calls, real = iter(range(10**6)), getattr(owner, name)

    def act(*args: Any, **more: Any) -> Any:
        if next(calls) >= at:
            raise Killed
        return real(*args, **more)

    monkeypatch.setattr(owner, name, act)


def rounds(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], object]) -> Iterator[int]:
    """Do ``act``, killed at one call of ``owner.name`` after the other, until it comes to its end."""
    for at in range(1000):
        with monkeypatch.context() as patched:
            killing(patched, owner, name, at)
            try:
                act()
            except Killed:
                yield at
                continue
        return
    raise AssertionError("it never ended")


def test_killed_at_any_moment_of_going_up(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    checkpoint(run, 1, replay=PIECE)
    Store(address, 1).up(run)
    before = content(run)
    checkpoint(run, 2, replay=2 * PACK + 300)
    (run / "film.mp4").write_bytes(noise(2**20, 7))
    kills = 0
    for kills in rounds(monkeypatch, Objects, "put", lambda: Store(address, 1).up(run)):  # noqa: B007
        assert brought(address, tmp_path / "other") == before
    assert kills >= 3
    assert brought(address, tmp_path / "other") == content(run)


def test_killed_at_any_moment_of_coming_down(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is fetched the folder stays as it was; killed while files take their places, it comes right again."""
    run, other = tmp_path / "run", tmp_path / "other"
    checkpoint(run, 1)
    (run / "summary.json").write_text("{}", encoding="utf-8")
    store = Store(address, 1)
    store.up(run)
    Store(address).down(other)
    before = content(other)
    (run / "summary.json").unlink()
    checkpoint(run, 2, replay=2 * PACK)
    store.up(run)
    monkeypatch.setattr(files.os, "unlink", os.unlink)
    kills = 0
    for kills in rounds(monkeypatch, Objects, "get", lambda: Store(address).down(other)):  # noqa: B007
        assert {name: data for name, data in content(other).items() if ".tmp" not in name} == before
    assert kills >= 3
    assert content(other) == content(run)
    checkpoint(run, 3)
    (run / "summary.json").write_text("{ }", encoding="utf-8")
    store.up(run)
    for kills in rounds(monkeypatch, files.os, "replace", lambda: Store(address).down(other)):
        assert not (other / "summary.json").exists()  # it speaks of all the others
        assert kills < 10
    assert content(other) == content(run)


def damages(store: Store, state: Manifest) -> list[Callable[[], None]]:
    """Ways to damage a state, by what it alone needs."""
    name, data = state.written()
    first = min(one for one in state.objects if str(state.generation) in one)
    whole = store.objects.get(f"objects/{first}")
    assert whole is not None
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    return [
        lambda: store.objects.remove([f"objects/{first}"]),
        lambda: store.objects.put(f"objects/{first}", whole[:-1]),
        lambda: store.objects.put(f"objects/{first}", flipped),
        lambda: store.objects.put(f"manifests/{name}", data[:-9]),
        lambda: store.objects.put(f"manifests/{name}", b""),
    ]


@pytest.mark.parametrize("way", range(5))
def test_a_damaged_state_is_passed_over_and_told(address: str, way: int, tmp_path: Path) -> None:
    run, store, said = tmp_path / "run", Store(address, 1), list[str]()
    checkpoint(run, 1)
    store.up(run)
    before = content(run)
    checkpoint(run, 2)
    store.up(run)
    state = store.newest()
    assert state is not None
    damages(store, state)[way]()
    later = Store(address, 2, note=said.append)
    assert later.down(tmp_path / "other")
    assert content(tmp_path / "other") == before
    assert len(said) == 1
    assert "the state of attempt 1, sync 2 is damaged: " in said[0]
    checkpoint(tmp_path / "other", 2)
    later.up(tmp_path / "other")
    assert brought(address, tmp_path / "third") == content(tmp_path / "other")


def test_where_nothing_is_whole_the_folder_stays_and_that_is_told(address: str, tmp_path: Path) -> None:
    run, store, said = tmp_path / "run", Store(address, 1), list[str]()
    checkpoint(run, 1)
    store.up(run)
    store.objects.remove([f"objects/{name}" for name in store.objects.sizes("objects")])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").touch()
    later = Store(address, 2, note=said.append)
    assert not later.down(tmp_path / "other")
    assert "no state there is whole" in said[-1]
    assert content(tmp_path / "other") == {"mine": b""}
    assert Store(address).newest() is None
    later.up(run)  # begins anew, with nothing that is gone taken for known
    assert brought(address, tmp_path / "third") == content(run)


def test_a_later_attempt_wins_whatever_an_earlier_one_still_does(address: str, tmp_path: Path) -> None:
    lost, first = tmp_path / "lost", Store(address, 1)
    checkpoint(lost, 1)
    first.up(lost)
    second, run = Store(address, 2), tmp_path / "run"
    assert second.down(run)
    checkpoint(lost, 2)
    with pytest.raises(Overtaken, match=r"attempt 2 has taken this run over.*This process, of attempt 1, ends here"):
        first.up(lost)
    assert brought(address, tmp_path / "seen") == content(run)
    checkpoint(run, 2, replay=77)
    second.up(run)
    # The lost one had looked before the second came: its manifest comes late, and counts for nothing.
    assert first._mine is not None
    first._put_manifest(dict(first._base.files) if first._base else {})
    assert brought(address, tmp_path / "seen") == content(run)
    with pytest.raises(Overtaken):
        Store(address, 1).down(tmp_path / "late")
    assert not (tmp_path / "late").exists()


def test_of_one_attempt_who_comes_last_wins(address: str, tmp_path: Path) -> None:
    """As of a job that is queued again, while a node that was taken for lost goes on."""
    run, first = tmp_path / "run", Store(address, 1)
    checkpoint(run, 1)
    first.up(run)
    second = Store(address, 1)
    assert second.down(tmp_path / "other")
    with pytest.raises(Overtaken, match="another process has taken this run over"):
        first.up(run)
    checkpoint(tmp_path / "other", 2)
    second.up(tmp_path / "other")
    assert brought(address, tmp_path / "seen") == content(tmp_path / "other")


def test_two_that_open_it_at_once_leave_the_whole_state_of_one(address: str, tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    stores = [Store(address, 1), Store(address, 1)]
    for store, place in zip(stores, places, strict=True):
        store._enter([])  # none sees the other
        checkpoint(place, 1, replay=100 + len(place.name))
    refused = []
    for step in (2, 3):
        for store, place in zip(stores, places, strict=True):
            checkpoint(place, step, replay=100 * step + ord(place.name))
            try:
                store.up(place)
            except Overtaken:
                refused.append(place)
    assert set(refused) <= {places[0]} or set(refused) <= {places[1]}
    assert refused
    (wins,) = set(places) - set(refused)
    assert brought(address, tmp_path / "seen") == content(wins)


def test_what_nobody_needs_is_removed_after_a_while(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, now = tmp_path / "run", [0.0]
    monkeypatch.setattr("rlbench.store.tidy.time.monotonic", lambda: now[0])
    store = Store(address, 1, grace=100.0)
    seen = []
    for step in range(1, 12):
        checkpoint(run, step)
        now[0] += 30
        store.up(run)
        seen.append(len(store.objects.sizes("manifests")))
        assert brought(address, tmp_path / "seen") == content(run)
    assert max(seen) <= 8  # two that count, and those of the last 100 to 150 seconds
    assert max(seen) > 3  # which who reads them may need still
    assert len(store.objects.sizes("objects")) <= 12
    store.tidy()
    assert len(store.objects.sizes("manifests")) == 2
    assert brought(address, tmp_path / "seen") == content(run)
    named = {name for one in store.objects.sizes("manifests")
             for name in Manifest.read(one, store.objects.get(f"manifests/{one}")).objects}  # fmt: skip
    assert store.objects.sizes("objects").keys() == named


def test_what_a_killed_worker_left_goes_and_what_a_later_one_is_at_stays(address: str, tmp_path: Path) -> None:
    run, store = tmp_path / "run", Store(address, 2)
    store.objects.put("objects/0001-0001-0123abcd-000004-1", b"of one that was killed")
    store.objects.put("objects/0003-0001-0123abcd-000001-1", b"on its way")
    if address.startswith("file"):
        Path(address.removeprefix("file://"), "objects", ".0001-0001-0123abcd-000004-2.89abcdef.tmp").touch()
    checkpoint(run, 1)
    store.up(run)
    Tidy(store.objects, 0.0).now(store._mine)  # type: ignore[arg-type]
    left = [name for name in store.objects.sizes("objects") if "0002" not in name]
    assert left == ["0003-0001-0123abcd-000001-1"]


def test_no_state_names_what_is_gone_while_things_are_removed(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, store = tmp_path / "run", Store(address, 1)
    for step in (1, 2, 3, 4):
        checkpoint(run, step, replay=PACK)
        store.up(run)
    remove, gone = Objects.remove, list[str]()

    def removed(self: Objects, names: Iterable[str]) -> None:
        names = list(names)
        gone.extend(names)
        remove(self, names)
        for name in store.objects.sizes("manifests"):
            named = Manifest.read(name, store.objects.get(f"manifests/{name}")).objects
            assert named.keys() <= store.objects.sizes("objects").keys()

    monkeypatch.setattr(Objects, "remove", removed)
    store.tidy()
    assert {name.partition("/")[0] for name in gone} == {"manifests", "objects"}


def test_a_link_in_the_folder_leads_nothing_out_of_it(address: str, tmp_path: Path) -> None:
    run, said = tmp_path / "run", list[str]()
    checkpoint(run, 1)
    Store(address, 1).up(run)
    (tmp_path / "outside").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "journal").symlink_to(tmp_path / "outside")
    assert not Store(address, note=said.append).down(tmp_path / "theirs")
    assert list((tmp_path / "outside").iterdir()) == []
    assert "would lie outside the folder" in said[0]


def test_who_reads_a_state_that_is_removed_meanwhile_gets_the_newer_one(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, store, said = tmp_path / "run", Store(address, 1), list[str]()
    checkpoint(run, 1, replay=PACK)
    store.up(run)
    real, calls, one_by_one = Objects.get, iter(range(1000)), threading.Lock()

    def get(self: Objects, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        if self is store.objects or not name.startswith("objects/"):
            return real(self, name, start, size)
        with one_by_one:
            if next(calls) == 0:
                for step in (2, 3, 4):
                    checkpoint(run, step)
                    store.up(run)
                store.tidy()
            return real(self, name, start, size)

    monkeypatch.setattr(Objects, "get", get)
    assert Store(address, note=said.append).down(tmp_path / "other")
    assert content(tmp_path / "other") == content(run)
    assert said == []


def test_notes_and_single_files_are_read_without_the_rest(address: str, tmp_path: Path) -> None:
    store = Store(address, 1)
    assert store.read_note("attempt.json") is None
    assert store.read_file("episodes.csv") is None
    store.write_note("attempt.json", b"1")
    store.write_note("attempt.json", b"22")
    assert Store(address).read_note("attempt.json") == b"22"
    checkpoint(tmp_path / "run", 1)
    store.up(tmp_path / "run")
    assert Store(address).read_file("episodes.csv") == (tmp_path / "run" / "episodes.csv").read_bytes()
    assert Store(address).read_file("other") is None
    with pytest.raises(UsageError, match="opened to read"):
        Store(address).up(tmp_path / "run")
