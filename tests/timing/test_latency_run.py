"""Latency of a run: the live agent and every format are asked the same, and answer the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import CARTPOLE, rlbench, succeeds

from rlbench.policyfile.opened import open_policy
from rlbench.timing import latency
from rlbench.timing.asked import save
from rlbench.timing.candidates import FileCandidate, LiveCandidate
from rlbench.timing.lineup import Lineup
from rlbench.timing.lineup_run import of_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latency") / "run"
    succeeds(*CARTPOLE, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def made(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Lineup:
    folder = tmp_path_factory.mktemp("files")
    found = of_run(run, folder, "best", None, (), lambda text: None)
    save(found.asking, folder / "asked.npz")
    return found


def test_who_is_timed(made: Lineup, run: Path) -> None:
    assert [one.label for one in made.entrants] == ["live", "onnx", "int8", "torchscript", "pt2"]
    assert made.gated == ["onnx"]
    assert "recorded episodes" in made.asking.source
    assert made.entrants[0].size == (run / "best.pth").stat().st_size
    assert made.what == f"dqn on CartPole-v1, seed {made.entrants[0].more['seed']}"


def test_all_answer_the_same(made: Lineup) -> None:
    """One by one and in batches; but for what was quantised."""
    folder = made.entrants[1].path.parent
    asked = str(folder / "asked.npz")
    answers: dict[str, list[Any]] = {}
    for one in made.entrants:
        candidate: Any = (
            LiveCandidate(str(one.path), asked, 1, **one.more)
            if one.kind == "live"
            else FileCandidate(str(one.path), asked, 1)
        )
        call, inputs = candidate.prepared(1)
        ones = [int(call(given)) for given in inputs]
        many, batches = candidate.prepared(8)
        batched = [many(given) for given in batches]
        if one.kind == "file":
            batched = [given["action"] for given in batched]
        flat = np.concatenate([np.asarray(x) for x in batched]).tolist()
        if one.label != "int8":  # of which the scale is the batch's
            assert flat == ones[: len(flat)], one.label
        answers[one.label] = ones
    assert answers["onnx"] == answers["torchscript"] == answers["pt2"] == answers["live"]
    assert len(set(answers["live"])) == 2
    same = np.mean(np.array(answers["int8"]) == answers["live"])
    assert same > 0.8


@pytest.mark.parametrize("label", ["torchscript", "pt2"])
def test_files_of_torch_act_as_they_are_called(label: str, made: Lineup) -> None:
    (path,) = [one.path for one in made.entrants if one.label == label]
    file = open_policy(path)
    observations = [made.asking.observation(file.metadata.obs, i) for i in range(20)]
    acted = [file.act(obs) for obs in observations]
    assert acted == [file(file.inputs([obs], bounded=False))["action"][0] for obs in observations]


@pytest.mark.slow
def test_a_run_from_the_command_line(run: Path, tmp_path: Path) -> None:
    result = rlbench("latency", run, "--batch-sizes", "1,2", "--seconds", "0.01", "--out", tmp_path / "a.json")
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "a.json").read_text())
    assert list(told["policies"]) == ["live", "onnx", "int8", "torchscript", "pt2"]
    assert told["policies"]["live"]["memory_bytes"] > told["policies"]["onnx"]["memory_bytes"]  # torch
    for policy in told["policies"].values():
        assert all(times["calls"] >= latency.ROUNDS for times in policy["batches"].values())
