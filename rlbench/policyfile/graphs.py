"""The graph of an exported file, computed by ONNX Runtime or by torch, which is imported when a file is opened."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .metadata import ENTRY, KEY
from .packages import package

Named = Mapping[str, np.ndarray]  # inputs or outputs by name, (B, ...) each


class Computes(Protocol):
    """The graph of a file: inputs by name, each (B, ...), to outputs by name."""

    def __call__(self, inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]: ...

    def bind(self, inputs: Named, outputs: Named) -> Callable[[], object]:
        """What computes from these very arrays into those, again and again."""
        ...


class _OnnxGraph:
    """By ONNX Runtime."""

    def __init__(self, runtime: Any, content: bytes, threads: int | None) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads or 1, 1
        options.log_severity_level = 4  # a damaged file is an error of ours, in one line
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # beside other processes
        # Weights that are said to lie in another file are looked for in no folder, least of all in the working one.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.text: str | None = self._session.get_modelmeta().custom_metadata_map.get(KEY)

    def __call__(self, inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        return dict(zip(wanted, self._session.run(wanted, inputs), strict=True))

    def bind(self, inputs: Named, outputs: Named) -> Callable[[], object]:
        """Without a copy on the way in or out: a third of the time that a small network takes otherwise."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        run = self._session.run_with_iobinding

        def compute(kept: object = (inputs, outputs)) -> None:  # the arrays live as long as what points to them
            run(binding)

        return compute


class _TorchGraph:
    """By torch, of a module whose inputs and outputs are in the order that the metadata has."""

    def __init__(self, module: Any, metadata: str) -> None:
        found = json.loads(metadata)
        self._module = module
        self._names, self._given = ([port["name"] for port in found[side]] for side in ("inputs", "outputs"))

    def __call__(self, inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            made = self._module(*(torch.from_numpy(inputs[name]) for name in self._names))
        every = dict(zip(self._given, made, strict=True))
        return {name: every[name].numpy() for name in wanted}

    def bind(self, inputs: Named, outputs: Named) -> Callable[[], object]:
        import torch

        tensors = [torch.from_numpy(inputs[name]) for name in self._names]
        places = [(self._given.index(name), torch.from_numpy(array)) for name, array in outputs.items()]

        def compute() -> None:
            with torch.inference_mode():
                made = self._module(*tensors)
                for i, place in places:
                    place.copy_(made[i])

        return compute


class _NoGraph:
    """Of a file that says nothing of rlbench, and is not asked."""

    def __call__(self, inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        return {}

    def bind(self, inputs: Named, outputs: Named) -> Callable[[], object]:
        return lambda: None


def _onnx(content: bytes, threads: int | None) -> tuple[Computes, str | None]:
    graph = _OnnxGraph(package("onnxruntime", "onnx"), content, threads)
    return graph, graph.text


def _torchscript(content: bytes, threads: int | None) -> tuple[Computes, str | None]:
    import io
    import warnings

    torch = package("torch", "onnx")
    if threads is not None:
        torch.set_num_threads(threads)
    extra = {ENTRY: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(io.BytesIO(content), map_location="cpu", _extra_files=extra)
    text = extra[ENTRY]
    text = text.decode() if isinstance(text, bytes) else text
    return (_TorchGraph(module, text), text) if text else (_NoGraph(), None)


def _pt2(content: bytes, threads: int | None) -> tuple[Computes, str | None]:
    import io

    torch = package("torch", "onnx")
    if threads is not None:
        torch.set_num_threads(threads)
    extra = {ENTRY: ""}
    program = torch.export.load(io.BytesIO(content), extra_files=extra)
    text = extra[ENTRY]
    text = text.decode() if isinstance(text, bytes) else text
    return (_TorchGraph(program.module(), text), text) if text else (_NoGraph(), None)


#: format -> what opens a file's content, with a number of threads. It gives the metadata too; None where there is none.
LOADS: dict[str, Callable[[bytes, int | None], tuple[Computes, str | None]]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "pt2": _pt2,
}
