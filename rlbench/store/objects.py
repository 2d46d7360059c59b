"""Objects below an address: bytes under a name, put whole, read, listed and removed, wherever fsspec reaches.

No more is asked of a place than an object store gives: an object is there whole or not at all, and a listing shows what
has been put; there is no renaming, no appending and no clock to trust. What passes by itself, such as a network that is
down for a moment, is tried again for some time; all else is one line for the user.
"""

import contextlib
import errno
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ..errors import StoreError, first_line
from ..files import replacing
from ..units import duration
from .address import opened, protocol_of, whole_address

PATIENCE = 60.0  # seconds that one request is tried again for
WIDE = 8  # requests at a time: an answer takes longer to come than to send
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 10.0  # seconds between tries; each is twice the one before
_FOR_GOOD = {
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.ENOSPC,
    errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.ENOSYS, errno.EFBIG,
}  # fmt: skip
_CLIENTS = ("aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "paramiko", "requests", "urllib3")
_FOLDERS = {"arrow_hdfs", "ftp", "hdfs", "sftp", "smb", "ssh", "webhdfs"}  # where a folder is made before its files
_T = TypeVar("_T")


class Objects:
    """The objects below ``address``. May be used by several threads.

    Args:
        address: ``s3://bucket/path``, ``file:///folder``, ``memory://name`` or what else fsspec knows; without a
            protocol a folder of this machine, or of a disk that machines share.
        patience: seconds that one request is tried again for, where what is wrong may pass.

    Raises:
        UsageError: it is no such address, or what its protocol needs is not installed.
    """

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        self.address, self.patience = whole_address(address), patience
        self._fs, self._root = opened(self.address)
        self._folder = Path(self._root) if protocol_of(self.address) == "file" else None
        self._given_up = threading.Event()

    def put(self, name: str, data: bytes) -> None:
        """Make ``data`` the object ``name``, whose last part no folder has; it is there whole once this returns.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            self._ask(f"write {self.address}", lambda: self._put(name, data))
        except (FileNotFoundError, NotADirectoryError) as e:  # there is nothing to put it in
            what = "Give another address" if self._folder else "Create the bucket, or give another address"
            raise StoreError(f"cannot write {self.address}: {first_line(e)}. {what}.") from e

    def get(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        """The bytes of ``name`` from ``start`` on, ``size`` of them at most; None where there is no such object.

        Raises:
            StoreError: it cannot be read.
        """
        end = None if size is None else start + size
        part = {} if size is None else {"start": start, "end": end}
        if size == 0:
            return b""
        try:
            return self._ask(f"read {self.address}", lambda: bytes(self._fs.cat_file(self._path(name), **part)))
        except FileNotFoundError:
            return None

    def sizes(self, folder: str) -> dict[str, int]:
        """The objects directly below ``folder`` now: name without the folder -> bytes.

        Raises:
            StoreError: they cannot be listed.
        """

        def listed() -> list[dict[str, Any]]:
            self._fs.invalidate_cache()
            return list(self._fs.ls(self._path(folder), detail=True))

        try:
            found = self._ask(f"list {self.address}", listed)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {entry["name"].rpartition("/")[2]: int(entry["size"] or 0) for entry in found if entry["type"] == "file"}

    def folders(self) -> set[str]:
        """The names that objects below ``address`` have before their first ``/``.

        Raises:
            StoreError: they cannot be listed.
        """

        def listed() -> list[dict[str, Any]]:
            self._fs.invalidate_cache()
            return list(self._fs.ls(self._root, detail=True))

        try:
            found = self._ask(f"list {self.address}", listed)
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "directory"}

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone already are none of our business.

        Raises:
            StoreError: one cannot be removed.
        """

        def one(name: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                self._ask(f"remove objects of {self.address}", lambda: self._fs.rm_file(self._path(name)))

        with self.at_once() as make:
            for name in names:
                make(one, name)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[Callable[..., None]]:
        """Context for several requests at a time: gives a function that has one more made, and waits while many are.

        At its end all of them were. The first error ends the others, and is raised.
        """
        pool, room, failed = ThreadPoolExecutor(WIDE), threading.Semaphore(WIDE + 1), list[BaseException]()

        def over(future: Future[object]) -> None:
            room.release()
            if (e := future.exception()) is not None:
                failed.append(e)
                self._given_up.set()

        def make(act: Callable[..., object], *args: object) -> None:
            room.acquire()
            if failed:
                raise failed[0]
            pool.submit(act, *args).add_done_callback(over)

        try:
            yield make
        except BaseException:
            self._given_up.set()
            raise
        finally:
            pool.shutdown()
            self._given_up.clear()
        if failed:
            raise failed[0]

    def check(self) -> None:
        """See whether objects can be put, listed, read and removed here, before the work for them is done.

        Raises:
            StoreError: one of these fails.
        """
        name, word = f"check/{secrets.token_hex(8)}", secrets.token_bytes(16)
        self.put(name, word)
        listed, read = self.sizes("check"), self.get(name)
        self.remove([name])
        if self._folder is not None:
            with contextlib.suppress(OSError):  # others are checking
                (self._folder / "check").rmdir()
        if name.rpartition("/")[2] not in listed or read != word:
            raise StoreError(
                f"{self.address} does not keep what is put there: an object was {'not listed' if read else 'not found'}"
                " right after it was written. Give another address."
            )

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _put(self, name: str, data: bytes) -> None:
        if self._folder is not None:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, sync=True) as temporary, temporary.open("wb") as file:
                file.write(data)
            return
        if protocol_of(self.address) in _FOLDERS:
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(self._path(name), data)

    def _ask(self, what: str, act: Callable[[], _T]) -> _T:
        """What ``act`` gives; again and again where what is wrong may pass. FileNotFoundError is the caller's."""
        began, wait, tries = time.monotonic(), _FIRST_WAIT, 0
        while True:
            tries += 1
            try:
                return act()
            except (FileNotFoundError, NotADirectoryError, StoreError):
                raise
            except Exception as e:
                seconds = time.monotonic() - began
                if _for_good(e) or seconds + wait > self.patience:
                    raise StoreError(f"cannot {what}: {_why(e, tries, seconds)}") from e
            self._given_up.wait(wait * (0.5 + secrets.randbelow(1000) / 1000))  # others wait too: not all at once
            if self._given_up.is_set():
                raise StoreError(f"cannot {what}: given up")
            wait = min(2 * wait, _LONGEST_WAIT)


def _for_good(e: BaseException) -> bool:
    """Whether trying again is of no use: neither the place nor the way to it is at fault."""
    if isinstance(e, NotImplementedError | ImportError | TypeError | PermissionError):
        return True
    if isinstance(e, OSError):
        return e.errno in _FOR_GOOD
    return not type(e).__module__.startswith(_CLIENTS) or "Credential" in type(e).__name__


def _why(e: BaseException, tries: int, seconds: float) -> str:
    """What an error comes to, and what to do."""
    said = first_line(e)
    if isinstance(e, PermissionError) or "Credential" in type(e).__name__:
        return f"no permission: {said}. Give this machine credentials that may list, read, write and delete there."
    if isinstance(e, NotImplementedError):
        return "this protocol cannot do that. Give another address."
    if _for_good(e):
        return f"{getattr(e, 'strerror', None) or said}."
    return f"{said} (tried {tries} times in {duration(seconds)}). Is the address right, and the network up?"
