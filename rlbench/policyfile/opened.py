"""An exported policy, opened to be asked: ONNX with ONNX Runtime alone, the others with torch."""

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import UsageError, first_line
from .acting import PolicySession
from .leaves import legal, stacked
from .metadata import ENTRY, KEY, Metadata, PolicyFileError, parse

KINDS = {".onnx": "onnx", ".ts": "torchscript", ".pt2": "pt2"}  # suffix -> format; .pt is TorchScript's too
Named = Mapping[str, np.ndarray]


class Computes(Protocol):
    """The graph of a file: inputs by name, each (B, ...), to outputs by name."""

    def __call__(self, inputs: Named, wanted: Sequence[str]) -> dict[str, np.ndarray]: ...

    def bind(self, inputs: Named, outputs: Named) -> Callable[[], object]:
        """What computes from these very arrays into those, again and again."""
        ...


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
        self._acting: PolicySession | None = None

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
        place: str | None = None,
    ) -> dict[str, np.ndarray]:
        """What the graph takes for a batch of observations, all of it checked.

        Args:
            observations: B of them, as the environment or JSON has them.
            masks: B lists of what is legal, where the policy takes a mask; None: all is.
            memory: what the call before gave, by the names of the memory *inputs*; None: an episode begins.
            bounded: as for `leaves.stacked`.
            place: likewise.
        place: likewise.

        Raises:
            leaves.BadValue: what does not fit, and what was expected.
        """
        taken = stacked(self.metadata.obs, observations, bounded=bounded, place=place)
        for port in self.metadata.inputs:
            if port.role == "mask":
                taken[port.name] = legal(port.shape, masks, len(observations))
            elif port.role == "memory":
                taken[port.name] = (
                    np.zeros((len(observations), *port.shape), port.dtype) if memory is None else memory[port.name]
                )
        return taken

    def begin(self) -> None:
        """An episode begins, for `act`: a recurrent policy forgets the one before."""
        self._own().begin()

    def act(self, obs: Any, mask: Any = None) -> Any:
        """The action for one observation, as `env.step` takes it; the quickest way to ask. See `PolicySession.act`.

        A recurrent policy remembers from one to the next: call `begin` with every `env.reset`.
        """
        return self._own().act(obs, mask)

    def session(self) -> PolicySession:
        """A session of its own: for each thread, and for each environment of a recurrent policy, one."""
        return PolicySession(self.metadata, self._graph.bind)

    def _own(self) -> PolicySession:
        if self._acting is None:
            self._acting = self.session()
        return self._acting

    def remembered(self, outputs: Named) -> dict[str, np.ndarray]:
        """Of what a call gave, that which the next one is handed as ``memory``."""
        return {port.of: outputs[port.name] for port in self.metadata.outputs if port.role == "memory"}


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
    kind_of(path)
    try:
        content = path.read_bytes()
    except OSError as e:
        raise PolicyFileError(f"{path} cannot be read: {e.strerror or e}") from e
    return open_content(content, path, threads=threads)


def open_content(content: bytes, path: Path, *, kind: str | None = None, threads: int = 1) -> PolicyFile:
    """As `open_policy`, of what was read from ``path`` before; its name says the format, unless ``kind`` does."""
    kind = kind or kind_of(path)
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


class _OnnxGraph:
    """By ONNX Runtime."""

    def __init__(self, runtime: Any, content: bytes, threads: int) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
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


def _onnx(content: bytes, threads: int) -> tuple[Computes, str | None]:
    graph = _OnnxGraph(package("onnxruntime", "onnx"), content, threads)
    return graph, graph.text


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
    return (_TorchGraph(module, text), text) if text else (_NoGraph(), None)


def _pt2(content: bytes, threads: int) -> tuple[Computes, str | None]:
    import io

    torch = package("torch", "onnx")
    torch.set_num_threads(threads)
    extra = {ENTRY: ""}
    program = torch.export.load(io.BytesIO(content), extra_files=extra)
    text = extra[ENTRY]
    text = text.decode() if isinstance(text, bytes) else text
    return (_TorchGraph(program.module(), text), text) if text else (_NoGraph(), None)
