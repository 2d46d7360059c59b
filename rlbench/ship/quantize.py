"""A policy with weights of 8 bits: ONNX Runtime's quantisation, of what a policy's time and size go into.

Dense layers are quantised dynamically: the scale of what goes into a layer is taken from each call, so an answer may
depend a little on what is asked in the same batch. Where there are convolutions, scales are fixed beforehand, by
observations (static; quantize and dequantize nodes). Weights have a scale for each channel, and use 7 of their 8 bits:
CPUs without instructions of their own for such products overflow with the eighth (ONNX Runtime's "reduce_range").

The first layer stays as it is where it is small: what goes into it are raw observations, of the most different sizes.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UsageError
from ..policyfile.metadata import KEY
from ..policyfile.opened import package
from .formats import quiet

DENSE, CONVOLUTION = ("MatMul", "Gemm"), ("Conv",)
SMALL = 0.25  # of all weights: a first layer that holds no more stays as it is
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
    _flatten_weights(model)
    layers = _layers(model)
    if not layers:
        raise UsageError(
            "there is no dense layer or convolution in the policy whose weights could be quantised: it is a table, or "
            "so small a graph that int8 would save nothing. Export it without --quantize."
        )
    convolutions = any(node.op_type in CONVOLUTION for node, _ in layers)
    kept = _small_first(model, layers)
    with tempfile.TemporaryDirectory() as folder, quiet():
        place = Path(folder) / "quantized.onnx"
        (_static if convolutions else _dynamic)(model, place, kept, inputs)
        made = onnx.load(place)
    text = next(prop.value for prop in model.metadata_props if prop.key == KEY)
    del made.metadata_props[:]
    made.metadata_props.add(key=KEY, value=text)
    onnx.checker.check_model(made)
    count = len(layers) - len(kept)
    return Quantized(made.SerializeToString(), "static" if convolutions else "dynamic", count, len(layers))


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


def _small_first(model: Any, layers: list[tuple[Any, int]]) -> list[str]:
    """Names of the layers that observations go into, where they hold few of the weights and others are left."""
    kinds = {id(node) for node, _ in layers}
    behind: set[str] = set()  # values that come out of a layer
    first: list[tuple[Any, int]] = []
    sizes = {id(node): size for node, size in layers}
    for node in model.graph.node:
        if id(node) in kinds and not behind.intersection(node.input):
            first.append((node, sizes[id(node)]))
        if id(node) in kinds or behind.intersection(node.input):
            behind.update(node.output)
    total = sum(size for _, size in layers)
    small = len(first) < len(layers) and sum(size for _, size in first) <= SMALL * total
    return [node.name for node, _ in first] if small and all(node.name for node, _ in first) else []


def _dynamic(model: Any, place: Path, kept: list[str], inputs: Mapping[str, np.ndarray]) -> None:
    by = package("onnxruntime.quantization", "onnx")
    by.quantize_dynamic(
        model,
        place,
        op_types_to_quantize=["MatMul"],  # it makes one of a Gemm
        weight_type=by.QuantType.QInt8,
        per_channel=_flat(model),
        reduce_range=True,
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
