"""For tests: policy files whose graph is written down node by node, so that what they answer is known."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rlbench.policyfile.leaves import obs_ports
from rlbench.policyfile.metadata import KEY, Box, Dict, Discrete, Metadata, Port, Space

BOX = Box(shape=(4,), dtype="float32", low=-5.0, high=5.0)
_TYPES = {
    "float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL, "uint8": TensorProto.UINT8,
}  # fmt: skip


def described(inputs: list[Port], outputs: list[Port], *, obs: Space = BOX, action: Space | None = None) -> Metadata:
    """Metadata of a policy of one seed."""
    return Metadata(
        env="CartPole-v1",
        agent="dqn",
        seeds=[0],
        env_steps=1000,
        checkpoint="0" * 64,
        obs=obs,
        action=action or Discrete(n=2),
        inputs=inputs,
        outputs=outputs,
        versions={},
    )


def write(path: Path, nodes: list[Any], weights: dict[str, np.ndarray], metadata: Metadata) -> Path:
    """A file of these nodes and numbers; its inputs and outputs are those of the metadata."""
    sides = (
        [helper.make_tensor_value_info(port.name, _TYPES[port.dtype], ["B", *port.shape]) for port in ports]
        for ports in (metadata.inputs, metadata.outputs)
    )
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "policy", *sides, initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY: metadata.text()})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def linear(path: Path, hidden: int = 0, seed: int = 0) -> Path:
    """Four numbers to two Q-values, by one layer, or with a hidden one in between; the larger is the action."""
    generator = np.random.default_rng(seed)
    sizes = [4, hidden, 2] if hidden else [4, 2]
    nodes, weights, last = [], {}, "obs"
    for i, (n, m) in enumerate(pairwise(sizes)):
        weights[f"w{i}"] = generator.normal(size=(m, n)).astype(np.float32) / n**0.5
        weights[f"b{i}"] = 0.1 * generator.normal(size=m).astype(np.float32)
        final = i == len(sizes) - 2
        out = "q_values" if final else f"z{i}"
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [out], transB=1))
        last = out
        if not final:
            nodes.append(helper.make_node("Relu", [last], [f"h{i}"]))
            last = f"h{i}"
    nodes.append(helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0))
    inputs = [Port(name="obs", role="obs", shape=(4,), dtype="float32")]
    outputs = [
        Port(name="action", role="action", shape=(), dtype="int64"),
        Port(name="q_values", role="shown", shape=(2,), dtype="float32"),
    ]
    return write(path, nodes, weights, described(inputs, outputs))


def masked(path: Path) -> Path:
    """Four numbers are the Q-values of four actions, of which a mask allows some."""
    nodes = [
        helper.make_node("Where", ["action_mask", "obs", "low"], ["q_values"]),
        helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0),
    ]
    inputs = [
        Port(name="obs", role="obs", shape=(4,), dtype="float32"),
        Port(name="action_mask", role="mask", shape=(4,), dtype="bool"),
    ]
    outputs = [
        Port(name="action", role="action", shape=(), dtype="int64"),
        Port(name="q_values", role="shown", shape=(4,), dtype="float32"),
    ]
    low = {"low": np.array([-1e9], np.float32)}
    return write(path, nodes, low, described(inputs, outputs, action=Discrete(n=4)))


def adding(path: Path) -> Path:
    """A recurrent policy: its action is two of the numbers that it has seen so far, added up."""
    nodes = [
        helper.make_node("Add", ["obs", "memory"], ["next_memory"]),
        helper.make_node("Slice", ["next_memory", "from", "to", "axis"], ["action"]),
    ]
    inputs = [
        Port(name="obs", role="obs", shape=(4,), dtype="float32"),
        Port(name="memory", role="memory", shape=(4,), dtype="float32"),
    ]
    outputs = [
        Port(name="action", role="action", shape=(2,), dtype="float32"),
        Port(name="next_memory", role="memory", shape=(4,), dtype="float32", of="memory"),
    ]
    places = {name: np.array([i], np.int64) for name, i in (("from", 1), ("to", 3), ("axis", 1))}
    action = Box(shape=(2,), dtype="float32")
    return write(path, nodes, places, described(inputs, outputs, action=action))


def looked_up(path: Path) -> Path:
    """A table: three actions' values of each of five indices."""
    values = np.arange(15, dtype=np.float32).reshape(5, 3) % 7
    nodes = [
        helper.make_node("Gather", ["table", "obs"], ["q_values"]),
        helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0),
    ]
    inputs = [Port(name="obs", role="obs", shape=(), dtype="int64")]
    outputs = [
        Port(name="action", role="action", shape=(), dtype="int64"),
        Port(name="q_values", role="shown", shape=(3,), dtype="float32"),
    ]
    return write(path, nodes, {"table": values}, described(inputs, outputs, obs=Discrete(n=5), action=Discrete(n=3)))


def pixels(path: Path) -> Path:
    """Pictures of 3 x 2 bytes: the brighter half, top or bottom, is the action; how bright they are, its values."""
    nodes = [
        helper.make_node("Cast", ["obs"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "halves"], ["q_values"]),
        helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0),
    ]
    inputs = [Port(name="obs", role="obs", shape=(2, 3), dtype="uint8")]
    outputs = [
        Port(name="action", role="action", shape=(), dtype="int64"),
        Port(name="q_values", role="shown", shape=(2,), dtype="float32"),
    ]
    halves = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    obs = Box(shape=(2, 3), dtype="uint8", low=0, high=255)
    return write(path, nodes, {"halves": halves}, described(inputs, outputs, obs=obs))


def nested(path: Path) -> Path:
    """An object of two numbers and an index: the numbers plus the index are the action, which is a Box."""
    nodes = [
        helper.make_node("Cast", ["obs.index"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["number", "axis"], ["column"]),
        helper.make_node("Add", ["obs.place", "column"], ["action"]),
    ]
    obs = Dict(spaces={"place": Box(shape=(2,), dtype="float32"), "index": Discrete(n=3, start=1)})
    outputs = [Port(name="action", role="action", shape=(2,), dtype="float32")]
    metadata = described(obs_ports(obs), outputs, obs=obs, action=Box(shape=(2,), dtype="float32"))
    return write(path, nodes, {"axis": np.array([1], np.int64)}, metadata)


def redescribed(path: Path, to: Path, metadata: Metadata) -> Path:
    """The same graph, which says something else of itself."""
    model = onnx.load(path)
    helper.set_model_props(model, {KEY: metadata.text()})
    onnx.save(model, to)
    return to


def foreign(path: Path) -> Path:
    """A graph that says nothing of rlbench."""
    model = onnx.load(linear(path))
    del model.metadata_props[:]
    onnx.save(model, path)
    return path


def convolved(path: Path) -> Path:
    """A picture of 8 x 8 bytes to three actions: a convolution and a dense layer."""
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["obs"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["bytes", "most"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "channels"], ["picture"]),
        helper.make_node("Conv", ["picture", "kernel", "offsets"], ["features"], name="conv", kernel_shape=[3, 3]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["q_values"], name="dense"),
        helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0),
    ]
    weights = {
        "most": np.array(255, np.float32),
        "channels": np.array([-1, 1, 8, 8], np.int64),
        "kernel": generator.normal(size=(4, 1, 3, 3)).astype(np.float32),
        "offsets": generator.normal(size=4).astype(np.float32),
        "w": generator.normal(size=(144, 3)).astype(np.float32) / 12,
        "b": np.zeros(3, np.float32),
    }
    obs = Box(shape=(8, 8), dtype="uint8", low=0.0, high=255.0)
    inputs = [Port(name="obs", role="obs", shape=(8, 8), dtype="uint8")]
    outputs = [
        Port(name="action", role="action", shape=(), dtype="int64"),
        Port(name="q_values", role="shown", shape=(3,), dtype="float32"),
    ]
    return write(path, nodes, weights, described(inputs, outputs, obs=obs, action=Discrete(n=3)))
