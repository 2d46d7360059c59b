"""A file whose numbers changed on a disk is not opened; one that only says other things of its memory is the same."""

from pathlib import Path

import policy_files
import pytest
from policy_files import redescribed

from rlbench.policyfile.metadata import Box, PolicyFileError
from rlbench.policyfile.opened import open_policy
from rlbench.policyfile.seal import OPEN, intact, sealed
from rlbench.tracing.formats import sealed_model

onnx = pytest.importorskip("onnx")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = policy_files.linear(tmp_path / "policy.onnx")
    path.write_bytes(sealed_model(onnx.load(path), open_policy(path).metadata))
    return path


def test_every_byte_that_changes_is_found(file: Path) -> None:
    content = file.read_bytes()
    assert len(open_policy(file).metadata.seal) == 64
    assert open_policy(file).metadata.seal != OPEN
    for at in range(0, len(content), 7):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(PolicyFileError):
            open_policy(file)
    file.write_bytes(content)
    open_policy(file)


def test_other_numbers_are_told_in_one_line(file: Path) -> None:
    model = onnx.load(file)
    weights = bytearray(model.graph.initializer[0].raw_data)
    weights[3] ^= 64
    model.graph.initializer[0].raw_data = bytes(weights)
    onnx.save(model, file)
    with pytest.raises(PolicyFileError, match=r"policy\.onnx is damaged: it is not what was written, by the SHA-256"):
        open_policy(file)


def test_a_file_without_a_seal_opens(file: Path, tmp_path: Path) -> None:
    said = open_policy(file).metadata.model_copy(update={"seal": ""})
    assert open_policy(redescribed(file, tmp_path / "other.onnx", said)).metadata.seal == ""


def test_a_seal_has_one_place() -> None:
    written = b'a{"seal":"' + OPEN.encode() + b'"}b'
    seal = sealed(written)[10:74].decode()
    assert intact(sealed(written), seal)
    assert not intact(sealed(written) + b"c", seal)
    for content in (b"a", written + written):
        with pytest.raises(ValueError, match="one place"):
            sealed(content)


def test_what_is_described_is_compared_by_what_it_says() -> None:
    used, fresh = (Box(shape=(2,), dtype="float32", low=[-1.0, -2.0], high=[1.0, 2.0]) for _ in range(2))
    assert used.limits[0].tolist() == [-1, -2]  # an array that it keeps
    assert used == fresh
    assert used != Box(shape=(2,), dtype="float32", low=[-1.0, -3.0], high=[1.0, 2.0])
