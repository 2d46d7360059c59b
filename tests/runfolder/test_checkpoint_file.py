"""Tests of rlbench.runfolder.checkpoint_file: whole or absent, verified, and unable to run code."""

import errno
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from rlbench.errors import CheckpointError, RunFolderError
from rlbench.rng import Streams
from rlbench.runfolder import checkpoint_file

CONTENT: dict[str, Any] = {
    "agent": {"weight": Streams([1])["w"].normal(2000).view(2, 1000), "steps": 12, "none": None},
    "rows": torch.arange(300, dtype=torch.uint8),
    "index": torch.tensor([2**40, -1]),
    "flags": [True, False],
    "text": "Tür",
    "number": 0.1,
    "empty": {},
}


class Payload:
    """Pickled, this is a call that writes a file. Loading it must not."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.sentinel, "owned")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return bool(one == other)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoint_file.save(tmp_path / "checkpoint.pth", "checkpoint", CONTENT)
    return tmp_path / "checkpoint.pth"


def test_what_was_saved_is_loaded(path: Path) -> None:
    head = {"rlbench": "checkpoint", "format": checkpoint_file.FORMAT}
    assert same(checkpoint_file.load(path, "checkpoint"), {**head, **CONTENT})
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pth"]


def test_torch_alone_opens_it(path: Path) -> None:
    assert same(torch.load(path, weights_only=True)["agent"], CONTENT["agent"])


def test_a_second_save_replaces_the_first(path: Path) -> None:
    checkpoint_file.save(path, "checkpoint", {"number": 2})
    assert checkpoint_file.load(path, "checkpoint")["number"] == 2


def test_a_raw_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    bomb, sentinel = tmp_path / "bomb.pth", tmp_path / "sentinel"
    bomb.write_bytes(pickle.dumps(Payload(sentinel)))
    with pytest.raises(CheckpointError, match=r"bomb\.pth.*no checkpoint"):
        checkpoint_file.load(bomb, "checkpoint")
    torch.save(
        {"rlbench": "checkpoint", "format": 1, "x": Payload(sentinel)}, bomb, _use_new_zipfile_serialization=False
    )
    with pytest.raises(CheckpointError):
        checkpoint_file.load(bomb, "checkpoint")
    assert not sentinel.exists()


def test_code_inside_a_torch_file_is_refused_and_does_not_run(tmp_path: Path) -> None:
    bomb, sentinel = tmp_path / "bomb.pth", tmp_path / "sentinel"
    torch.save({"rlbench": "checkpoint", "format": checkpoint_file.FORMAT, "x": Payload(sentinel)}, bomb)
    with pytest.raises(CheckpointError, match="could run code"):
        checkpoint_file.load(bomb, "checkpoint")
    assert not sentinel.exists()
    torch.load(bomb, weights_only=False)  # the payload is a real one
    assert sentinel.read_text() == "owned"


def test_a_broken_pickle_inside_a_sound_zip_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(n for n in members if n.endswith("data.pkl"))
    whole = members[name]
    for broken in (b"", whole[:1], whole[:40], whole[: len(whole) // 2], whole[:-1], b"\x80\x02.", b"garbage"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, broken if member == name else data)
        path.write_bytes(buffer.getvalue())
        with pytest.raises(CheckpointError, match="refused"):
            checkpoint_file.load(path, "checkpoint")


def test_a_truncated_file_is_damaged(path: Path) -> None:
    whole = path.read_bytes()
    for size in (0, 1, 30, 100, len(whole) // 2, len(whole) - 100, len(whole) - 23, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoint_file.load(path, "checkpoint")


def test_a_flipped_bit_in_any_member_is_damage_that_names_the_member(path: Path) -> None:
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.file_size]
    assert len(members) >= 5
    for info in members:
        name, extra = struct.unpack("<HH", whole[info.header_offset + 26 : info.header_offset + 30])
        start = info.header_offset + 30 + name + extra
        for at in (start, start + info.file_size // 2, start + info.file_size - 1):
            flipped = bytearray(whole)
            flipped[at] ^= 0x10
            path.write_bytes(flipped)
            with pytest.raises(CheckpointError, match="damaged: the checksum of") as caught:
                checkpoint_file.load(path, "checkpoint")
            assert info.filename in str(caught.value)


def test_a_flipped_bit_anywhere_is_refused_or_without_effect(path: Path) -> None:
    """Headers have no checksum: zipfile answers damage there with half a dozen kinds of error."""
    checkpoint_file.save(path, "checkpoint", {"x": torch.arange(20.0)})
    whole, intact = path.read_bytes(), checkpoint_file.load(path, "checkpoint")
    refused = 0
    for i in range(0, len(whole) * 8, 13):
        flipped = bytearray(whole)
        flipped[i // 8] ^= 1 << i % 8
        path.write_bytes(flipped)
        try:
            assert same(checkpoint_file.load(path, "checkpoint"), intact)
        except CheckpointError:
            refused += 1
    assert refused > 500


def test_damage_offers_the_other_checkpoint(path: Path) -> None:
    best = path.with_name("best.pth")
    checkpoint_file.save(best, "checkpoint", CONTENT)
    for broken, other in ((path, best), (best, path)):
        kept = broken.read_bytes()
        broken.write_bytes(kept[:-50])
        with pytest.raises(CheckpointError) as caught:
            checkpoint_file.load(broken, "checkpoint")
        assert str(caught.value).endswith(f"There is also {other}.")
        broken.write_bytes(kept)


def test_other_kinds_and_newer_formats_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="no replay: it is a checkpoint"):
        checkpoint_file.load(path, "replay")
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="not written by rlbench"):
        checkpoint_file.load(path, "checkpoint")
    torch.save(torch.ones(2), path)
    with pytest.raises(CheckpointError, match="not written by rlbench"):
        checkpoint_file.load(path, "checkpoint")
    monkeypatch.setattr(checkpoint_file, "FORMAT", checkpoint_file.FORMAT + 1)
    checkpoint_file.save(path, "checkpoint", CONTENT)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=f"format {checkpoint_file.FORMAT + 1}.*Upgrade"):
        checkpoint_file.load(path, "checkpoint")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for nothing in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError) as caught:
            checkpoint_file.load(nothing, "checkpoint")
        assert str(nothing) in str(caught.value)


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed")])
def test_a_save_that_fails_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def half(content: Any, file: Any) -> None:
        file.write(b"PK\x03\x04 half of it")
        raise failure

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(RunFolderError, match=r"cannot write .*checkpoint\.pth.*untouched"):
        checkpoint_file.save(path, "checkpoint", {"number": 2})
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pth"]
    assert checkpoint_file.load(path, "checkpoint")["number"] == 0.1


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), MemoryError()])
def test_a_save_that_is_interrupted_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def interrupted(file: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", interrupted)  # everything is written, nothing is certain
    with pytest.raises(type(failure)):
        checkpoint_file.save(path, "checkpoint", {"number": 2})
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pth"]
    assert checkpoint_file.load(path, "checkpoint")["number"] == 0.1


@pytest.mark.parametrize("writes", range(1, 6))
def test_an_interrupt_in_the_middle_of_a_file_is_no_failure_to_write(
    path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """torch goes on to end its file, which fails where part of it is missing."""

    class Interrupted(io.FileIO):
        left = writes

        def write(self, data: Any) -> int:
            self.left -= 1
            if not self.left:
                super().write(data[:7])
                raise KeyboardInterrupt
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda self, mode: Interrupted(self, mode))
    with pytest.raises(KeyboardInterrupt):
        checkpoint_file.save(path, "checkpoint", {"numbers": torch.arange(1000), "others": torch.arange(1000)})
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pth"]
    assert checkpoint_file.load(path, "checkpoint")["number"] == 0.1


def test_the_new_file_takes_its_place_only_once_it_is_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: (tape.append(n), r(*a))[1])
    checkpoint_file.save(path, "checkpoint", {"number": 2})
    assert tape == ["fsync", "replace", "fsync"]  # the content, the name, the folder that holds the name


def test_a_folder_that_is_gone_is_an_error_of_the_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write"):
        checkpoint_file.save(tmp_path / "gone" / "checkpoint.pth", "checkpoint", CONTENT)
