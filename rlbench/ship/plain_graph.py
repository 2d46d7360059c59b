"""An ONNX file as JSON that a page's own JavaScript computes: its operations by name, its numbers in base64.

What is known there stands in ``assets/agent/operations.js``; anything else is refused here, before there is a page.
"""

import base64
import re
from functools import cache
from typing import Any

import numpy as np

from ..errors import UsageError
from ..play.html_page import asset
from ..policyfile.metadata import Metadata
from ..policyfile.packages import package

TYPES = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


@cache
def known() -> frozenset[str]:
    """The operations that the page's JavaScript has."""
    table = asset("agent/operations.js").rpartition("\n  return {\n")[2]
    return frozenset(re.findall(r"^    ([A-Z]\w*):", table, re.MULTILINE))


def plain_graph(content: bytes, metadata: Metadata) -> dict[str, Any]:
    """What ``assets/agent/graph.js`` reads.

    Args:
        content: of an ONNX file.
        metadata: what the file says of itself.

    Returns:
        JSON: ``nodes`` in the order in which they are computed, ``constants`` by name, ``inputs`` and ``outputs``.

    Raises:
        UsageError: it holds an operation, or numbers of a type, that the page does not know.
    """
    onnx = package("onnx", "onnx")
    model = onnx.load_from_string(content)
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    named = [
        node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}" for node in model.graph.node
    ]
    if strange := sorted({name for name in named if name not in known() | {"Constant"}}):
        raise UsageError(
            f"this policy computes {', '.join(strange)}, which the page's JavaScript does not know: it has "
            f"{len(known())} operations of ONNX. Export it with --to onnx, which ONNX Runtime plays in a browser too."
        )
    constants = {one.name: _tensor(onnx.numpy_helper.to_array(one)) for one in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        attributes = {one.name: _attribute(onnx, one) for one in node.attribute}
        if node.op_type == "Constant":
            ((kind, value),) = attributes.items()
            constants[node.output[0]] = value if kind == "value" else _tensor(_listed(kind, value))
        else:
            nodes.append(
                {"op": node.op_type, "inputs": list(node.input), "outputs": list(node.output), "attributes": attributes}
            )
    return {
        "constants": constants,
        "nodes": nodes,
        "inputs": [port.model_dump() for port in metadata.inputs],
        "outputs": [port.model_dump() for port in metadata.outputs],
    }


def _tensor(array: np.ndarray) -> dict[str, Any]:
    if str(array.dtype) not in TYPES:
        raise UsageError(f"this policy holds numbers of type {array.dtype}, which the page's JavaScript does not know")
    little = array.astype(array.dtype.newbyteorder("<"))
    return {"type": str(array.dtype), "dims": list(array.shape), "data": base64.b64encode(little.tobytes()).decode()}


def _attribute(onnx: Any, given: Any) -> Any:
    value = onnx.helper.get_attribute_value(given)
    if isinstance(value, onnx.TensorProto):
        return _tensor(onnx.numpy_helper.to_array(value))
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if given.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value


def _listed(kind: str, value: Any) -> np.ndarray:
    """What a Constant gives as plain numbers: value_int, value_ints, value_float, value_floats."""
    return np.array(value, np.float32 if "float" in kind else np.int64)
