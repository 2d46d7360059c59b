"""An exported graph computes nothing twice, though the agent is asked twice: what it does, and what it makes of it."""

from pathlib import Path

import pytest

from rlbench.api.train import train
from rlbench.ship.export import export
from rlbench.trained.load import load

onnx = pytest.importorskip("onnx")


def test_a_network_that_acts_and_explains_is_one(tmp_path: Path) -> None:
    keys = {"seeds": 1, "total_steps": 1500, "final_eval_episodes": 1, "eval_every": 0}
    train("CartPole-v1", out=tmp_path / "run", progress="none", **keys)
    made = export(load(tmp_path / "run", seed="best", device="cpu"), "onnx", tmp_path / "policy.onnx", episodes=1)
    model = onnx.load(made.path)
    assert [port.name for port in model.graph.output] == ["action", "q_values"]
    assert sum(node.op_type in ("MatMul", "Gemm") for node in model.graph.node) == 3  # layers of the recipe's network
    weights = [one for one in model.graph.initializer if len(one.dims) == 2 and min(one.dims) > 1]
    assert len(weights) == 3
