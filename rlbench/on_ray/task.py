"""What is done on a node of a Ray cluster: the process of a cell is started there, watched, and asked to stop.

The process is that of any other engine, so signals, logs and modes of MKL are as everywhere. Imports nothing heavy:
Ray's workers import it on every node.
"""

import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from ..cells.attempt import read_attempt
from ..cells.order import Order
from ..engines.engine import how_ended
from ..process.orphans import PARENT
from ..runfolder.lock import holder
from ..units import duration

COMMAND = (sys.executable, "-m", "rlbench.cells")
POLL = 0.2  # seconds between two looks at whether it is to stop
PATIENCE = 120.0  # seconds for a process that is in the folder still; a node cut off from its cluster goes on for 60


def carry_out(order: str, gpus: float, mark: tuple[str, str] | None) -> dict[str, Any]:
    """Carry out an order of a cell in a process of its own; gives the fields of its `CellEnd`.

    Ray asks a task to stop by what a Ctrl-C would be: the first is handed on as SIGTERM, the second as SIGKILL.

    Args:
        order: JSON of an `Order`.
        gpus: cards of the cell; with none, none is seen by it.
        mark: a file in the sweep's folder and what is written there, by which a node knows that it sees that folder;
            None: it need not.
    """
    stops: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: stops.append(number))
    try:
        return {"where": platform.node(), **_carry_out(Order.from_json(order).placed(), gpus, mark, stops)}
    finally:
        signal.signal(signal.SIGINT, before)


def _carry_out(order: Order, gpus: float, mark: tuple[str, str] | None, stops: list[int]) -> dict[str, Any]:
    folder = Path(order.folder)
    if mark and not _seen(*mark):
        return {
            "code": 2,
            "said": f"{platform.node()} does not see {Path(mark[0]).parents[1]}. Let --out lie on a file system that "
            "all nodes share, or take --store.",
        }
    if owner := _left(folder, stops):
        return {"code": None, "said": f"its folder is in use still, by process {owner}, after {duration(PATIENCE)}"}
    if stops:
        return {"code": None, "said": "cancelled"}
    environment = {**os.environ, PARENT: str(os.getpid())}
    if not gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # nobody has set a card apart for it
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=order.stands if order.stands and Path(order.stands).is_dir() else None,
            env=environment,
            start_new_session=True,
        )
        assert process.stdin is not None
        with contextlib.suppress(OSError), process.stdin:  # it ended already, which its code tells
            process.stdin.write(order.to_json().encode())
        code = _ended(process, stops)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has left behind
        attempt = read_attempt(folder)
        known = attempt is not None and attempt.attempt == order.attempt
        said = how_ended(code) or ("" if known or not code else _last(errors))
    return {"code": code, "said": said, "peak": attempt.peak if attempt and known else 0}


def _ended(process: "subprocess.Popen[bytes]", stops: list[int]) -> int:
    """Wait for a process, and hand on what asks it to stop; gives its exit code."""
    asked = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(POLL)
        if len(stops) > asked:
            process.send_signal(signal.SIGKILL if asked else signal.SIGTERM)
            asked = len(stops)


def _left(folder: Path, stops: list[int]) -> str:
    """Wait until nobody is at work in ``folder``: what a lost worker has left behind saves, and ends. Gives who is."""
    until = time.monotonic() + PATIENCE
    while (owner := holder(folder)) and not stops and time.monotonic() < until:
        time.sleep(POLL)
    return owner if not stops else ""


def _seen(path: str, text: str) -> bool:
    try:
        return Path(path).read_text(encoding="utf-8").strip() == text
    except (OSError, ValueError):
        return False


def _last(errors: IO[bytes]) -> str:
    """The last line that a process wrote which never came to its log."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
