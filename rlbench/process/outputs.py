"""Where a command's words go: to the streams that it began with, whatever somebody else's code does to them meanwhile.

Environments and agents close ``sys.stdout``, or its file, or leave something in its place that cannot be written to. So
a command writes to streams of its own, which nobody else can close. Where these cannot be written any more, as into a
closed pipe or on a full disk, a run that is under way stops as by a signal, with everything saved.
"""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ..errors import RlbenchError

listeners: list[Callable[[OSError], object]] = []  # told when standard output is lost; the innermost last
_kept: "tuple[Lasting, Lasting] | None" = None  # while a command runs: standard output and standard error


class OutputLost(RlbenchError):
    """What a command has to say cannot be written any more."""

    def __init__(self, e: OSError) -> None:
        super().__init__(f"{why(e)}.")
        self.exit_code = code(e)
        self.quiet = e.errno == errno.EPIPE  # the reader has seen enough: nobody wants to be told


def why(e: OSError) -> str:
    """In words, of an error at writing to standard output."""
    if e.errno == errno.EPIPE:
        return "nobody reads standard output any more"
    return f"standard output cannot be written: {e.strerror or e}"


def code(e: OSError) -> int:
    """What to exit with: as programs do that SIGPIPE ends, or 1."""
    return 128 + pipe_signal() if e.errno == errno.EPIPE else 1


def pipe_signal() -> int:
    """The number of SIGPIPE, which some systems do not have."""
    return int(getattr(signal, "SIGPIPE", 13))


class Lasting(io.TextIOBase):
    """Writes where ``stream`` does, to a file handle of its own if that has one; `close` leaves it open.

    Args:
        stream: None where the program has none: what is written is dropped.
        matters: whether somebody is told when it cannot be written any more. Otherwise what is written is dropped.
    """

    def __init__(self, stream: TextIO | None, *, matters: bool) -> None:
        self._stream, self._inner, self._matters, self._handle = stream, stream, matters, -1
        self.lost: OSError | None = None
        if stream is None:
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):  # one without a file, or that is closed
            stream.flush()
            self._handle = os.dup(stream.fileno())
            self._inner = self._opened()

    def _opened(self) -> TextIO:
        file = open(os.dup(self._handle), "wb")  # noqa: SIM115 (closed by `end`)
        how: Any = self._stream
        return io.TextIOWrapper(
            file, how.encoding, how.errors, line_buffering=how.line_buffering, write_through=how.write_through
        )

    def end(self) -> None:
        """Write what waits to be written, and let go of its own handle."""
        inner, self._inner = self._inner, None
        if self._handle >= 0:
            with contextlib.suppress(OSError, ValueError):
                assert inner is not None
                inner.close()
            with contextlib.suppress(OSError):  # somebody closed that too
                os.close(self._handle)
            self._handle = -1

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._try(lambda inner: inner.write(text))
        if self.write_through:  # the program's own has no buffer below it, as PYTHONUNBUFFERED asks; ours has
            self.flush()
        return len(text)

    def flush(self) -> None:
        self._try(lambda inner: inner.flush())

    def close(self) -> None:
        """Nothing but a flush: others have more to write."""
        self.flush()

    def detach(self) -> Any:
        """What lies under it, for those who put another text file around that; it stays ours."""
        self.flush()
        return self.buffer

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self.lost or self._inner is None:
            return
        try:
            if self._inner.closed and self._handle >= 0:  # somebody closed what lies under it
                self._inner = self._opened()
            if not self._inner.closed:
                act(self._inner)
        except OSError as e:
            self.lost = e
            if self._matters and not listeners:
                raise OutputLost(e) from e
            if self._matters:
                listeners[-1](e)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._inner is not None and not self._inner.closed and self._inner.isatty()

    def fileno(self) -> int:
        if self._inner is None:
            raise io.UnsupportedOperation("fileno")
        return self._inner.fileno()

    @property
    def buffer(self) -> Any:
        return getattr(self._inner, "buffer", None)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return getattr(self._stream, "errors", None)

    @property
    def line_buffering(self) -> bool:
        return bool(getattr(self._stream, "line_buffering", False))

    @property
    def write_through(self) -> bool:
        return bool(getattr(self._stream, "write_through", False))

    def reconfigure(self, **how: Any) -> None:
        """As of a text file."""
        if isinstance(self._inner, io.TextIOWrapper):
            self._inner.reconfigure(**how)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Context in which `out` and `err` are what ``sys.stdout`` and ``sys.stderr`` were at its beginning."""
    global _kept
    before, streams = _kept, (sys.stdout, sys.stderr)
    _kept = Lasting(sys.stdout, matters=True), Lasting(sys.stderr, matters=False)
    put_back()
    try:
        yield
    finally:
        for stream in _kept:
            stream.end()
        _kept = before
        sys.stdout, sys.stderr = streams


def put_back() -> None:
    """Let ``sys.stdout`` and ``sys.stderr`` be the command's own again: somebody else's code has run."""
    if _kept:
        sys.stdout, sys.stderr = _kept


def out() -> Any:
    """Where what was asked for goes; None, which is ``sys.stdout`` to those who print, where no command is running."""
    return _kept[0] if _kept else None


def err() -> Any:
    """Where notes go; None likewise, but for ``sys.stderr``."""
    return _kept[1] if _kept else sys.stderr


def check() -> None:
    """Write what still waits to be written. Raises OutputLost where something was not written."""
    if _kept:
        _kept[0].flush()
        if _kept[0].lost:
            raise OutputLost(_kept[0].lost)
