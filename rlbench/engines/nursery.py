"""A process that has imported all that a run needs, and forks itself for every cell: a cell begins in milliseconds.

`python -m rlbench.engines.nursery` reads lines from standard input, ``begin ORDER`` (JSON), ``signal NUMBER PROCESS``,
and writes JSON lines to standard output: of each process its beginning and its end, with the most memory that it held.
At the end of its input, as when whoever started it has died, its cells are asked to save and end.

Where a process with torch in it cannot be forked safely, as on macOS, cells are started anew, and take a second or two
longer to begin.
"""

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
from typing import Any

from ..cells.order import Order

FORKS = sys.platform == "linux"
NO_PROCESS = 71  # EX_OSERR of sysexits.h


class Nursery:
    """The processes of cells, by number."""

    def __init__(self) -> None:
        self.cells: dict[int, str] = {}
        self._anews: dict[int, subprocess.Popen[bytes]] = {}  # kept: one that is let go of would be waited for
        self._buffer = b""
        self._woken, self._wakes = os.pipe()
        for handle in (self._woken, self._wakes):
            os.set_blocking(handle, False)

    def serve(self) -> None:
        """Until the end of input, and of all cells."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver's to hand on
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        _tell({"ready": os.getpid()})
        open_ = True
        while open_ or self.cells:
            ready, _, _ = select.select([*([0] if open_ else []), self._woken], [], [], None)
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if 0 in ready:
                open_ = self._read()
                if not open_:
                    for process in self.cells:
                        self._signal(process, signal.SIGTERM)

    def _read(self) -> bool:
        """Take what has come; False at the end of input."""
        data = os.read(0, 1 << 20)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            verb, _, rest = line.decode().partition(" ")
            if verb == "begin":
                self._begin(Order.from_json(rest))
            else:
                number, process = map(int, rest.split())
                self._signal(process, number)
        return bool(data)

    def _begin(self, order: Order) -> None:
        parent = os.getpid()
        try:
            process = os.fork() if FORKS else self._anew(order)
        except OSError as e:  # as where a user may have no more processes; the others go on
            said = f"no process could be made for it: {e.strerror or e}"
            _tell({"ended": order.cell, "process": 0, "code": NO_PROCESS, "peak": 0, "said": said})
            return
        if not process:
            code = 1
            try:
                code = self._child(order, parent)
            finally:
                with contextlib.suppress(BaseException):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)  # nothing of the parent's is to be wound up twice
        self.cells[process] = order.cell
        _tell({"began": order.cell, "process": process})

    def _anew(self, order: Order) -> int:
        """The process of a cell, started from the beginning."""
        started = subprocess.Popen(
            [sys.executable, "-m", "rlbench.cells"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert started.stdin is not None
        with started.stdin:
            started.stdin.write(order.to_json().encode())
        self._anews[started.pid] = started
        return started.pid

    def _child(self, order: Order, parent: int) -> int:
        """In the process of a cell."""
        signal.set_wakeup_fd(-1)
        for handle in (self._woken, self._wakes, _TELL):  # the last: or the nursery's own end would not be seen
            with contextlib.suppress(OSError):
                os.close(handle)
        for number in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)  # until its log is open
        from ..cells.life import live

        return live(order, parent)

    def _signal(self, process: int, number: int) -> None:
        if process in self.cells:  # the number may be another's by now
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
            if number == signal.SIGKILL:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # and what it has started
                    os.killpg(process, number)

    def _reap(self) -> None:
        while self.cells:
            process, status, usage = os.wait4(-1, os.WNOHANG)
            if not process:
                return
            if process in self.cells:
                code = os.waitstatus_to_exitcode(status)
                if anew := self._anews.pop(process, None):
                    anew.returncode = code
                held = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process, signal.SIGKILL)  # what it has left behind
                _tell({"ended": self.cells.pop(process), "process": process, "code": code, "peak": held})


def _tell(content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever asked has died, which the end of input tells
        os.write(_TELL, json.dumps(content).encode() + b"\n")


_TELL = 1


def main() -> None:
    """Import everything, then serve."""
    global _TELL
    _TELL = os.dup(1)
    os.set_inheritable(_TELL, False)
    os.dup2(2, 1)  # what an import prints is no answer
    from .ready import ready

    imported = ready()
    gc.freeze()  # pages that no collection writes to stay shared with the cells
    Nursery().serve()
    del imported


if __name__ == "__main__":
    main()
    os._exit(0)  # nothing is left to do; to wind up a process with torch in it takes longer than a cell's beginning
