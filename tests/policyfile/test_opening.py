"""What opening an ONNX file does not do: it looks at no other file, whatever the first one says of them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import policy_files
import pytest

from rlbench.policyfile.metadata import PolicyFileError
from rlbench.policyfile.opened import open_policy


@pytest.mark.parametrize("where", ["weights.bin", "./weights.bin", "../here/weights.bin", "{folder}/weights.bin"])
def test_weights_in_another_file_are_not_looked_for(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    model = onnx.load(policy_files.linear(folder / "a.onnx"))
    weight = next(one for one in model.graph.initializer if one.name == "w0")
    (folder / "weights.bin").write_bytes(np.ones((2, 4), np.float32).tobytes())
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", where.format(folder=folder)), ("offset", "0"), ("length", "32")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    (folder / "b.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(PolicyFileError, match=r"b\.onnx is damaged, or no onnx file"):
        open_policy(folder / "b.onnx")


def test_onnx_computes_by_one_thread_unless_asked_for_more(tmp_path: Path) -> None:
    path = policy_files.linear(tmp_path / "a.onnx")
    for threads, then in ((None, 1), (3, 3)):
        graph: Any = open_policy(path, threads=threads)._graph
        assert graph._session.get_session_options().intra_op_num_threads == then


def test_a_file_of_another_format_is_to_be_exported_again(tmp_path: Path) -> None:
    path = policy_files.linear(tmp_path / "a.onnx")
    other = open_policy(path).metadata.model_copy(update={"format": 2})
    policy_files.redescribed(path, tmp_path / "b.onnx", other)
    with pytest.raises(PolicyFileError, match=r"b\.onnx is of format 2, and .* reads 1: export the run again\.$"):
        open_policy(tmp_path / "b.onnx")
