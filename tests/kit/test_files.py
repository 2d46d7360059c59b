"""Files written whole: what was there stays where anything fails, nothing is left beside it, and the umask counts."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

import rlbench
from rlbench import files
from rlbench.errors import RunFolderError

PAIR = ("a.bin", "b.bin")


def there(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"a": 2}, sync=True)
    assert there(tmp_path) == {"run.json": '{\n  "a": 2\n}\n'}


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), KeyError("x")])
@pytest.mark.parametrize("at", ["body", "fsync", "replace"])
def test_where_anything_fails_all_old_files_stay(
    at: str, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in PAIR]
    for path in paths:
        path.write_text("old")

    def fail(*_: Any) -> None:
        raise failure

    if at != "body":
        monkeypatch.setattr(os, at, fail)

    def write() -> None:
        with files.replacing_all(paths, sync=True) as temporaries:
            for temporary in temporaries:
                temporary.write_text("new")
                if at == "body":
                    fail()

    with pytest.raises(type(failure)):
        write()
    assert there(tmp_path) == dict.fromkeys(PAIR, "old")


def test_none_takes_its_place_before_all_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: (tape.append(n), r(*a))[1])
    with files.replacing_all([tmp_path / name for name in PAIR], sync=True):
        pass
    assert tape == ["fsync", "fsync", "replace", "replace", "fsync"]
    tape.clear()
    files.write_text(tmp_path / "c", "often, and worth no wait")
    assert tape == ["replace"]


def test_permissions_are_those_of_any_other_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["folder", "file/out.html"])
@pytest.mark.parametrize(("option", "advice"), [("--out FILE", r" Give another place: --out FILE"), ("", "")])
def test_what_cannot_be_exported_is_told_in_one_line(name: str, option: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunFolderError, match=rf"^cannot write {tmp_path / name}: [^\n]+\.{advice}$"),
        files.exporting(tmp_path / name, option),
    ):
        raise AssertionError("there is nothing to write to")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("name", ["folder", "file/out.html"])
def test_what_will_not_be_exported_is_known_beforehand(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(
        RunFolderError, match=rf"^cannot write {tmp_path / name}: [^\n]+\. Give another place: --out FILE$"
    ):
        files.check_writable(tmp_path / name, "--out FILE")
    files.check_writable(tmp_path / "new" / "deep" / "out.html")
    files.check_writable(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_an_export_makes_its_folder(tmp_path: Path) -> None:
    with files.exporting(tmp_path / "new" / "out.html", "--out FILE") as temporary:
        temporary.write_text("x")
    assert there(tmp_path / "new") == {"out.html": "x"}


def test_the_reason_is_the_one_beneath_torchs_own() -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:664]")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert str(files.unwritable("x.pth", error, "Make room.")) == (
        "cannot write x.pth: No space left on device. Make room."
    )


def test_leftovers_of_a_process_that_was_killed_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".my-own.tmp").touch()
    (tmp_path / "checkpoint.pth").touch()
    writing = files.replacing(tmp_path / "checkpoint.pth")
    writing.__enter__()  # and nothing more, as after kill -9
    assert len(list(tmp_path.iterdir())) == 3
    files.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".my-own.tmp", "checkpoint.pth"]


def test_a_run_begun_or_resumed_removes_them(tmp_path: Path) -> None:
    """At the top of one on several processes too, which are the ones that clear their own folders."""
    left = tmp_path / "run" / ".summary.json.0123abcd.tmp"
    left.parent.mkdir()
    left.touch()
    keys = {"seeds": 2, "eval_every": 0, "final_eval_episodes": 0, "workers": 2, "device": "cpu"}
    run = rlbench.train("CartPole-v1", agent="random", total_steps=20, out=left.parent, **keys)
    assert not left.exists()
    left.touch()
    rlbench.resume(run.folder, total_steps=40)
    assert not left.exists()
