"""Tests of rlbench.store.objects: what an address may be, what is tried again, and what the user is told."""

import errno
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from rlbench.errors import StoreError, UsageError
from rlbench.process.places import absolute
from rlbench.store import objects as module
from rlbench.store.address import whole_address
from rlbench.store.objects import Objects


@pytest.fixture(params=["memory", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    address = f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/objects here"
    return Objects(address, patience=0.5)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)


def test_objects_are_put_listed_read_and_removed(place: Objects) -> None:
    assert place.sizes("a") == {}
    assert place.get("a/x") is None
    place.put("a/x", b"0123456789")
    place.put("a/y", b"")
    place.put("b/z", b"z")
    assert place.sizes("a") == {"x": 10, "y": 0}
    assert (place.get("a/x"), place.get("a/x", 3, 4), place.get("a/y", 0, 0)) == (b"0123456789", b"3456", b"")
    place.put("a/x", b"new")
    assert place.get("a/x") == b"new"
    place.remove(["a/x", "a/gone"])
    assert place.sizes("a") == {"y": 0}
    place.check()
    assert place.sizes("check") == {}


def test_what_others_put_is_seen(place: Objects) -> None:
    place.put("a/x", b"1")
    assert place.sizes("a") == {"x": 1}
    Objects(place.address).put("a/y", b"22")
    assert place.sizes("a") == {"x": 1, "y": 2}


def test_what_passes_is_tried_again(place: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("a/x", b"1")
    tries = []

    def failing(path: str, **more: Any) -> bytes:
        tries.append(path)
        if len(tries) < 4:
            raise OSError(errno.EBUSY, "slow down")
        return b"1"

    monkeypatch.setattr(place._fs, "cat_file", failing)
    assert place.get("a/x") == b"1"
    assert len(tries) == 4


def test_what_does_not_pass_is_told_after_a_while(place: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: str, **more: Any) -> bytes:
        raise ConnectionError("nobody answers at storage.example")

    monkeypatch.setattr(place._fs, "cat_file", failing)
    with pytest.raises(StoreError, match=r"cannot read .*: nobody answers at storage.example \(tried \d+ times in"):
        place.get("a/x")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Access Denied"), r"no permission: Access Denied. Give this machine credentials"),
        (OSError(errno.ENOSPC, "No space left on device"), r"No space left on device\.$"),
        (NotImplementedError(), "this protocol cannot do that"),
        (type("NoCredentialsError", (Exception,), {"__module__": "botocore"})("none found"), "no permission: none"),
    ],
)
def test_what_does_not_pass_by_itself_is_told_at_once(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, tries = Objects(f"memory://{tmp_path.name}", patience=60.0), []

    def failing(path: str, data: bytes) -> None:
        tries.append(path)
        raise error

    monkeypatch.setattr(place._fs, "pipe_file", failing)
    with pytest.raises(StoreError, match=said) as told:
        place.put("a/x", b"1")
    assert len(tries) == 1
    assert "\n" not in str(told.value)


def test_the_first_of_several_that_fails_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Objects(f"memory://{tmp_path.name}", patience=60.0)  # would be waited for, if they were not ended

    def failing(path: str, data: bytes) -> None:
        raise PermissionError("closed") if path.endswith("/1") else ConnectionError("gone")

    monkeypatch.setattr(place._fs, "pipe_file", failing)

    def all_of_them() -> None:
        with place.at_once() as make:
            for name in range(50):
                make(place.put, f"a/{name}", b"x")

    with pytest.raises(StoreError, match="closed"):
        all_of_them()


def test_a_missing_bucket_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Objects(f"memory://{tmp_path.name}")

    def failing(path: str, data: bytes) -> None:
        raise FileNotFoundError("The specified bucket does not exist")

    monkeypatch.setattr(place._fs, "pipe_file", failing)
    with pytest.raises(StoreError, match=r"The specified bucket does not exist\. Create the bucket"):
        place.check()


def test_a_place_that_does_not_keep_what_it_takes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Objects(f"memory://{tmp_path.name}")
    monkeypatch.setattr(place._fs, "pipe_file", lambda path, data: None)
    with pytest.raises(StoreError, match="does not keep what is put there"):
        place.check()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "an empty text names no file or folder"),
        ("s3://", "names no place"),
        ("nothing://a/b", "fsspec knows no protocol 'nothing'. Give s3://bucket/path"),
        ("simplecache::s3://bucket/a", "a chain of protocols"),
    ],
)
def test_what_is_no_address_is_refused(address: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Objects(address)


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError, match=r"what s3:// needs is not installed\. Run: pip install 'rlbench\[store\]'"):
        Objects("s3://bucket/a")


def test_addresses_mean_the_same_in_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert whole_address("runs/store") == f"file://{absolute('runs/store')}"
    assert whole_address("file:///a/b") == "file:///a/b"
    assert whole_address("s3://bucket/a/") == "s3://bucket/a"


def test_what_is_put_into_a_folder_is_on_its_disk_before_more_is_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("rlbench.files._sync", lambda path, flags: synced.append(Path(path).name))
    Objects(str(tmp_path)).put("objects/a", b"1")
    assert [name[:3] for name in synced] == [".a.", "obj"]  # the file, and the folder that has its name
