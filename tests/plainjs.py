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
    node = onnx.helper.make_node
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
