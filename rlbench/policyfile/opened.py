"""An exported policy, opened to be asked: ONNX with ONNX Runtime alone, the others with torch."""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import UsageError, first_line
from .leaves import BadValue, stacked
from .metadata import ENTRY, KEY, Metadata, PolicyFileError, parse

KINDS = {".onnx": "onnx", ".ts": "torchscript", ".pt2": "pt2"}  # suffix -> format; .pt is TorchScript's too
Named = Mapping[str, np.ndarray]


class Computes(Protocol):
    """The graph of a file: inputs by name, each (B, ...), to outputs by name."""

    def __call__(self, inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]: ...


class PolicyFile:
    """A policy that was exported, ready to answer.

    Attributes:
        path: where it was read from.
        kind: "onnx", "torchscript" or "pt2".
        metadata: what it says of itself.
        digest: SHA-256 of the file, hexadecimal.
        nbytes: its size.
    """

    def __init__(self, path: Path, kind: str, metadata: Metadata, digest: str, nbytes: int, graph: Computes) -> None:
        self.path, self.kind, self.metadata, self.digest, self.nbytes = path, kind, metadata, digest, nbytes
        self._graph = graph
        self._all = [port.name for port in metadata.outputs]

    def __call__(self, inputs: Named, wanted: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Outputs by name, (B, ...) each: all of them, or those that are wanted. Inputs are as `inputs` gives them."""
        return self._graph(inputs, wanted or self._all)

    def inputs(
        self,
        observations: Sequence[Any],
        masks: Sequence[Any] | None = None,
        memory: Named | None = None,
        *,
        bounded: bool = True,
    ) -> dict[str, np.ndarray]:
        """What the graph takes for a batch of observations, all of it checked.

        Args:
            observations: B of them, as the environment or JSON has them.
            masks: B lists of what is legal, where the policy takes a mask; None: all is.
            memory: what the call before gave, by the names of the memory *inputs*; None: an episode begins.
            bounded: as for `leaves.stacked`.

        Raises:
            leaves.BadValue: what does not fit, and what was expected.
        """
        taken = stacked(self.metadata.obs, observations, bounded=bounded)
        for port in self.metadata.inputs:
            if port.role == "mask":
                taken[port.name] = legal(port.shape, masks, len(observations))
            elif port.role == "memory":
                taken[port.name] = (
                    np.zeros((len(observations), *port.shape), port.dtype) if memory is None else memory[port.name]
                )
        return taken

    def remembered(self, outputs: Named) -> dict[str, np.ndarray]:
        """Of what a call gave, that which the next one is handed as ``memory``."""
        return {port.of: outputs[port.name] for port in self.metadata.outputs if port.role == "memory"}


def legal(shape: tuple[int, ...], masks: Sequence[Any] | None, batch: int) -> np.ndarray:
    """Masks as (B, *shape) bool, checked. Raises leaves.BadValue."""
    if masks is None:
        return np.ones((batch, *shape), bool)
    try:
        array = np.asarray(masks)
    except ValueError:
        array = np.empty(0)
    if array.shape != (batch, *shape) or array.dtype.kind not in "biu" or not np.isin(array, (0, 1)).all():
        raise BadValue(f"action_mask is expected as {batch} x {shape} of true and false")
    array = array.astype(bool)
    if not array.reshape(batch, -1).any(1).all():
        raise BadValue("action_mask allows no action")
    return array


def kind_of(path: Path) -> str:
    """The format of a file by its name. Raises UsageError."""
    suffix = ".ts" if path.suffix == ".pt" else path.suffix
    if suffix not in KINDS:
        raise UsageError(f"{path} is no exported policy by its name: .onnx, .ts or .pt (TorchScript), or .pt2")
    return KINDS[suffix]


def open_policy(path: str | Path, *, threads: int = 1) -> PolicyFile:
    """Open a file that `rlbench export` wrote.

    An ONNX file holds operations and numbers, and is opened by ONNX Runtime from memory, so that it can name no other
    file. The others need torch.

    Args:
        path: .onnx, .ts, .pt or .pt2.
        threads: that an answer is computed by.

    Raises:
        PolicyFileError: it cannot be read, is damaged, or is no policy of rlbench.
        UsageError: another name, or a package that is missing.
    """
    path = Path(path)
    kind = kind_of(path)
    try:
        content = path.read_bytes()
    except OSError as e:
        raise PolicyFileError(f"{path} cannot be read: {e.strerror or e}") from e
    load = {"onnx": _onnx, "torchscript": _torchscript, "pt2": _pt2}[kind]
    try:
        graph, text = load(content, threads)
    except UsageError:
        raise
    except Exception as e:  # each library has errors of its own for a damaged file
        raise PolicyFileError(f"{path} is damaged, or no {kind} file: {first_line(e)}") from e
    if text is None:
        raise PolicyFileError(
            f"{path} is {kind} that says nothing of rlbench: no metadata {KEY!r}. "
            f"Export it with: rlbench export RUN --to {kind} --out {path.name}"
        )
    return PolicyFile(path, kind, parse(text, str(path)), hashlib.sha256(content).hexdigest(), len(content), graph)


def package(name: str, extra: str) -> Any:
    """A package of an extra. Raises UsageError that names it."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise UsageError(f"this needs {name}, which is not installed. Run: pip install 'rlbench[{extra}]'") from e


def _onnx(content: bytes, threads: int) -> tuple[Computes, str | None]:
    runtime = package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # a damaged file is an error of ours, in one line
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # beside other processes
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map.get(KEY)

    def graph(inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        return dict(zip(wanted, session.run(wanted, inputs), strict=True))

    return graph, text


def _of_torch(module: Any, metadata: str) -> Computes:
    import torch

    found = json.loads(metadata)
    names, given = ([port["name"] for port in found[side]] for side in ("inputs", "outputs"))

    def graph(inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            made = module(*(torch.from_numpy(inputs[name]) for name in names))
        every = dict(zip(given, made, strict=True))
        return {name: every[name].numpy() for name in wanted}

    return graph


def _torchscript(content: bytes, threads: int) -> tuple[Computes, str | None]:
    import io
    import warnings

    torch = package("torch", "onnx")
    torch.set_num_threads(threads)
    extra = {ENTRY: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(io.BytesIO(content), map_location="cpu", _extra_files=extra)
    text = extra[ENTRY]
    text = text.decode() if isinstance(text, bytes) else text
    return (_of_torch(module, text), text) if text else (lambda inputs, wanted: {}, None)


def _pt2(content: bytes, threads: int) -> tuple[Computes, str | None]:
    import io

    torch = package("torch", "onnx")
    torch.set_num_threads(threads)
    extra = {ENTRY: ""}
    program = torch.export.load(io.BytesIO(content), extra_files=extra)
    text = extra[ENTRY]
    text = text.decode() if isinstance(text, bytes) else text
    return (_of_torch(program.module(), text), text) if text else (lambda inputs, wanted: {}, None)
