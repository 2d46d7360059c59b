"""What policies are asked with while they are timed: inputs as a file takes them, handed from process to process."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..policyfile.leaves import OBS
from ..policyfile.metadata import Dict, Metadata, MultiDiscrete, Space, Tuple
from ..proving.samples import random_inputs

COUNT = 1_000  # observations, if they are no larger than
MOST = 2**24  # bytes of all of them


class Asking(NamedTuple):
    """N observations, and masks where the policy takes them: ``inputs`` has (N, ...) by the names of a file's inputs.

    ``source`` says where they come from.
    """

    inputs: dict[str, np.ndarray]
    source: str

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.inputs.values())

    def at_least(self, count: int) -> "Asking":
        """As many as ``count``, by repeating them."""
        times = -(-count // len(self))
        if times <= 1:
            return self
        return Asking({name: np.concatenate([array] * times) for name, array in self.inputs.items()}, self.source)

    def rows(self, first: int, count: int) -> dict[str, np.ndarray]:
        """Inputs of a batch, ``count`` from ``first`` on, in the same memory."""
        return {name: array[first : first + count] for name, array in self.inputs.items()}

    def observation(self, space: Space, i: int) -> Any:
        """Observation i as its environment gives it, without a mask."""
        return _nested(space, OBS, self.inputs, i)


def drawn(metadata: Metadata, seed: int = 0) -> Asking:
    """Random observations of a file's space, and random masks."""
    each = sum(np.dtype(p.dtype).itemsize * int(np.prod(p.shape)) for p in metadata.inputs if p.role == "obs")
    count = fitting(each)
    ports = [port for port in metadata.inputs if port.role != "memory"]
    sizes = metadata.action.nvec if isinstance(metadata.action, MultiDiscrete) else None
    inputs = random_inputs(metadata.obs, ports, count, np.random.default_rng(seed), sizes)
    return Asking(inputs, f"{count:,} random observations of the space")


def fitting(each: int) -> int:
    """How many observations of ``each`` bytes to ask with: `COUNT`, or fewer of wide ones."""
    return max(1, min(COUNT, MOST // max(each, 1)))


def save(asked: Asking, path: Path) -> None:
    """Write them for another process; names of inputs may hold what names of files may not."""
    with zipfile.ZipFile(path, "w") as archive:
        for i, (name, array) in enumerate(asked.inputs.items()):
            archive.writestr(f"{i}.txt", name)
            written = io.BytesIO()
            np.lib.format.write_array(written, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(f"{i}.npy", written.getvalue())


def load(path: Path) -> Asking:
    """What `save` wrote."""
    inputs = {}
    with zipfile.ZipFile(path) as archive:
        for i in range(len(archive.namelist()) // 2):
            content = io.BytesIO(archive.read(f"{i}.npy"))
            inputs[archive.read(f"{i}.txt").decode()] = np.lib.format.read_array(content, allow_pickle=False)
    return Asking(inputs, "")


def _nested(space: Space, name: str, inputs: Mapping[str, np.ndarray], i: int) -> Any:
    if isinstance(space, Dict):
        return {key: _nested(inner, f"{name}.{key}", inputs, i) for key, inner in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(_nested(inner, f"{name}.{k}", inputs, i) for k, inner in enumerate(space.spaces))
    return inputs[name][i]
