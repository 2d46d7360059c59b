"""The whole life of a process that carries out one cell: its group, its log, its signals, its mode of MKL.

Importing this imports all that a run needs: a process that forks others for cells does so once.
"""

import contextlib
import datetime
import os
import platform
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from ..files import write_text
from ..process import mkl
from ..process.orphans import when_the_parent_dies
from ..rollout.signals import let_through
from .attempt import LOG, ORDER
from .claim import Claim
from .order import Order
from .perform import FAILED, perform


def live(order: Order, parent: int = 0) -> int:
    """Carry out ``order``; gives the exit code. What is printed goes to log.txt in the run folder.

    Args:
        order: what to do.
        parent: number of the process at whose death this one saves and ends; 0: whichever it has.
    """
    order = order.placed()
    folder = Path(order.folder)
    if hasattr(os, "setpgrp"):
        with contextlib.suppress(OSError):  # it leads a session
            os.setpgrp()  # a Ctrl-C in the terminal is for the driver to hand on
    when_the_parent_dies(signal.SIGTERM, parent)  # save and end
    let_through()
    claim = Claim(order) if order.store else None
    if claim and claim.left:  # by a worker of before that does not end: its log is no place for words of ours
        print(claim.refused, file=sys.stderr, flush=True)
        return FAILED
    with contextlib.suppress(OSError):  # told by the run, in words
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / ORDER, order.to_json() + "\n")  # read where sweep.json is lost
        _log(folder / LOG)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    print(f"== attempt {order.attempt}, {now}, {platform.node()}, process {os.getpid()}", flush=True)

    def again(mode: str) -> None:
        print(f"seeds would not be exact in MKL's fastest mode on this CPU: starting again in {mode}", flush=True)
        chosen = {mkl.VARIABLE: mode, mkl.OURS: mode}
        with tempfile.TemporaryFile() as told:  # no file that has a name: an order names code to run
            told.write(order.to_json().encode())
            told.seek(0)
            os.dup2(told.fileno(), 0)
        os.execve(sys.executable, [sys.executable, "-m", __package__], {**os.environ, **chosen})

    try:
        code = perform(order, again, claim.refused if claim else "")
        if not code and order == order._replace(folder="").placed():  # all of it is in the store
            shutil.rmtree(folder, ignore_errors=True)
        return code
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        if claim:
            claim.release()


def _log(path: Path) -> None:
    """Let everything that this process prints, and those that it starts, be appended to ``path``."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
        os.dup2(handle, number)
    os.close(handle)
    # Line by line: of a process that is killed the last words count.
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
