"""Fewer operations, the same answers: graphs written by hand, before and after, by ONNX Runtime."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from rlbench.tracing.simplify import simplify

RNG = np.random.default_rng(0)
F = TensorProto.FLOAT
SIZES = {"obs": 4, "memory": 3}  # of the inputs, (B, n) each


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


def model(nodes: list[Any], constants: dict[str, np.ndarray], outputs: dict[str, tuple[Any, int]]) -> Any:
    """Takes ``SIZES``; ``outputs`` has types and ranks. Shapes are inferred, as an exporter has them."""
    inputs = [helper.make_tensor_value_info(name, F, ["batch", n]) for name, n in SIZES.items()]
    given = [helper.make_tensor_value_info(name, t, ["batch", *[None] * (r - 1)]) for name, (t, r) in outputs.items()]
    made = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, given, initializer=made)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(whole, strict_mode=True)


def answers(given: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    onnx.checker.check_model(given, full_check=True)
    session = onnxruntime.InferenceSession(given.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def same(before: Any, after: Any) -> None:
    for batch in (1, 7):
        inputs = {name: RNG.normal(size=(batch, n)).astype(np.float32) for name, n in SIZES.items()}
        for x, y in zip(answers(before, inputs), answers(after, inputs), strict=True):
            assert x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def kinds(given: Any) -> list[str]:
    return [one.op_type for one in given.graph.node if one.op_type != "Identity"]


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


FRONT = {"front": np.array([0], np.int64), "zero": np.array(0, np.int64)}


def test_the_axis_of_one_seed_is_taken_out() -> None:
    nodes = [
        node("Unsqueeze", "obs front", "x"),
        node("MatMul", "x w", "product"),
        node("Add", "product b", "sum"),
        node("Relu", "sum", "hidden"),
        node("MatMul", "hidden v", "q"),
        node("ArgMax", "q", "best", axis=2, keepdims=0),
        node("Gather", "best zero", "action", axis=0),
        node("Gather", "q zero", "q_values", axis=0),
    ]
    constants = {**FRONT, "w": weights(1, 4, 5), "b": weights(1, 1, 5), "v": weights(1, 5, 3)}
    before = model(nodes, constants, {"action": (TensorProto.INT64, 1), "q_values": (F, 2)})
    after = simplify(before)
    same(before, after)
    assert kinds(after) == ["MatMul", "Add", "Relu", "MatMul", "ArgMax"]
    assert sorted(len(one.dims) for one in after.graph.initializer) == [2, 2, 2]


def test_axes_are_counted_anew() -> None:
    """Each output would differ if its operation went along another axis than before."""
    nodes = [
        node("Unsqueeze", "obs front", "x"),
        node("Unsqueeze", "memory front", "m"),
        node("Concat", "x m", "seven", axis=2),
        node("Softmax", "seven", "s", axis=2),
        node("ReduceSum", "s last", "total", keepdims=1),
        node("Slice", "seven start end last", "part"),
        node("Split", "x", "left right", axis=-1, num_outputs=2),
        node("Unsqueeze", "right third", "tall"),
        node("Gather", "s zero", "softmax", axis=0),
        node("Gather", "total zero", "totals", axis=0),
        node("Gather", "part zero", "parts", axis=0),
        node("Gather", "left zero", "lefts", axis=0),
        node("Squeeze", "tall front", "talls"),
    ]
    places = {"last": [2], "start": [1], "end": [4], "third": [3]}
    constants = {**FRONT, **{name: np.array(at, np.int64) for name, at in places.items()}}
    outputs = {"softmax": (F, 2), "totals": (F, 2), "parts": (F, 2), "lefts": (F, 2), "talls": (F, 3)}
    before = model(nodes, constants, outputs)
    after = simplify(before)
    same(before, after)
    assert "Gather" not in kinds(after)


UNKNOWN = {
    "reshaped": [node("Reshape", "x shape", "y"), node("Gather", "y zero", "out", axis=0)],
    "summed up": [node("ReduceSum", "x front", "out", keepdims=0)],
    "exchanged": [node("Transpose", "x", "y", perm=[1, 0, 2]), node("Gather", "y zero", "out", axis=1)],
    "two seeds": [node("Add", "x two", "y"), node("Gather", "y zero", "out", axis=0)],
    "beside what has none": [node("Add", "x obs", "y"), node("Gather", "y zero", "out", axis=0)],
    "given away": [node("Relu", "x", "out")],
}  # fmt: skip


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_axis_to_which_something_else_is_done_stays(what: str) -> None:
    constants = {**FRONT, "shape": np.array([1, -1, 4], np.int64), "two": weights(2, 1, 4)}
    nodes = [node("Unsqueeze", "obs front", "x"), *UNKNOWN[what]]
    used = {name for one in nodes for name in one.input}
    rank = 3 if what == "given away" else 2
    before = model(nodes, {k: v for k, v in constants.items() if k in used}, {"out": (F, rank)})
    after = simplify(before)
    same(before, after)
    assert [one.op_type for one in after.graph.node] == [one.op_type for one in before.graph.node]


def test_a_layer_normalisation_takes_its_gain_and_bias_in() -> None:
    nodes = [
        node("LayerNormalization", "obs ones", "n", axis=-1),
        node("Mul", "n gain", "scaled"),
        node("Add", "bias scaled", "out"),
    ]
    constants = {"ones": np.ones(4, np.float32), "gain": weights(1, 4), "bias": weights(4)}
    before = model(nodes, constants, {"out": (F, 2)})
    after = simplify(before)
    same(before, after)
    assert kinds(after) == ["LayerNormalization"]


def test_a_normalisation_that_something_else_reads_stays() -> None:
    nodes = [
        node("LayerNormalization", "obs ones", "n", axis=-1),
        node("Mul", "n gain", "scaled"),
        node("Add", "scaled bias", "s"),
        node("Add", "s n", "out"),
    ]
    constants = {"ones": np.ones(4, np.float32), "gain": weights(4), "bias": weights(4)}
    before = model(nodes, constants, {"out": (F, 2)})
    after = simplify(before)
    same(before, after)
    assert kinds(after) == ["LayerNormalization", "Mul", "Add", "Add"]
