"""What is kept of a run folder at one moment: every file with its size, its SHA-256 and the pieces that it is made of.

A manifest is written last, when all objects that it names are there, and never changed. Their names have an order, and
the last one that is whole is the state of the run folder.
"""

import hashlib
import json
import re
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Self

FORMAT = 1
LARGEST = 64 * 2**20  # bytes of a piece; more is nothing of ours
_GENERATION = re.compile(r"(\d{4,})-(\d{4,})-([0-9a-f]{8})-(\d{6,})")
_MANIFEST = re.compile(rf"{_GENERATION.pattern}-([0-9a-f]{{16}})\.json")
_OBJECT = re.compile(rf"{_GENERATION.pattern}-\d+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Damage(Exception):
    """A manifest, or an object that it names, is missing or is not what it was."""


class Generation(NamedTuple):
    """When something was put: the order of these is the order in which states of a run folder count.

    Attributes:
        attempt: of the cell; a later one counts before an earlier, whatever that puts afterwards.
        opening: how many workers have opened the folder for this attempt, this one included.
        token: of a worker, drawn by it; tells apart those that opened it at once.
        sync: how many times it has brought its folder up.
    """

    attempt: int
    opening: int
    token: str
    sync: int

    def __str__(self) -> str:
        return f"{self.attempt:04}-{self.opening:04}-{self.token}-{self.sync:06}"

    @property
    def worker(self) -> tuple[int, int, str]:
        """Who put it."""
        return self[:3]

    @classmethod
    def of(cls, name: str) -> Self | None:
        """The generation in an object's name, also of one that was never finished; None where there is none."""
        found = _GENERATION.search(name)
        return cls(int(found[1]), int(found[2]), found[3], int(found[4])) if found else None


class KeptPiece(NamedTuple):
    """A part of a file: ``size`` bytes of the object ``name`` from ``start`` on."""

    name: str
    start: int
    size: int
    sha256: str


class KeptFile(NamedTuple):
    """A file of the run folder: its pieces, one after the other, are its content."""

    size: int
    sha256: str
    pieces: tuple[KeptPiece, ...]


class Manifest(NamedTuple):
    """The files of a run folder at one moment, by their paths from there, with ``/``."""

    generation: Generation
    files: dict[str, KeptFile]

    @property
    def objects(self) -> dict[str, int]:
        """The objects that it names -> bytes that each has at least."""
        ends: dict[str, int] = {}
        for piece in self.pieces().values():
            ends[piece.name] = max(ends.get(piece.name, 0), piece.start + piece.size)
        return ends

    @property
    def nbytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files.values())

    def pieces(self) -> dict[str, KeptPiece]:
        """All pieces by their SHA-256: what is known already needs no second place."""
        return {piece.sha256: piece for file in self.files.values() for piece in file.pieces}

    def written(self) -> tuple[str, bytes]:
        """Its name, and its content."""
        names = sorted(self.objects)
        at = {name: k for k, name in enumerate(names)}
        files = {
            path: [file.size, file.sha256, [[at[p.name], p.start, p.size, p.sha256] for p in file.pieces]]
            for path, file in self.files.items()
        }
        content = {"rlbench": "manifest", "format": FORMAT, "objects": names, "files": files}
        data = json.dumps(content, separators=(",", ":")).encode()
        return f"{self.generation}-{hashlib.sha256(data).hexdigest()[:16]}.json", data

    @classmethod
    def read(cls, name: str, data: bytes | None) -> Self:
        """What `written` gave.

        Raises:
            Damage: it is missing, or something else; it leads to places outside the run folder or the store.
        """
        named = _MANIFEST.fullmatch(name)
        generation = Generation.of(name)
        if data is None or named is None or generation is None:
            raise Damage("its manifest is missing")
        if hashlib.sha256(data).hexdigest()[:16] != named[5]:
            raise Damage("its manifest does not match its digest")
        try:
            content = json.loads(data)
            version = content["format"]
            if version > FORMAT:
                raise Damage(f"its manifest has format {version}, this rlbench reads up to {FORMAT}: upgrade rlbench")
            names = [_checked(_OBJECT, one) for one in content["objects"]]
            files = {_inside(path): _file(names, *held) for path, held in content["files"].items()}
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as e:
            raise Damage(f"its manifest is none of ours: {type(e).__name__}: {e}") from e
        return cls(generation, files)


def generation_of_manifest(name: str) -> Generation | None:
    """That of a manifest with this name; None where it is the name of something else."""
    return Generation.of(name) if _MANIFEST.fullmatch(name) else None


def _file(names: list[str], size: int, sha256: str, pieces: list[list[Any]]) -> KeptFile:
    made = tuple(
        KeptPiece(names[k], int(start), int(length), _checked(_SHA256, digest)) for k, start, length, digest in pieces
    )
    if any(piece.start < 0 or not 0 < piece.size <= LARGEST for piece in made) or sum(p.size for p in made) != size:
        raise ValueError("the sizes of its pieces do not fit")
    return KeptFile(int(size), _checked(_SHA256, sha256), made)


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not expected")
    return text


def _inside(path: str) -> str:
    """``path``, if it lies below the folder that it is told of."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError(f"{path!r} lies outside")
    return path
