"""The nursery of a sweep on this machine, begun before its cells are known: it imports while its driver does.

Imports nothing heavy, so that a command can begin one before anything else.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

_begun: "list[subprocess.Popen[bytes]]" = []  # that nobody has taken yet


def begin() -> "subprocess.Popen[bytes]":
    """A nursery's process: `rlbench.engines.nursery` says how to speak with it."""
    return subprocess.Popen(
        [sys.executable, "-m", "rlbench.engines.nursery"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C in the terminal is for the driver to hand on
    )


@contextlib.contextmanager
def nursery(wanted: bool = True) -> Iterator[None]:
    """Context in which a nursery is at hand for the first `Local` that hands a cell over.

    One that nobody took in the end, as where the request was a wrong one, is killed: it has no cells. Where this
    process is killed, it finds the end of its input, and ends.

    Args:
        wanted: whether cells are likely to be run here. Without it, one begins where it is needed.
    """
    one = begin() if wanted and hasattr(os, "fork") else None
    try:
        if one is not None:
            _begun.append(one)
        yield
    finally:
        if one is not None and one in _begun:
            _begun.remove(one)
            one.kill()
            _wait(one)


def end() -> None:
    """Kill what nobody has taken, for a process that ends at once."""
    for one in _begun:
        one.kill()


def take() -> "subprocess.Popen[bytes]":
    """The nursery that was begun early, if there is one that lives, else a new one. It is the caller's to end."""
    if not _begun:
        return begin()
    one = _begun.pop()
    if one.poll() is None:
        return one
    _wait(one)
    return begin()


def _wait(one: "subprocess.Popen[bytes]") -> None:
    """Until a nursery that ends has ended."""
    for pipe in (one.stdin, one.stdout):
        with contextlib.suppress(OSError):
            assert pipe is not None
            pipe.close()
    one.wait()
