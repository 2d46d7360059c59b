"""Policy files of torch's formats, by a module whose answers are known."""

from pathlib import Path

import policy_files
import pytest
import torch
from torch import Tensor, nn

from rlbench.policyfile.metadata import ENTRY, Box, Port
from rlbench.policyfile.opened import open_policy
from rlbench.tracing.formats import quiet


class Adds(nn.Module):
    """Its action is two of the numbers seen so far, added up; it shows what it sees, in between."""

    def forward(self, obs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = obs + memory
        return total[:, 1:3], obs.sum(1, keepdim=True), total


@pytest.fixture(params=[".ts", ".pt2"])
def adds(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    inputs = [
        Port(name="obs", role="obs", shape=(4,), dtype="float32"),
        Port(name="memory", role="memory", shape=(4,), dtype="float32"),
    ]
    outputs = [
        Port(name="action", role="action", shape=(2,), dtype="float32"),
        Port(name="value", role="shown", shape=(1,), dtype="float32"),
        Port(name="next_memory", role="memory", shape=(4,), dtype="float32", of="memory"),
    ]
    about = {ENTRY: policy_files.described(inputs, outputs, action=Box(shape=(2,), dtype="float32")).text()}
    path, examples = tmp_path / f"adds{request.param}", (torch.ones(3, 4), torch.zeros(3, 4))
    batch = {0: torch.export.Dim("batch")}
    with quiet():
        if path.suffix == ".ts":
            path.write_bytes(torch.jit.trace(Adds(), examples).save_to_buffer(_extra_files=about))
        else:
            torch.export.save(
                torch.export.export(Adds(), examples, dynamic_shapes=(batch, batch)), path, extra_files=about
            )
    return path


def test_outputs_have_their_names_in_a_call_and_in_an_act(adds: Path) -> None:
    file = open_policy(adds)
    given = file(file.inputs([[1, 2, 3, 4], [0, 0, 1, 1]], memory={"memory": torch.full((2, 4), 10.0).numpy()}))
    assert given["action"].tolist() == [[12, 13], [10, 11]]
    assert given["value"].tolist() == [[10], [2]]
    assert file.remembered(given)["memory"].tolist() == [[11, 12, 13, 14], [10, 10, 11, 11]]
    assert list(file(file.inputs([[1, 2, 3, 4]]), ["next_memory"])) == ["next_memory"]
    assert [file.act([1, 2, 3, 4]).tolist() for _ in range(2)] == [[2, 3], [4, 6]]
    file.begin()
    assert file.act([1, 2, 3, 4]).tolist() == [2, 3]


def test_torchs_threads_stay_as_they_are_unless_asked_for(adds: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads, then in ((None, 2), (3, 3)):
            torch.set_num_threads(2)
            open_policy(adds, threads=threads)
            assert torch.get_num_threads() == then
    finally:
        torch.set_num_threads(before)
