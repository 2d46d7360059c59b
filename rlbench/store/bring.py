"""A folder is made equal to what a manifest says, from what lies there already and from objects.

All that is missing is fetched and checked beside its place first. Nothing in the folder changes before all of it is
there; then the files go, and come, that who looks at a run looks at first come last.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ..files import remove_leftovers, replacing_all, unwritable
from ..process.places import shown
from .manifest import Damage, KeptFile, KeptPiece, Manifest
from .objects import Objects
from .pieces import files_of, pieces_of
from .uploads import FOLDER

LAST = ("checkpoint.pth", "summary.json", "attempt.json")  # whoever finds these finds what they speak of


class _Wanted(NamedTuple):
    """A piece that goes to ``at`` in the file ``staged``."""

    piece: KeptPiece
    staged: Path
    at: int


def bring(manifest: Manifest, folder: Path, objects: Objects, keep: Collection[str] = ()) -> int:
    """Make ``folder`` hold the files of ``manifest`` and no others.

    A process that is killed meanwhile leaves what was there before; or, within the moment in which the files take their
    places, some of the new ones, which the next call puts right.

    Args:
        manifest: whole, as far as can be told without reading what it names.
        folder: made if need be; nobody else writes there.
        objects: where the pieces are.
        keep: paths of files that stay as they are, if they are there.

    Returns:
        Bytes that were fetched.

    Raises:
        Damage: an object is missing, or is not what the manifest says. The folder is as it was.
        StoreError: the store cannot be read. Likewise.
        RunFolderError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place, _, _ in os.walk(folder):
            remove_leftovers(Path(place))
        stays = {name for name in keep if (folder / name).is_file()}
        kept = {name: _held(folder / name, file) for name, file in manifest.files.items() if name not in stays}
        names = [name for name in kept if kept[name] is not None]
        names.sort(key=lambda name: (LAST.index(name) + 1 if name in LAST else 0, name))
        fetched = 0
        for name in names:
            _make_room(folder, name)
        with replacing_all([folder / name for name in names]) as staged:
            wanted: list[_Wanted] = []
            for name, path in zip(names, staged, strict=True):
                wanted += _from_here(folder / name, kept[name] or (), manifest.files[name], path)
            fetched = _fetch(wanted, objects)
            for name, path in zip(names, staged, strict=True):
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != manifest.files[name].sha256:
                        raise Damage(f"{name} is not what it was")
            for name, path in list(files_of(folder)):
                if name not in manifest.files and name not in stays:
                    path.unlink()
    except OSError as e:
        raise unwritable(shown(folder), e) from e
    for place, _, _ in os.walk(folder, topdown=False):
        if Path(place) != folder and not os.listdir(place):
            os.rmdir(place)
    return fetched


def _make_room(folder: Path, name: str) -> None:
    """Make the folder that a file is to lie in, and see that it is below ``folder`` whatever links lie there."""
    place = (folder / name).parent
    place.mkdir(parents=True, exist_ok=True)
    if not place.resolve().is_relative_to(folder.resolve()):
        raise Damage(f"{name} would lie outside the folder")


def _held(path: Path, file: KeptFile) -> tuple[bool, ...] | None:
    """Which pieces of ``file`` lie at ``path`` in their places; None where that is all of it, and nothing else."""
    try:
        with path.open("rb") as lying:
            found = [digest for _, digest in pieces_of(lying, [piece.size for piece in file.pieces])]
            longer = bool(lying.read(1))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return (False,) * len(file.pieces)
    found += [""] * (len(file.pieces) - len(found))
    same = tuple(digest == piece.sha256 for digest, piece in zip(found, file.pieces, strict=True))
    return None if all(same) and not longer else same


def _from_here(path: Path, held: tuple[bool, ...], file: KeptFile, staged: Path) -> list[_Wanted]:
    """Copy the pieces that lie at ``path``; what is left to fetch."""
    wanted, at = [], 0
    with staged.open("r+b") as out:
        for piece, here in zip(file.pieces, held, strict=True):
            if here:
                with path.open("rb") as lying:
                    lying.seek(at)
                    out.seek(at)
                    out.write(lying.read(piece.size))
            else:
                wanted.append(_Wanted(piece, staged, at))
            at += piece.size
    return wanted


def _fetch(wanted: list[_Wanted], objects: Objects) -> int:
    """Put pieces into their files; how many bytes that took. Each object is asked once."""
    by_object: dict[str, list[_Wanted]] = defaultdict(list)
    for one in wanted:
        by_object[one.piece.name].append(one)
    fetched = 0

    def fetch(name: str, parts: list[_Wanted]) -> None:
        nonlocal fetched
        start = min(part.piece.start for part in parts)
        size = max(part.piece.start + part.piece.size for part in parts) - start
        data = objects.get(f"{FOLDER}/{name}", start, size)
        if data is None:
            raise Damage(f"object {name} is missing")
        fetched += len(data)
        for piece, staged, at in parts:
            part = data[piece.start - start :][: piece.size]
            if hashlib.sha256(part).hexdigest() != piece.sha256:
                raise Damage(f"object {name} is not what it was")
            with staged.open("r+b") as out:
                out.seek(at)
                out.write(part)

    with objects.at_once() as make:
        for name, parts in by_object.items():
            make(fetch, name, parts)
    return fetched
