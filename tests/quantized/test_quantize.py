"""Weights of 8 bits: what becomes of a graph, what it costs in return, and that what costs return is not kept."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import policy_files
import pytest
import torch
from command import CARTPOLE, mistake, rlbench, succeeds

from rlbench.errors import UsageError
from rlbench.policyfile.metadata import KEY
from rlbench.policyfile.opened import open_content, open_policy
from rlbench.proving.observed import ObsStream
from rlbench.quantized import export_quantized as exporting
from rlbench.quantized.export_quantized import Costly, agreement, export_quantized
from rlbench.quantized.price import play_alone, price
from rlbench.timing.asked import drawn
from rlbench.timing.latency import Measured, times_of
from rlbench.tracing.quantize import quantize
from rlbench.trained.load import Trained, evaluate, load


def kinds(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


def test_dense_layers_are_quantised(tmp_path: Path) -> None:
    """Of a Gemm with transposed weights, as an exporter writes them."""
    path = policy_files.linear(tmp_path / "a.onnx", hidden=64)
    made = quantize(path.read_bytes(), {})
    assert (made.name, made.layers, made.of) == ("int8, dynamic", 2, 2)
    assert kinds(made.content).count("MatMulInteger") == 2
    assert not {"MatMul", "Gemm"} & set(kinds(made.content))
    before, after = open_policy(path), open_content(made.content, path)
    assert after.metadata == before.metadata
    assert [prop.key for prop in onnx.load_from_string(made.content).metadata_props] == [KEY]
    inputs = {"obs": np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)}
    old, new = before(inputs)["q_values"], after(inputs)["q_values"]
    assert 0 < np.abs(old - new).max() < 0.05


def test_small_ends_stay_as_they_are(tmp_path: Path) -> None:
    content = deep(tmp_path / "a.onnx", [4, 64, 64, 2]).read_bytes()
    made = quantize(content, {})
    assert (made.layers, made.of) == (1, 3)
    assert kinds(made.content).count("MatMulInteger") == 1
    assert len(made.content) < 0.6 * len(content)


def deep(path: Path, sizes: list[int]) -> Path:
    """Layers of these sizes, by random weights."""
    generator, nodes, weights, last = np.random.default_rng(0), [], {}, "obs"
    for i, (n, m) in enumerate(pairwise(sizes)):
        weights[f"w{i}"] = generator.normal(size=(m, n)).astype(np.float32) / n**0.5
        weights[f"b{i}"] = np.zeros(m, np.float32)
        final = i == len(sizes) - 2
        out = "q_values" if final else f"z{i}"
        nodes.append(onnx.helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [out], name=f"layer{i}", transB=1))
        if not final:
            nodes.append(onnx.helper.make_node("Relu", [out], [f"h{i}"]))
        last = f"h{i}"
    nodes.append(onnx.helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0))
    like = open_policy(policy_files.linear(path)).metadata
    return policy_files.write(path, nodes, weights, like)


def test_convolutions_are_quantised_by_what_was_observed(tmp_path: Path) -> None:
    path = policy_files.convolved(tmp_path / "a.onnx")
    before = open_policy(path)
    pictures = np.random.default_rng(0).integers(0, 256, (64, 8, 8)).astype(np.uint8)
    made = quantize(path.read_bytes(), {"obs": pictures})
    assert made.name == "int8, static"
    assert "DynamicQuantizeLinear" not in kinds(made.content)
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= set(kinds(made.content))
    after = open_content(made.content, path)
    old, new = before({"obs": pictures}), after({"obs": pictures})
    assert (old["action"] == new["action"]).mean() > 0.9
    assert 0 < np.abs(old["q_values"] - new["q_values"]).max() < 0.3
    alone = after({"obs": pictures[:1]})["q_values"]
    np.testing.assert_array_equal(alone, new["q_values"][:1])  # scales are fixed: nothing depends on the batch
    dark = quantize(path.read_bytes(), {"obs": pictures // 16})
    bright = open_content(dark.content, path)({"obs": pictures})["q_values"]
    assert np.abs(old["q_values"] - bright).max() > 3 * np.abs(old["q_values"] - new["q_values"]).max()


def test_a_table_is_refused(tmp_path: Path) -> None:
    path = policy_files.looked_up(tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="no dense layer or convolution"):
        quantize(path.read_bytes(), {})


def test_products_of_one_seed_with_its_axis(tmp_path: Path) -> None:
    """(1, B, 4) by (1, 4, 8), as an agent computes for several seeds, where nothing could take the axis out."""
    weights = {
        "front": np.array([0], np.int64),
        "zero": np.array(0, np.int64),
        "w": np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32),
    }
    nodes = [
        onnx.helper.make_node("Unsqueeze", ["obs", "front"], ["x"]),
        onnx.helper.make_node("MatMul", ["x", "w"], ["y"]),
        onnx.helper.make_node("Gather", ["y", "zero"], ["q_values"], axis=0),
        onnx.helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0),
    ]
    like = open_policy(policy_files.linear(tmp_path / "b.onnx")).metadata
    outputs = [like.outputs[0], like.outputs[1].model_copy(update={"shape": (8,)})]
    path = policy_files.write(tmp_path / "a.onnx", nodes, weights, like.model_copy(update={"outputs": outputs}))
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    made = quantize(model.SerializeToString(), {})
    inputs = {"obs": np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)}
    old, new = open_policy(path)(inputs)["q_values"], open_content(made.content, path)(inputs)["q_values"]
    assert new.shape == (5, 8)
    np.testing.assert_allclose(new, old, atol=0.1)


RETURNS = np.random.default_rng(0).normal(200, 40, 100)


def test_the_same_returns_are_no_worse() -> None:
    found = price(RETURNS, RETURNS.copy())
    assert (found.outcome, *found.iqm, found.needed) == ("no worse", 0, 0, 0, None)
    assert found.text.startswith("no worse: difference of IQM 0 [0, 0], of mean 0 [0, 0], beside an IQM of ")


def test_a_loss_that_is_surely_small_is_none() -> None:
    assert price(RETURNS, RETURNS - 0.004 * 200).outcome == "no worse"


def test_a_loss_that_is_sure_is_worse() -> None:
    found = price(RETURNS, RETURNS - np.random.default_rng(1).uniform(5, 20, 100))
    assert found.outcome == "worse"
    assert found.iqm.high < 0


def test_rare_failures_are_not_hidden_by_the_iqm() -> None:
    """Eight of a hundred episodes fail: the IQM leaves them out, the mean does not."""
    before = np.full(100, 500.0)
    after = np.where(np.arange(100) < 8, 10.0, 500.0)
    found = price(before, after)
    assert found.iqm.value == 0
    assert found.mean.value == pytest.approx(-39.2)
    assert found.outcome == "worse"


def test_what_the_mean_leaves_open_is_not_decided_by_the_iqm() -> None:
    """Four of a hundred fail: by chance, or as often as that."""
    found = price(np.full(100, 500.0), np.where(np.arange(100) < 4, 10.0, 500.0))
    assert (found.iqm.low, found.iqm.high) == (0, 0)
    assert found.mean.low < -25 < found.mean.high
    assert found.outcome == "undecided"


def test_too_few_episodes_say_how_many_would_do() -> None:
    rng = np.random.default_rng(4)
    found = price(RETURNS[:20], RETURNS[:20] + rng.normal(0, 60, 20))
    assert found.outcome == "undecided"
    assert found.needed is not None
    many = np.random.default_rng(0).normal(200, 40, found.needed)
    assert price(many, many + rng.normal(0, 60, found.needed)).outcome == "no worse"


def test_one_episode_says_nothing() -> None:
    found = price(np.array([500.0]), np.array([500.0]))
    assert (found.outcome, found.needed) == ("undecided", None)
    assert json.loads(json.dumps(found.summary()))["difference_of_iqm"] == [0.0, None, None]


def test_actions_are_compared_one_by_one(tmp_path: Path) -> None:
    """Where both remember, the same is remembered: a difference does not go on."""
    paths = [policy_files.linear(tmp_path / f"{k}.onnx", seed=k) for k in (0, 1)]
    before, after = map(open_policy, paths)
    asking = drawn(before.metadata)
    stream = ObsStream(asking.inputs, np.ones(len(asking), bool), 1, "random")
    found = agreement(before, after, stream)
    both = [file(asking.inputs)["action"] for file in (before, after)]
    assert found.same == pytest.approx((both[0] == both[1]).mean())
    assert 0.1 < found.same < 0.95
    adding = open_policy(policy_files.adding(tmp_path / "c.onnx"))
    assert agreement(adding, adding, stream)[2:] == (1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantize") / "run"
    succeeds(*CARTPOLE, "--out", folder, "--set", "dqn.hidden=[16,16]", "--set", "dqn.layer_norm=false")
    return folder


@pytest.fixture
def balancing(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """An agent that keeps the pole up, by weights that were written down; and measuring that takes no time."""
    trained = load(checkpoint, seed=0, device="cpu")
    net: Any = trained.agent
    first, middle, last = (net.q_net.layers[i] for i in (0, 2, 4))
    with torch.no_grad():
        for layer in (first, middle, last):
            layer.weight.zero_()
            layer.bias.zero_()
        lean = torch.tensor([0.02, 0.1, 1.0, 0.5])  # of position, speed, angle and its speed
        for unit, sign in ((0, 1.0), (1, -1.0)):
            first.matrix[0, :, unit] = sign * lean
            middle.matrix[0, unit, unit] = 1.0
            last.matrix[0, unit, 1 - unit] = 1.0
        first.bias[0, 0, 15] = -1.0  # a unit that is dead
    canned = Measured("x", 1, 1, 0.0, 0.0, tuple(times_of(n, [[1000]], [[1000]]) for n in exporting.BATCHES))
    monkeypatch.setattr(exporting, "measure", lambda *asked, **how: [canned, canned])
    return trained


@pytest.fixture
def ruined(balancing: Trained) -> Trained:
    """The same agent, of which 8 bits leave nothing: the dead unit has weights so large that all others round to 0."""
    net: Any = balancing.agent
    with torch.no_grad():
        net.q_net.layers[2].matrix[0, 15, :] = 1e6
    return balancing


@pytest.mark.slow
def test_a_file_plays_alone_as_the_agent_does(balancing: Trained, tmp_path: Path) -> None:
    done = exporting.export(balancing, "onnx", tmp_path / "a.onnx", episodes=3)
    played = play_alone(open_policy(done.path), balancing, 3)
    assert played.tolist() == evaluate(balancing, 3)[0].tolist()
    assert played.mean() > 150


def test_what_costs_nothing_is_kept(balancing: Trained, tmp_path: Path) -> None:
    done = export_quantized(balancing, tmp_path / "a.onnx", episodes=20)
    assert done.price.outcome == "no worse"
    found = open_policy(tmp_path / "a.onnx").metadata
    assert found.quantized == "int8, dynamic"
    assert found.proof["quantized"]["verdict"] == "no worse"
    assert found.proof["quantized"]["forced"] is False
    assert found.proof["full_precision"]["episodes"] == 20
    assert "MatMulInteger" in kinds((tmp_path / "a.onnx").read_bytes())


def test_what_costs_return_is_refused_and_nothing_kept(ruined: Trained, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"what was there")
    with pytest.raises(
        Costly, match=r"^int8 costs return, worse: difference of IQM .* Nothing was written\."
    ) as caught:
        export_quantized(ruined, tmp_path / "a.onnx", episodes=20)
    assert caught.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_bytes() == b"what was there"


@pytest.mark.slow
def test_with_force_it_is_kept_and_says_so(
    ruined: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    monkeypatch.setattr("rlbench.trained.load.load", lambda *path, **how: ruined)
    asked = ("export", checkpoint, "--quantize", "int8", "--out", tmp_path / "a.onnx", "--episodes", "20")
    assert "int8 costs return" in mistake(*asked)
    assert list(tmp_path.iterdir()) == []
    result = rlbench(*asked, "--force")
    assert result.exit_code == 0, result.output
    assert "kept all the same, by --force; the file says so" in result.stdout
    assert "worse: difference of IQM" in result.stdout
    found = open_policy(tmp_path / "a.onnx").metadata
    assert found.quantized == "int8, dynamic"
    assert (found.proof["quantized"]["verdict"], found.proof["quantized"]["forced"]) == ("worse", True)


def test_too_few_episodes_keep_nothing(balancing: Trained, tmp_path: Path) -> None:
    with pytest.raises(Costly, match="one episode cannot tell whether int8 costs return") as caught:
        export_quantized(balancing, tmp_path / "a.onnx", episodes=1)
    assert "--force" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "a.ts", "--quantize", "int8"], "--quantize int8 is for ONNX, and not for torchscript"),
        (["--out", "a.onnx", "--force"], "--force is for --quantize"),
        (["--out", "a.onnx", "--quantize", "int4"], "'int4' is not 'int8'"),
    ],
)
def test_a_request_that_makes_no_sense(words: list[str], said: str, checkpoint: Path) -> None:
    assert said in mistake("export", checkpoint, *words)
