"""Runs a function in a process of its own, a fork of this one: what hangs, dies or prints in there harms nobody.

A fork sees all that is in memory, classes that a test defines among it, and takes milliseconds. Where there is none, as
on Windows, the function runs right here, without a limit.
"""

import contextlib
import faulthandler
import json
import os
import re
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import torch

from ..process.orphans import when_the_parent_dies

GRACE = 5.0  # seconds beyond its limit after which a process is killed that does not end itself
MOST = 2_000  # characters that are kept of what is printed
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<name>.+)')


class Frame(NamedTuple):
    """A line of code that was under way."""

    file: str
    line: int
    name: str


class Aftermath(NamedTuple):
    """How it ended.

    ``value`` is what the function gave. Where it gave nothing: ``hung``, or ``died`` says by what, and ``stack`` has
    the lines that were under way, the innermost first, as far as they are known.
    """

    value: Any
    hung: bool
    died: str
    stack: list[Frame]
    printed: str
    seconds: float


def apart(ask: Callable[[], Any], limit: float) -> Aftermath:
    """What ``ask`` gives, in another process.

    Args:
        ask: gives what JSON can hold; whatever it raises ends its process.
        limit: seconds, after which it is ended.
    """
    if not hasattr(os, "fork"):
        began = time.perf_counter()
        return Aftermath(ask(), False, "", [], "", time.perf_counter() - began)
    here, there = os.pipe()
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as stack:
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child computes on one of its own
            child = os.fork()
        if not child:
            os.close(here)
            _be_the_child(ask, limit, there, printed, stack)
        os.close(there)
        try:
            sent, status = _listen(here, child, limit + GRACE)
        finally:
            os.close(here)
            _end(child)
        seconds = time.perf_counter() - began
        text, dump = _read(printed, MOST), _read(stack, 2**20)
    try:
        value = json.loads(sent)
    except ValueError:  # it did not come so far
        hung = "Timeout (" in dump or status is None
        return Aftermath(None, hung, "" if hung else _death(status or 0), _frames(dump), text, seconds)
    return Aftermath(value, False, "", [], text, seconds)


def _be_the_child(ask: Callable[[], Any], limit: float, pipe: int, printed: IO[bytes], stack: IO[bytes]) -> None:
    """Never returns."""
    code, end = 1, os._exit
    try:
        os.setsid()  # what it starts ends with it
        when_the_parent_dies(signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, printed.fileno()), (2, printed.fileno())):
            os.dup2(source, target)
        words: Any = open(1, "w", 1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        sys.stdout = sys.stderr = words
        faulthandler.enable(stack)
        faulthandler.dump_traceback_later(limit, exit=True, file=stack)

        def told(code: int) -> None:
            faulthandler.dump_traceback(stack)
            end(code)

        os._exit = told  # type: ignore[assignment]
        torch.set_num_threads(1)  # a pool of threads does not live on in a fork
        text = json.dumps(ask()).encode()
        faulthandler.cancel_dump_traceback_later()
        words.flush()
        while text:
            text = text[os.write(pipe, text) :]
        code = 0
    finally:
        end(code)


def _listen(pipe: int, child: int, limit: float) -> tuple[bytes, int | None]:
    """What came through ``pipe``, and how the child ended, as ``os.waitpid`` has it; None: it did not."""
    parts, until, status = [], time.monotonic() + limit, None
    while time.monotonic() < until:
        ready, _, _ = select.select([pipe], [], [], 0.05)
        if ready:
            part = os.read(pipe, 2**16)
            if part:
                parts.append(part)
                continue
        if status is not None:  # whatever it left running may still hold the pipe
            break
        done, code = os.waitpid(child, os.WNOHANG)
        status = code if done else None
        if ready and status is None:
            time.sleep(0.001)  # the pipe is closed, and the child about to end
    return b"".join(parts), status


def _end(child: int) -> None:
    """End the child, if it has not, and all that it started."""
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(child, 0)


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"was ended by {name}" + (", as for lack of memory" if name == "SIGKILL" else "")
    return f"ended with exit code {os.WEXITSTATUS(status)}, as by os._exit"


def _read(file: IO[bytes], most: int) -> str:
    file.seek(0)
    return file.read(4 * most).decode("utf-8", "replace")[:most]


def _frames(dump: str) -> list[Frame]:
    return [Frame(m["file"], int(m["line"]), m["name"]) for m in FRAME.finditer(dump)]
