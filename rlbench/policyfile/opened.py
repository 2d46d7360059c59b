"""An exported policy, opened to be asked: ONNX with ONNX Runtime alone, the others with torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError, first_line
from .acting import PolicySession
from .graphs import LOADS, Computes, Named
from .leaves import legal, stacked
from .metadata import KEY, Metadata, PolicyFileError, parse
from .seal import intact

KINDS = {".onnx": "onnx", ".ts": "torchscript", ".pt": "torchscript", ".pt2": "pt2"}  # suffix -> format


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
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"{path} is no exported policy by its name: .onnx, .ts or .pt (TorchScript), or .pt2")
    return KINDS[path.suffix.lower()]


def open_policy(path: str | Path, *, threads: int | None = None) -> PolicyFile:
    """Open a file that `rlbench export` wrote.

    An ONNX file holds operations and numbers, and is opened by ONNX Runtime from memory, so that it can name no other
    file. The others need torch.

    Args:
        path: .onnx, .ts, .pt or .pt2.
        threads: that an answer is computed by; torch sets them for all that this process computes by it. None: one of
            ONNX Runtime, and of torch as many as it has been told.

    Raises:
        PolicyFileError: it cannot be read, is damaged, or is no policy of rlbench.
        UsageError: another name, or a package that is missing.
    """
    path = Path(path)
    kind_of(path)
    if path.exists() and not path.is_file() and not path.is_dir():  # of a pipe the end may never come
        raise PolicyFileError(f"{path} is no regular file")
    try:
        content = path.read_bytes()
    except OSError as e:
        raise PolicyFileError(f"{path} cannot be read: {e.strerror or e}") from e
    return open_content(content, path, threads=threads)


def open_content(content: bytes, path: Path, *, kind: str | None = None, threads: int | None = None) -> PolicyFile:
    """As `open_policy`, of what was read from ``path`` before; its name says the format, unless ``kind`` does."""
    kind = kind or kind_of(path)
    try:
        graph, text = LOADS[kind](content, threads)
    except UsageError:
        raise
    except Exception as e:  # each library has errors of its own for a damaged file
        raise PolicyFileError(f"{path} is damaged, or no {kind} file: {first_line(e)}") from e
    if text is None:
        raise PolicyFileError(
            f"{path} is {kind} that says nothing of rlbench: no metadata {KEY!r}. "
            f"Export it with: rlbench export RUN --to {kind} --out {path.name}"
        )
    metadata = parse(text, str(path))
    if metadata.seal and not intact(content, metadata.seal):
        raise PolicyFileError(
            f"{path} is damaged: it is not what was written, by the SHA-256 of its content. Export the run again."
        )
    return PolicyFile(path, kind, metadata, hashlib.sha256(content).hexdigest(), len(content), graph)
