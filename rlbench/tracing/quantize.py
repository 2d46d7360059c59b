"""A policy with weights of 8 bits: ONNX Runtime's quantisation, of what a policy's time and size go into.

Dense layers are quantised dynamically: the scale of what goes into a layer is taken from each call, so an answer may
depend a little on what is asked in the same batch. Where there are convolutions, scales are fixed beforehand, by
observations (static; quantize and dequantize nodes). Weights have a scale for each channel.

What is proved on one machine has to hold on others, and sums of products of bytes with and without a sign overflow on
CPUs that have no instructions of their own for them (onnxruntime.ai, "Quantize ONNX models"). So weights of dense
layers have no sign, at half the speed in large batches; those of convolutions, where that is not to be had channel by
channel, have one, and use 7 of their 8 bits.

The first and the last layers stay as they are where they are small: what goes into the one are raw observations, of the
most different sizes, and what comes out of the other are values whose small differences decide.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UsageError
from ..policyfile.metadata import KEY, parse
from ..policyfile.packages import package
from .formats import quiet, sealed_model

DENSE, CONVOLUTION = ("MatMul", "Gemm"), ("Conv",)
SMALL = 0.25  # of all weights: first and last layers that hold no more stay as they are
CALIBRATION = 512  # observations
EACH = 32  # of them at a time


class Quantized(NamedTuple):
    """``content`` is of the file, ``how`` is "dynamic" or "static", ``layers`` counts those that are quantised, of
    ``of`` that there are."""

    content: bytes
    how: str
    layers: int
    of: int

    @property
    def name(self) -> str:
        """As `Metadata.quantized` has it."""
        return f"int8, {self.how}"


def quantize(content: bytes, inputs: Mapping[str, np.ndarray]) -> Quantized:
    """A quantised ONNX file of one that is not.

    Args:
        content: of the file.
        inputs: observations, and masks where it takes them, (N, ...) each: those of recorded episodes. Of a recurrent
            policy, each is taken for the first of an episode.

    Raises:
        UsageError: there is nothing in it to quantise, or a package is missing.
    """
    onnx = package("onnx", "onnx")
    package("onnxruntime", "onnx")
    model = onnx.load_from_string(content)
    for i, node in enumerate(model.graph.node):  # layers that stay as they are, are named
        node.name = node.name or f"node_{i}"
    _flatten_weights(model)
    layers = _layers(model)
    if not layers:
        raise UsageError(
            "there is no dense layer or convolution in the policy whose weights could be quantised: it is a table, or "
            "so small a graph that int8 would save nothing. Export it without --quantize."
        )
    convolutions = any(node.op_type in CONVOLUTION for node, _ in layers)
    kept = _small_ends(model, layers)
    with tempfile.TemporaryDirectory() as folder, quiet():
        place = Path(folder) / "quantized.onnx"
        (_static if convolutions else _dynamic)(model, place, kept, inputs)
        made = onnx.load(place)
    text = next(prop.value for prop in model.metadata_props if prop.key == KEY)
    content = sealed_model(made, parse(text, "the policy"))
    onnx.checker.check_model(made)
    count = len(layers) - len(_layers(made))
    if not count:
        raise UsageError("ONNX Runtime quantised nothing of the policy. Export it without --quantize.")
    return Quantized(content, "static" if convolutions else "dynamic", count, len(layers))


def _flatten_weights(model: Any) -> None:
    """Weights of one seed, (1, K, N), become (K, N) where what they are multiplied with has its axis: such products can
    have a scale for each channel."""
    helper = package("onnx", "onnx").numpy_helper
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*model.graph.input, *model.graph.value_info)}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for name, taken_by in users.items():
        dims = list(tensors[name].dims) if name in tensors else []
        right = all(n.op_type == "MatMul" and n.input[1] == name and ranks.get(n.input[0]) == 3 for n in taken_by)
        if len(dims) == 3 and dims[0] == 1 and right:
            alone = np.ascontiguousarray(helper.to_array(tensors[name])[0])
            tensors[name].CopyFrom(helper.from_array(alone, name))


def _layers(model: Any) -> list[tuple[Any, int]]:
    """Nodes whose second input is a constant of floats, and how many numbers that has."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.data_type == 1}
    kinds = DENSE + CONVOLUTION
    found = [(n, sizes.get(n.input[1], 0)) for n in model.graph.node if n.op_type in kinds and len(n.input) > 1]
    return [(node, size) for node, size in found if size > 1]


def _small_ends(model: Any, layers: list[tuple[Any, int]]) -> list[str]:
    """Names of the layers that stay as they are: those that observations go into, and those that no other comes behind,
    as far as either hold few of the weights and others are left."""
    sizes = {id(node): size for node, size in layers}
    ahead: dict[str, set[int]] = {}  # value -> the layers that it comes out of, near or far
    nodes = {id(node): node for node, _ in layers}
    followed: set[int] = set()
    first = []
    for node in model.graph.node:
        before = set().union(*(ahead.get(name, set()) for name in node.input))
        if id(node) in nodes:
            followed |= before
            first += [] if before else [id(node)]
            before = before | {id(node)}
        for name in node.output:
            ahead[name] = before
    last = [key for key in nodes if key not in followed]
    kept: set[int] = set()
    for ends in (first, last):
        more = kept.union(ends)
        if len(more) < len(nodes) and sum(sizes[key] for key in more) <= SMALL * sum(sizes.values()):
            kept = more
    names = [nodes[key].name for key in sorted(kept, key=list(nodes).index)]
    return [*names, *(f"{name}_MatMul" for name in names)]  # what becomes of a Gemm


def _dynamic(model: Any, place: Path, kept: list[str], inputs: Mapping[str, np.ndarray]) -> None:
    by = package("onnxruntime.quantization", "onnx")
    by.quantize_dynamic(
        model,
        place,
        op_types_to_quantize=["MatMul"],  # it makes one of a Gemm
        weight_type=by.QuantType.QUInt8,
        per_channel=_flat(model),
        nodes_to_exclude=kept,
        extra_options={"MatMulConstBOnly": True},
    )


def _static(model: Any, place: Path, kept: list[str], inputs: Mapping[str, np.ndarray]) -> None:
    by = package("onnxruntime.quantization", "onnx")
    by.quantize_static(
        model,
        place,
        _Calibration(model, inputs),
        quant_format=by.QuantFormat.QDQ,
        op_types_to_quantize=[*CONVOLUTION, *DENSE],
        activation_type=by.QuantType.QUInt8,
        weight_type=by.QuantType.QInt8,
        per_channel=_flat(model),
        reduce_range=True,
        nodes_to_exclude=kept,
    )


def _flat(model: Any) -> bool:
    """Whether no product is of several seeds at once, which ONNX Runtime gives one scale for all channels."""
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    return all(ranks[node.input[1]] <= 2 for node, _ in _layers(model) if node.op_type in DENSE)


class _Calibration:
    """Batches of observations, as ONNX Runtime asks for them."""

    def __init__(self, model: Any, inputs: Mapping[str, np.ndarray]) -> None:
        count = min(CALIBRATION, len(next(iter(inputs.values()))))
        missing = {value.name: value for value in model.graph.input if value.name not in inputs}
        batches = []
        for first in range(0, count, EACH):
            batch = {name: array[first : min(first + EACH, count)] for name, array in inputs.items()}
            size = len(next(iter(batch.values())))
            for name, value in missing.items():  # what is remembered
                shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
                batch[name] = np.zeros((size, *shape), np.float32)
            batches.append(batch)
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)
