"""An exported graph with fewer operations: a small network's time is what its operations cost to begin with.

A policy is written down as its agent computes it, for S seeds side by side. Of one seed that axis is taken out here,
where all that the graph does to it is known, and a layer normalisation takes its gain and bias in. What comes out is
proved like any file.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..policyfile.packages import package

#: Operations on numbers place by place, which an axis of one in front is nothing to.
_BY_PLACE = {
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min",
    "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus",
    "Softsign", "Sqrt", "Sub", "Sum", "Tanh", "Where", "Xor",
}  # fmt: skip
_ALONG = {  # operations along an axis, which is an attribute -> its default
    "ArgMax": 0, "ArgMin": 0, "Concat": 0, "LayerNormalization": -1, "LogSoftmax": -1, "Softmax": -1, "Split": 0,
}  # fmt: skip
_OVER = {f"Reduce{name}" for name in ("L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum")}


class _Unknown(Exception):
    """Something is done to the axis that is not known here."""


def simplify(model: Any) -> Any:
    """A model that computes the same, to rounding, in fewer operations; what is not known stays as it is."""
    onnx = package("onnx", "onnx")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for change in (_without_axis, _normalised):
        tried = onnx.ModelProto()
        tried.CopyFrom(made)
        try:
            change(tried)
        except _Unknown:
            continue
        made = tried
    del made.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(made)


def _constants(graph: Any) -> dict[str, np.ndarray]:
    to_array = package("onnx", "onnx").numpy_helper.to_array
    return {tensor.name: to_array(tensor) for tensor in graph.initializer}


def _put(graph: Any, constants: Mapping[str, np.ndarray]) -> None:
    """These constants in the place of those that there were, as far as they are used."""
    from_array = package("onnx", "onnx").numpy_helper.from_array
    used = {name for node in graph.node for name in node.input} | {out.name for out in graph.output}
    del graph.initializer[:]
    graph.initializer.extend(
        from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        for name, array in constants.items()
        if name in used
    )


def _without_axis(model: Any) -> None:
    """Take out the axis of one seed, from where it is put in front to where one is chosen from it. Raises _Unknown."""
    graph = model.graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.input, *graph.value_info)}
    constants = _constants(graph)
    made: dict[str, np.ndarray] = {}  # constants of another form
    stacked: set[str] = set()  # values that have the axis, and will not

    def constant(name: str) -> np.ndarray:
        if name not in constants:
            raise _Unknown
        return constants[name]

    def without(name: str, rank: int) -> str:
        """A constant as it is where the value beside it, of ``rank``, has one axis less."""
        array = constant(name)
        if array.ndim < rank:
            return name
        if array.ndim > rank or array.shape[0] != 1:
            raise _Unknown
        made[f"{name}_alone"] = array[0]
        return f"{name}_alone"

    def other_axes(name: str, axes: np.ndarray, rank: int) -> str:
        made[f"{name}_of_{rank}"] = np.array([_shifted(int(axis), rank) for axis in axes.ravel()], np.int64)
        return f"{name}_of_{rank}"

    for node in graph.node:
        kind, inside = node.op_type, [name for name in node.input if name in stacked]
        if not inside:
            if kind == "Unsqueeze" and node.input[0] not in constants and _is_front(constants.get(node.input[1])):
                _become_identity(node)
                stacked.update(node.output)
            continue
        if any(name not in ranks for name in inside):
            raise _Unknown
        rank = ranks[inside[0]]
        if kind == "Gather" and node.input[0] in stacked and _axis(node, 0) == 0:
            if constant(node.input[1]).shape != () or int(constant(node.input[1])) != 0:
                raise _Unknown
            _become_identity(node)
            continue
        if kind == "Squeeze" and _is_front(constant(node.input[1])):
            _become_identity(node)
            continue
        if any(ranks[name] != rank for name in inside):
            raise _Unknown
        where = 3 if kind == "Slice" else 1  # among its inputs
        if kind in ("Slice", "Squeeze", "Unsqueeze", *_OVER) and len(node.input) > where:
            axes = constant(node.input[where])
            node.input[where] = other_axes(node.input[where], axes, rank + axes.size * (kind == "Unsqueeze"))
        elif kind in _ALONG:
            _set_axis(node, _shifted(_axis(node, _ALONG[kind]), rank))
            for i, name in enumerate(node.input):
                if name and name not in stacked:
                    node.input[i] = without(name, rank)
        elif kind in _BY_PLACE or (kind == "MatMul" and rank == 3):
            for i, name in enumerate(node.input):
                if name and name not in stacked:
                    node.input[i] = without(name, rank)
        else:
            raise _Unknown
        stacked.update(node.output)
    if not stacked or stacked & {out.name for out in graph.output}:
        raise _Unknown
    _put(graph, {**constants, **made})


def _normalised(model: Any) -> None:
    """A layer normalisation with a gain of ones, and after it a product and a sum, becomes one with gain and bias."""
    graph = model.graph
    constants = _constants(graph)
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(out.name for out in graph.output)
    takers = {name: node for node in graph.node for name in node.input}
    gone: list[Any] = []
    for node in graph.node:
        if node.op_type != "LayerNormalization" or len(node.input) > 2 or len(node.output) > 1 or _axis(node, -1) != -1:
            continue
        ones = constants.get(node.input[1])
        product = takers.get(node.output[0])
        if ones is None or (ones != 1).any() or product is None or product.op_type != "Mul":
            continue
        total = takers.get(product.output[0])
        if total is None or total.op_type != "Add" or uses[node.output[0]] > 1 or uses[product.output[0]] > 1:
            continue
        flat = []
        for taker, given in ((product, node.output[0]), (total, product.output[0])):
            (name,) = [name for name in taker.input if name != given]
            array = constants.get(name)
            if array is None or array.size != ones.size or array.shape[-1:] != ones.shape[-1:]:
                break
            constants[f"{name}_flat"] = array.reshape(ones.shape)
            flat.append(f"{name}_flat")
        if len(flat) == 2:
            node.input[1] = flat[0]
            node.input.append(flat[1])
            node.output[0] = total.output[0]
            gone += [product, total]
    for other in gone:
        graph.node.remove(other)
    _put(graph, constants)


def _is_front(axes: np.ndarray | None) -> bool:
    return axes is not None and axes.ravel().tolist() == [0]


def _shifted(axis: int, rank: int) -> int:
    """An axis of a value of ``rank``, where the first is gone: counted from the end, which stays true."""
    if axis in (0, -rank):
        raise _Unknown
    return axis if axis < 0 else axis - rank


def _axis(node: Any, default: int) -> int:
    return next((int(one.i) for one in node.attribute if one.name == "axis"), default)


def _set_axis(node: Any, axis: int) -> None:
    make: Callable[..., Any] = package("onnx", "onnx").helper.make_attribute
    for one in list(node.attribute):
        if one.name == "axis":
            node.attribute.remove(one)
    node.attribute.append(make("axis", axis))


def _become_identity(node: Any) -> None:
    """A runtime leaves such a node out; that it stays keeps the names."""
    del node.input[1:]
    del node.attribute[:]
    node.op_type = "Identity"
