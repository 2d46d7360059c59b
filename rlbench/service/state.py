"""What the workers of one service share: a folder with the policy that is served now, and a table of numbers.

The policy is a copy, so that a file which is swapped on disk is not served before somebody asks for it, not even by a
worker that takes a dead one's place. Its generation stands in the table: a worker that sees another one than its own
takes up the new copy, and notes that it did.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import replacing
from . import counts

_HEAD, _MINE = 1, 3  # numbers before the rows: the generation; and at the beginning of each row: those below
_GENERATION, _READY, _PID = 0, 1, 2
_ROW = _MINE + counts.WIDTH


class SharedState:
    """The folder, as one worker or the process above them sees it.

    Args:
        folder: that all of them know.
        workers: how many there are.
        index: which of them this is.
    """

    def __init__(self, folder: Path, workers: int, index: int = 0) -> None:
        self.folder, self.workers, self.index = folder, workers, index
        size = 8 * (_HEAD + workers * _ROW)
        handle = os.open(folder / "numbers", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(handle).st_size < size:
                os.ftruncate(handle, size)
            self._numbers = memoryview(mmap.mmap(handle, size)).cast("d")
        finally:
            os.close(handle)
        self.counts = counts.Counts(self.row(index))

    def row(self, index: int) -> "memoryview[float]":
        """What a worker has counted."""
        at = _HEAD + index * _ROW + _MINE
        return self._numbers[at : at + counts.WIDTH]

    @property
    def generation(self) -> int:
        """Of the policy that is to be served: 1, and one more with each reload."""
        return int(self._numbers[0])

    def content(self, generation: int) -> bytes:
        """The policy file of a generation."""
        return (self.folder / f"policy-{generation}.onnx").read_bytes()

    def publish(self, content: bytes) -> int:
        """Let all workers take up another policy file; gives its generation."""
        generation = self.generation + 1
        with replacing(self.folder / f"policy-{generation}.onnx") as temporary, temporary.open("wb") as file:
            file.write(content)
        self._numbers[0] = generation
        return generation

    def drop_before(self, generation: int) -> None:
        """Remove the copies of older policies, which nobody serves any more."""
        for path in self.folder.glob("policy-*.onnx"):
            if int(path.stem.removeprefix("policy-")) < generation:
                path.unlink(missing_ok=True)

    def serves(self, generation: int) -> None:
        """Note that this worker answers by a generation."""
        at = _HEAD + self.index * _ROW
        self._numbers[at + _PID] = os.getpid()
        self._numbers[at + _GENERATION] = generation

    def ready(self, index: int, yes: bool | None = None) -> bool:
        """Whether a worker takes requests, after noting that it does or does not."""
        at = _HEAD + index * _ROW + _READY
        if yes is not None:
            self._numbers[at] = float(yes)
        return bool(self._numbers[at])

    def serving(self, generation: int) -> int:
        """How many workers answer by a generation, or a later one."""
        rows = range(self.workers)
        return sum(self.ready(i) and self._numbers[_HEAD + i * _ROW + _GENERATION] >= generation for i in rows)

    @property
    def answering(self) -> int:
        """How many workers take requests."""
        return sum(self.ready(i) for i in range(self.workers))

    @contextmanager
    def reloading(self) -> Iterator[bool]:
        """Context of whoever reloads: one at a time; gives whether it is this one."""
        with (self.folder / "reload.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True
