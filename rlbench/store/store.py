"""A run folder in a store: brought up piece by piece, brought down equal to its newest state, whoever was killed when.

Below the address lie ``objects/``, which hold pieces of files, and ``manifests/``, one for each time that the folder
was brought up, written last. An object or manifest is never changed. The newest manifest that is whole is the state of
the run folder, as no name in it leads to anything that is not there.
"""

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from ..errors import Overtaken, StoreError, UsageError
from ..files import unwritable
from ..process.places import shown
from .bring import bring
from .manifest import Damage, Generation, KeptFile, KeptPiece, Manifest, generation_of_manifest
from .objects import PATIENCE, Objects
from .pieces import cuts, files_of, pieces_of
from .tidy import GRACE, MANIFESTS, Tidy
from .uploads import FOLDER, Uploads


class Synced(NamedTuple):
    """What bringing a folder up took.

    Attributes:
        files: in the folder.
        nbytes: that they have.
        sent: bytes that were new.
        requests: objects that were put, the manifest among them.
        seconds: in all.
    """

    files: int
    nbytes: int
    sent: int
    requests: int
    seconds: float


class Store:
    """A run folder at an address.

    Args:
        address: of this run folder alone, as `Objects` takes it.
        attempt: of the worker that brings the folder up; 0 for who only reads. Among several workers the one of the
            later attempt counts, and of one attempt who came last; the others are refused when they bring up next.
        note: told what the user should know.
        patience: seconds that a request is tried again for where the network fails.
        grace: seconds that what is out of use stays for those who read it.

    Raises:
        UsageError: it is no address, or what its protocol needs is not installed.
    """

    def __init__(
        self,
        address: str,
        attempt: int = 0,
        *,
        note: Callable[[str], object] = lambda text: None,
        patience: float = PATIENCE,
        grace: float = GRACE,
    ) -> None:
        self.objects, self.attempt, self.note = Objects(address, patience), attempt, note
        self.address = self.objects.address
        self._tidy = Tidy(self.objects, grace)
        self._mine: Generation | None = None  # of what was put last
        self._base: Manifest | None = None  # the state that the next one is told apart from
        self._seen: dict[str, tuple[tuple[int, ...], KeptFile]] = {}  # files as they were brought up last

    def newest(self) -> Manifest | None:
        """The state of the run folder; None where there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        sizes = self.objects.sizes(FOLDER)
        for name in self._names():
            with contextlib.suppress(Damage):
                return self._read(name, sizes)
        return None

    def down(self, folder: Path, keep: Collection[str] = ()) -> bool:
        """Make ``folder`` equal to the newest state; False where there is none, and the folder stays as it is.

        A worker's own store holds that state under its name from then on, so that one before it that is still at work
        finds itself overtaken.

        Args:
            folder: made if need be; nobody else writes there.
            keep: paths of files that stay as they are, if they are there.

        Raises:
            Overtaken: a worker of a later attempt was here.
            StoreError: the store cannot be read.
            RunFolderError: the folder cannot be written.
        """
        damaged: set[str] = set()
        while names := [name for name in self._names() if name not in damaged]:
            self._enter(names)
            try:
                manifest = self._read(names[0], self.objects.sizes(FOLDER))
                bring(manifest, folder, self.objects, keep)
            except Damage as e:
                damaged.add(names[0])
                if self._names()[:1] == names[:1]:  # else it was out of use, and removed while we read
                    self.note(f"{self.address}: the state of {_told(names[0])} is damaged: {e}. Taking the one before.")
                continue
            self._base = manifest
            if self._mine is not None:
                self._put_manifest(manifest.files)
            return True
        if damaged:
            self.note(f"{self.address}: no state there is whole.")
        return False

    def up(self, folder: Path) -> Synced:
        """Make what ``folder`` holds the newest state. Nobody may be writing there but to the end of files.

        Raises:
            Overtaken: another worker has taken the run folder over. What it holds stays.
            StoreError: the store cannot be written. The newest state is that of before.
        """
        if not self.attempt:
            raise UsageError("a store that was opened to read is not written to")
        began, names = time.perf_counter(), self._names()
        self._enter(names)
        assert self._mine is not None
        if self._base is None and names:
            self._base = self.newest()
        self._mine = self._mine._replace(sync=self._mine.sync + 1)
        known = {} if self._base is None else self._base.pieces()
        files: dict[str, KeptFile] = {}
        try:
            with Uploads(self.objects, self._mine) as uploads:
                for name, path in files_of(folder):
                    with contextlib.suppress(FileNotFoundError):  # of a tracker, say, and gone again
                        files[name] = self._taken(name, path, known, uploads)
        except OSError as e:
            raise unwritable(shown(folder), e) from e
        requests = uploads.requests
        if self._base is None or self._base.generation.worker != self._mine.worker or files != self._base.files:
            self._put_manifest(files)
            requests += 1
        with contextlib.suppress(StoreError):  # of no harm
            self._tidy.if_due(self._mine)
        nbytes = sum(file.size for file in files.values())
        return Synced(len(files), nbytes, uploads.sent, requests, time.perf_counter() - began)

    def read_file(self, path: str) -> bytes | None:
        """What a file of the newest state holds; None where there is no such file, or no state, or it is damaged.

        Raises:
            StoreError: the store cannot be read.
        """
        state = self.newest()
        if state is None or path not in state.files:
            return None
        got = [self.objects.get(f"{FOLDER}/{p.name}", p.start, p.size) or b"" for p in state.files[path].pieces]
        data = b"".join(got)
        return data if hashlib.sha256(data).hexdigest() == state.files[path].sha256 else None

    def tidy(self) -> None:
        """Remove at once whatever the two newest states do not need, of a run folder that nobody works at any more.

        Raises:
            StoreError: the store cannot be read or written.
        """
        if names := self._names():
            generation = generation_of_manifest(names[0])
            assert generation is not None
            Tidy(self.objects, 0.0).now(generation)

    def write_note(self, name: str, data: bytes) -> None:
        """Put a few bytes beside the run folder's state, for who looks on; what had this name goes.

        Raises:
            StoreError: it cannot be written.
        """
        self.objects.put(name, data)

    def read_note(self, name: str) -> bytes | None:
        """What `write_note` has put, by whoever; None where there is nothing.

        Raises:
            StoreError: it cannot be read.
        """
        return self.objects.get(name)

    def _names(self) -> list[str]:
        """All manifests, the newest first."""
        found = [(generation, name) for name in self.objects.sizes(MANIFESTS)
                 if (generation := generation_of_manifest(name))]  # fmt: skip
        return [name for _, name in sorted(found, reverse=True)]

    def _read(self, name: str, sizes: dict[str, int]) -> Manifest:
        """A manifest all of whose objects are there. Raises Damage."""
        manifest = Manifest.read(name, self.objects.get(f"{MANIFESTS}/{name}"))
        for needed, size in manifest.objects.items():
            if sizes.get(needed, -1) < size:
                raise Damage(f"object {needed} is {'too short' if needed in sizes else 'missing'}")
        return manifest

    def _enter(self, names: list[str]) -> None:
        """Take a worker's place behind those who were here, the first time; see that it is still ours."""
        if not self.attempt:
            return
        there = [generation for name in names if (generation := generation_of_manifest(name))]
        if self._mine is None:
            before = max((one.opening for one in there if one.attempt == self.attempt), default=0)
            self._mine = Generation(self.attempt, before + 1, secrets.token_hex(4), 0)
        newest = max(there, default=self._mine)
        if newest.worker > self._mine.worker:
            which = f"attempt {newest.attempt}" if newest.attempt > self.attempt else "another process"
            raise Overtaken(
                f"{self.address}: {which} has taken this run over, and goes on from what was brought up last. This "
                f"process, of attempt {self.attempt}, ends here."
            )

    def _put_manifest(self, files: dict[str, KeptFile]) -> None:
        assert self._mine is not None
        manifest = Manifest(self._mine, files)
        name, data = manifest.written()
        self.objects.put(f"{MANIFESTS}/{name}", data)
        self._base = self._tidy.known[name] = manifest

    def _taken(self, name: str, path: Path, known: dict[str, KeptPiece], uploads: Uploads) -> KeptFile:
        """A file, with those of its pieces brought up that are new; ``known`` then has these too."""
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            before = self._base.files.get(name) if self._base else None
            if before is not None and self._seen.get(name) == (mark, before):
                return before
            pieces, whole = [], hashlib.sha256()
            for data, digest in pieces_of(file, cuts(stat.st_size, [p.size for p in before.pieces] if before else [])):
                whole.update(data)
                if digest not in known:
                    known[digest] = uploads.add(data, digest)
                pieces.append(known[digest])
        kept = KeptFile(sum(piece.size for piece in pieces), whole.hexdigest(), tuple(pieces))
        self._seen[name] = (mark, kept)
        return kept


def _told(name: str) -> str:
    generation = generation_of_manifest(name)
    return f"attempt {generation.attempt}, sync {generation.sync}" if generation else name
