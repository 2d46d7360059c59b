"""The benchmark of one observation: what is compared with what, and that a limit which is missed is said."""

from pathlib import Path
from typing import Any

import numpy as np
import policy_files
import pytest
from click.testing import CliRunner
from rlbench.experiments.bench import ship

from rlbench.policyfile.opened import open_policy


@pytest.mark.parametrize(("sb3", "said"), [(100.0, "yes"), (39.0, "NO")])
def test_the_file_is_held_against_its_limits(sb3: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p50 = {"live": [40.0, 400.0, 40.0], "onnx": [8.0, 80.0, 8.0], "onnx, by a call": [20.0] * 3, "sb3": [sb3] * 3}
    left = {name: list(values) for name, values in p50.items()}

    def measure(name: str, folder: str, calls: int) -> dict[str, float]:
        one = left[name].pop(0)
        return {"p50": one, "p95": 2 * one, "p99": 3 * one}

    monkeypatch.setattr(ship, "_prepare", lambda folder: None)
    monkeypatch.setattr(ship, "_measure", measure)
    result = CliRunner().invoke(ship.ship, ["--rounds", "3"])
    assert result.exit_code == 0, result.output
    rows = {line[:18].strip(): line[18:].split() for line in result.output.splitlines()[2:]}
    assert rows["live"][0] == "40.0"
    assert rows["live"][-5:] == ["0.200", "at", "most", "0.33:", "yes"]  # of what was measured in the same round
    assert rows["sb3"][-1] == said
    assert rows["onnx"][-1] == "1.000"


def test_what_is_timed_answers(tmp_path: Path) -> None:
    path = policy_files.linear(tmp_path / "policy.onnx")
    observations = ship._observations()[:50]
    assert all(obs.shape == (4,) and obs.dtype == np.float32 for obs in observations)
    file = open_policy(path)
    expected = [file.act(obs) for obs in observations]
    for name in ("onnx", "onnx, by a call"):
        call: Any = ship._ready(name, tmp_path)
        assert [call(obs) for obs in observations] == expected
    assert len(set(expected)) == 2
