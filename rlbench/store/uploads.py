"""Pieces on their way up: large ones become objects of their own, small ones share one, as each costs a request."""

from types import TracebackType
from typing import Self

from .manifest import Generation, KeptPiece
from .objects import Objects

LARGE = 2**20  # bytes from which a piece is an object of its own
PACK = 4 * 2**20  # bytes at which one that small pieces share is full
FOLDER = "objects"


class Uploads:
    """Context in which pieces are brought up, several at a time; at its end all of them are there.

    Args:
        objects: where to.
        generation: of the objects' names. No other process puts objects of these names.

    Attributes:
        sent: bytes so far.
        requests: objects so far.

    Raises:
        StoreError: one cannot be written.
    """

    def __init__(self, objects: Objects, generation: Generation) -> None:
        self.objects, self.generation = objects, generation
        self.sent = self.requests = 0
        self._pack: list[bytes] = []
        self._packed = 0  # bytes in it
        self._name = ""  # of its object to be
        self._context = objects.at_once()

    def __enter__(self) -> Self:
        self._make = self._context.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        if e is None:
            try:
                self._send_pack()
            except BaseException as error:
                self._context.__exit__(type(error), error, error.__traceback__)
                raise
        self._context.__exit__(kind, e, trace)

    def add(self, data: bytes, sha256: str) -> KeptPiece:
        """Bring ``data`` up; where it will be found."""
        if len(data) >= LARGE:
            return KeptPiece(self._send(self._next(), data), 0, len(data), sha256)
        if self._packed + len(data) > PACK:
            self._send_pack()
        if not self._pack:
            self._name = self._next()
        piece = KeptPiece(self._name, self._packed, len(data), sha256)
        self._pack.append(data)
        self._packed += len(data)
        return piece

    def _next(self) -> str:
        self.requests += 1
        return f"{self.generation}-{self.requests}"

    def _send_pack(self) -> None:
        if self._pack:
            data, self._pack, self._packed = b"".join(self._pack), [], 0
            self._send(self._name, data)

    def _send(self, name: str, data: bytes) -> str:
        self.sent += len(data)
        self._make(self.objects.put, f"{FOLDER}/{name}", data)
        return name
