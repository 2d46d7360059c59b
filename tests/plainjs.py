"""For tests of the JavaScript of pages: policies written by hand as ONNX files, and Node.js to run code by."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlbench.play.html_page import asset
from rlbench.policyfile.metadata import KEY, Box, Discrete, Metadata, Port, Space

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

draws = np.random.default_rng(1)
node = onnx.helper.make_node

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js")

#: What steadies the pole: the larger of the two numbers obs @ BALANCE is the better action.
BALANCE = np.array([[-0.05, 0.05], [-0.3, 0.3], [-2.0, 2.0], [-1.0, 1.0]], np.float32)


def run(files: tuple[str, ...], code: str, given: Any) -> Any:
    """What ``code``, after files of assets/agent/, returns as JSON; it finds ``given`` as ``given``."""
    text = "".join(asset(f"agent/{name}") for name in files)
    text += f"const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n{code}"
    done = subprocess.run([str(NODE), "-e", text], input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def metadata(env: str, obs: Space, action: Space, inputs: list[Port], outputs: list[Port]) -> Metadata:
    return Metadata(
        env=env, agent="by hand", seeds=[3], env_steps=1234, checkpoint="ab" * 32, obs=obs, action=action,
        inputs=inputs, outputs=outputs, versions={"rlbench": "0.1.0"},
    )  # fmt: skip


def described(model: Any, about: Metadata) -> bytes:
    """The content of a model's file that says so of itself."""
    model.metadata_props.add(key=KEY, value=about.text())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def of_nodes(nodes: list[Any], ins: dict[str, Any], outs: dict[str, Any], constants: dict[str, np.ndarray]) -> Any:
    """A model. ``ins`` and ``outs`` are name -> (dtype of NumPy's, shape with the batch)."""

    def port(name: str, form: tuple[str, tuple[Any, ...]]) -> Any:
        dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(form[0]))
        return onnx.helper.make_tensor_value_info(name, dtype, form[1])

    graph = onnx.helper.make_graph(
        nodes, "policy", [port(*one) for one in ins.items()], [port(*one) for one in outs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def greedy(env: str, weight: np.ndarray, extra: list[Any] | None = None) -> bytes:
    """An ONNX file of a policy with the Q-values ``obs @ weight``, for observations of float32 in a row."""
    n, many = weight.shape
    nodes = [
        node("MatMul", ["obs", "weight"], ["q_values"]),
        node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0),
        *(extra or []),
    ]
    outs = {"action": ("int64", ("b",)), "q_values": ("float32", ("b", many))}
    model = of_nodes(nodes, {"obs": ("float32", ("b", n))}, outs, {"weight": weight})
    about = metadata(
        env, Box(shape=(n,), dtype="float32"), Discrete(n=many),
        [Port(name="obs", role="obs", shape=(n,), dtype="float32")],
        [Port(name="action", role="action", shape=(), dtype="int64"),
         Port(name="q_values", role="shown", shape=(many,), dtype="float32")],
    )  # fmt: skip
    return described(model, about)


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pendulum() -> bytes:
    """Torque 2 tanh(obs @ w), and a memory that counts the steps, which takes part in it."""
    nodes = [
        node("MatMul", ["obs", "w"], ["pull"]), node("Add", ["pull", "memory"], ["both"]),
        node("Tanh", ["both"], ["mean"]), node("Mul", ["mean", "two"], ["action"]),
        node("Add", ["memory", "little"], ["next_memory"]),
    ]  # fmt: skip
    one = ("float32", ("b", 1))
    constants = {"w": np.array([[0.1], [-2], [-0.4]], np.float32), "two": np.float32(2), "little": np.float32(0.01)}
    model = of_nodes(
        nodes, {"obs": ("float32", ("b", 3)), "memory": one}, {"action": one, "mean": one, "next_memory": one},
        {name: np.asarray(x) for name, x in constants.items()},
    )  # fmt: skip
    ports = [("action", "action", ""), ("mean", "shown", ""), ("next_memory", "memory", "memory")]
    about = metadata(
        "Pendulum-v1", Box(shape=(3,), dtype="float32"), Box(shape=(1,), dtype="float32", low=-2, high=2),
        [Port(name="obs", role="obs", shape=(3,), dtype="float32"),
         Port(name="memory", role="memory", shape=(1,), dtype="float32")],
        [Port(name=name, role=role, shape=(1,), dtype="float32", of=of) for name, role, of in ports],
    )  # fmt: skip
    return described(model, about)


def catch() -> bytes:
    """Of pictures: a random layer over all cells."""
    nodes = [
        node("Cast", ["obs"], ["numbers"], to=1), node("Flatten", ["numbers"], ["flat"]),
        node("MatMul", ["flat", "w"], ["q_values"]), node("ArgMax", ["q_values"], ["action"], axis=-1, keepdims=0),
    ]  # fmt: skip
    shape = (10, 5, 1)
    model = of_nodes(
        nodes, {"obs": ("uint8", ("b", *shape))}, {"action": ("int64", ("b",)), "q_values": ("float32", ("b", 3))},
        {"w": draws.normal(size=(50, 3)).astype(np.float32)},
    )  # fmt: skip
    about = metadata(
        "rlbench/Catch-v0", Box(shape=shape, dtype="uint8", low=0, high=255), Discrete(n=3),
        [Port(name="obs", role="obs", shape=shape, dtype="uint8")],
        [Port(name="action", role="action", shape=(), dtype="int64"),
         Port(name="q_values", role="shown", shape=(3,), dtype="float32")],
    )  # fmt: skip
    return described(model, about)


FILES = {
    "CartPole-v1": lambda: greedy("CartPole-v1", BALANCE),
    "MountainCar-v0": lambda: greedy(
        "MountainCar-v0", np.array([[0, 0, 0.01], [-1, 0, 1]], np.float32)
    ),  # with the velocity
    "Acrobot-v1": lambda: greedy("Acrobot-v1", draws.normal(size=(6, 3)).astype(np.float32)),
    "Pendulum-v1": pendulum,
    "rlbench/Catch-v0": catch,
}
