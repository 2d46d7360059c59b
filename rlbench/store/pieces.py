"""A file cut into pieces: of one that grew, or of which a part was written anew, no more is sent than that part.

Where it was cut before it is cut again. What a file has grown by is a piece of its own, together with the pieces before
that are no larger: each is larger than the next, so that a file which grows at every checkpoint has few of them, and
each of its bytes is sent a few times at most.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ..files import is_leftover
from ..runfolder.lock import NAME as LOCK

PIECE = 2**18  # bytes; of a replay buffer the pieces are sent in which something is new, a few for each seed
MOST = 2**12  # pieces of a file, about; those of larger files are larger, as each has a line in the manifest


def cuts(size: int, before: Sequence[int]) -> list[int]:
    """Sizes of the pieces of a file of ``size`` bytes whose pieces had the sizes ``before``, if there were any."""
    largest = PIECE << max(0, (size // (PIECE * MOST)).bit_length())
    kept: list[int] = []
    left = size
    for length in before:
        if length > left:
            break
        kept.append(length)
        left -= length
    while kept and 0 < kept[-1] <= left and kept[-1] + left <= largest:
        left += kept.pop()
    return kept + [largest] * (left // largest) + ([left % largest] if left % largest else [])


def pieces_of(file: BinaryIO, sizes: Iterable[int]) -> Iterator[tuple[bytes, str]]:
    """The next pieces of an open file, each with its SHA-256; those that it is too short for by now are missing."""
    for size in sizes:
        data = file.read(size)
        if not data:
            return
        yield data, hashlib.sha256(data).hexdigest()


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a run folder that are worth keeping: path from there with ``/``, and where it lies.

    Without its lock, and without what a process has left that was killed while it wrote. Links to folders are not
    followed.
    """
    for place in sorted(folder.iterdir()):
        if place.is_dir():
            if not (place.is_symlink() or is_leftover(place.name)):
                yield from ((f"{place.name}/{name}", path) for name, path in files_of(place))
        elif place.is_file() and place.name != LOCK and not is_leftover(place.name):
            yield place.name, place
