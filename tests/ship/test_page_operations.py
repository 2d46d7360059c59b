"""The operations that a page computes in JavaScript give what ONNX Runtime gives, each of them, on odd shapes."""

from typing import Any

import numpy as np
import pytest
from plainjs import metadata, needs_node, of_nodes, onnx, run

from rlbench.policyfile.metadata import Box, Port
from rlbench.ship.page import POLICY
from rlbench.ship.plain_graph import known, plain_graph

runtime = pytest.importorskip("onnxruntime")

draws = np.random.default_rng(5)


def floats(*shape: int, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    return draws.uniform(low, high, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def picks(*shape: int) -> np.ndarray:
    return draws.integers(-2, 3, shape).astype(np.int64)


X, Y, FLAGS, OTHERS = floats(2, 3, 4), floats(3, 1), draws.random((2, 3, 4)) < 0.5, draws.random((3, 1)) < 0.5
TIES = np.array([[1, 3, 3], [2, 2, 0]], np.float32)
PICTURE, KERNEL = floats(2, 4, 7, 6), floats(6, 2, 3, 2)

# Operation, its inputs, its attributes; several outputs by their count, under "outputs".
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    *((name, [X], {}) for name in ("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "Identity", "LeakyRelu",
                                   "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Tanh")),
    *((name, [X, Y], {}) for name in ("Add", "Sub", "Mul", "Div", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    *((name, [X, Y, floats(4)], {}) for name in ("Max", "Min", "Mean", "Sum")),
    *((name, [FLAGS, OTHERS], {}) for name in ("And", "Or", "Xor")),
    *((name, [TIES], {"axis": axis, "select_last_index": last})
      for name in ("ArgMax", "ArgMin") for axis in (0, -1) for last in (0, 1)),
    *((name, [X, ints(0, -1)], {"keepdims": keep})
      for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceSumSquare")
      for keep in (0, 1)),
    *((name, [X * 10], {"axis": axis}) for name in ("Softmax", "LogSoftmax") for axis in (1, -1)),
    ("ReduceSum", [X], {}), ("ReduceSum", [X], {"noop_with_empty_axes": 1}),
    ("Cast", [X], {"to": 7}), ("Cast", [X], {"to": 9}), ("Cast", [FLAGS], {"to": 1}), ("Cast", [picks(4)], {"to": 11}),
    ("Cast", [np.array([0, 7, 255], np.uint8)], {"to": 1}),
    ("Clip", [X, np.float32(-1), np.float32(0.5)], {}), ("Clip", [X, "", np.float32(1)], {}),
    ("Concat", [X, floats(2, 2, 4), floats(2, 1, 4)], {"axis": 1}), ("Concat", [X, X], {"axis": -1}),
    ("ConstantOfShape", [ints(2, 3)], {"value": np.array([7], np.int64)}), ("ConstantOfShape", [ints(4)], {}),
    ("Conv", [PICTURE, KERNEL, floats(6)], {"group": 2, "strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}),
    ("Conv", [PICTURE, floats(3, 4, 2, 2)], {}),
    ("Div", [ints(7, -7, 9), ints(2, 2, -4)], {}), ("Elu", [X], {"alpha": 0.5}), ("LeakyRelu", [X], {"alpha": 0.3}),
    ("Equal", [picks(3, 2), picks(2)], {}), ("Not", [FLAGS], {}), ("Log", [np.abs(X)], {}), ("Sqrt", [np.abs(X)], {}),
    ("Erf", [floats(40, low=-6, high=6)], {}), ("Gelu", [X], {"approximate": "tanh"}),
    ("Expand", [Y, ints(2, 1, 4)], {}), ("Expand", [X, ints(1, 1)], {}),
    ("Flatten", [X], {"axis": 2}), ("Flatten", [X], {"axis": 0}),
    ("Gather", [X, np.array([[0, -1], [2, 1]], np.int64)], {"axis": 1}), ("Gather", [X, np.array(1)], {"axis": 0}),
    ("GatherElements", [X, draws.integers(-3, 3, (2, 2, 4))], {"axis": 1}),
    ("Gemm", [floats(2, 3), floats(3, 4), floats(4)], {}),
    ("Gemm", [floats(3, 2), floats(4, 3)], {"transA": 1, "transB": 1, "alpha": 0.5}),
    ("Gemm", [floats(2, 3), floats(4, 3), floats(2, 1)], {"transB": 1, "beta": 2.0}),
    ("IsNaN", [np.array([1, np.nan, np.inf], np.float32)], {}),
    ("LayerNormalization", [X, floats(4), floats(4)], {}),
    ("LayerNormalization", [X, floats(3, 4)], {"axis": 1, "epsilon": 0.1}),
    ("MatMul", [floats(2, 3), floats(3, 4)], {}), ("MatMul", [floats(5, 2, 3), floats(3, 4)], {}),
    ("MatMul", [floats(5, 1, 2, 3), floats(6, 3, 4)], {}), ("MatMul", [floats(3), floats(2, 3, 4)], {}),
    ("MatMul", [floats(2, 4, 3), floats(3)], {}),
    ("Mod", [ints(7, -7, 7, -7), ints(3, 3, -3, -3)], {}), ("Mod", [X, Y], {"fmod": 1}),
    ("OneHot", [np.array([[0, 2], [-1, 5]]), ints(3), np.array([-1, 4], np.float32)], {"axis": -1}),
    ("OneHot", [ints(1, 0), ints(3), np.array([0, 1], np.float32)], {"axis": 0}),
    ("Pad", [X, ints(1, 0, 2, 0, 1, 3)], {}), ("Pad", [X, ints(-1, 2), np.float32(7), ints(2)], {}),
    *(("Pad", [X, ints(2, 1), "", ints(1)], {"mode": mode}) for mode in ("reflect", "edge", "wrap")),
    ("Pow", [np.abs(X), np.float32(2)], {}), ("Pow", [np.abs(X), np.float32(0.3)], {}),
    ("Range", [np.int64(2), np.int64(9), np.int64(3)], {}),
    ("Range", [np.float32(1), np.float32(-1), np.float32(-0.5)], {}),
    ("Reshape", [X, ints(0, -1)], {}), ("Reshape", [X, ints(4, 3, 2)], {}),
    ("Round", [np.array([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, -2.6], np.float32)], {}),
    ("Shape", [X], {}), ("Shape", [X], {"start": 1, "end": -1}),
    ("Slice", [X, ints(1, 0), ints(9, -1), ints(1, 2)], {}), ("Slice", [X, ints(3), ints(-9), ints(2), ints(-2)], {}),
    ("Slice", [X, ints(-1), ints(2)], {}),
    ("Split", [X], {"axis": 2, "num_outputs": 3, "outputs": 3}), ("Split", [X, ints(1, 2)], {"axis": 1, "outputs": 2}),
    ("Squeeze", [floats(1, 3, 1)], {}), ("Squeeze", [floats(1, 3, 1), ints(-1)], {}),
    ("Tile", [floats(2, 3), ints(2, 3)], {}), ("Transpose", [X], {}), ("Transpose", [X], {"perm": [1, 0, 2]}),
    ("Unsqueeze", [X, ints(0, -1)], {}), ("Where", [OTHERS, X, Y], {}),
]  # fmt: skip


def computed(op: str, inputs: list[Any], attributes: dict[str, Any]) -> tuple[bytes, list[str], list[np.ndarray]]:
    """A model of one node with its inputs as constants, the names of its outputs, and what ONNX Runtime makes of it."""
    settings = {k: onnx.numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in attributes.items()}
    outs = [f"out{i}" for i in range(settings.pop("outputs", 1))]
    constants = {f"in{i}": np.asarray(x) for i, x in enumerate(inputs) if not isinstance(x, str)}
    ins = [f"in{i}" if f"in{i}" in constants else "" for i in range(len(inputs))]
    nodes = [onnx.helper.make_node(op, ins, outs, **settings)]
    model = of_nodes(nodes, {}, {}, constants)
    for name in outs:
        model.graph.output.add().name = name
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return model.SerializeToString(), outs, session.run(outs, {})


@needs_node
def test_every_operation_gives_what_onnx_runtime_gives() -> None:
    assert {op for op, _, _ in CASES} == known()
    about = metadata("CartPole-v1", Box(shape=(), dtype="float32"), Box(shape=(), dtype="float32"), [], [])
    graphs, expected = [], []
    for case in CASES:
        content, names, arrays = computed(*case)
        ports = [Port(name=name, role="shown", shape=(), dtype="float32") for name in names]
        graphs.append(plain_graph(content, about.model_copy(update={"outputs": ports})))
        expected.append(arrays)
    code = """
    console.log(JSON.stringify(given.map((content) => {
      const graph = new Graph(content), known = { ...graph.constants };
      for (const { op, inputs, outputs, attributes } of graph.nodes) {
        const made = Operations[op](inputs.map((name) => (name ? known[name] : undefined)), attributes);
        outputs.forEach((name, i) => { known[name] = made[i]; });
      }
      return content.outputs.map(({ name }) => ({ ...known[name], data: Array.from(known[name].data) }));
    })));"""
    given = run(POLICY, code, graphs)
    for case, arrays, found in zip(CASES, expected, given, strict=True):
        for array, one in zip(arrays, found, strict=True):
            assert (one["type"], one["dims"]) == (str(array.dtype), list(array.shape)), case
            np.testing.assert_allclose(np.array(one["data"], float), array.ravel().astype(float), 2e-6, 2e-6, str(case))
