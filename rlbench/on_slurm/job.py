"""The process of a Slurm job, as submitit begins it: starts the cell's process, hands signals on, tells the end.

The batch script becomes this process, so that Slurm's warning before the time limit (SIGUSR1) comes here alone and is
handed on once: a second signal would stop a run at once, without saving. SIGTERM, of ``scancel`` and of nodes that are
drained, Slurm sends to all processes of a job, to the cell's too.
"""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ..cells.attempt import read_attempt
from ..cells.order import Order
from ..files import write_json
from ..process.orphans import PARENT

WARNED = signal.SIGUSR1  # some time before the limit
ASKED = signal.SIGUSR2  # of our engine, to this process alone: let the cell save and end
IDLE = 3  # time limits in a row that a cell may meet without an env step more


class CellJob:
    """What submitit calls in the job, and keeps beside it where the job goes back into the queue.

    Args:
        order: path of an `Order`.
        end: path of what is told in the end: exit code, peak of memory, machine.
        worker: arguments of Python that carry out an order whose path comes last.
        reached: env steps at the last time limit.
        idle: time limits since an env step was made.
    """

    def __init__(self, order: str, end: str, worker: tuple[str, ...], reached: int = -1, idle: int = 0) -> None:
        self.order, self.end, self.worker, self.reached, self.idle = order, end, worker, reached, idle
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> NoReturn:
        """Carry the order out; ends the process with the cell's exit code."""
        Path(self.end).unlink(missing_ok=True)  # of before Slurm itself began this job again
        signal.signal(ASKED, self._ask)
        self._process = subprocess.Popen(
            [sys.executable, *self.worker, self.order],
            stdin=subprocess.DEVNULL,
            env={**os.environ, PARENT: str(os.getpid())},
        )
        code = self._wait()
        if code == 128 + WARNED:  # somebody warned the cell itself: then as if this process had been
            signal.raise_signal(WARNED)
        self._tell(code)

    def checkpoint(self) -> Any:
        """Called by submitit when the time is nearly up: lets the cell save and end; gives what goes on later."""
        from submitit.helpers import DelayedSubmission

        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, WARNED)
        code = self._wait()
        if code != 128 + WARNED and code >= 0:  # it ended just now, in its own way
            self._tell(code)
        order = Order.from_json(Path(self.order).read_text(encoding="utf-8"))
        known = read_attempt(Path(order.placed().folder))
        steps = known.env_steps if known else self.reached
        idle = 0 if steps > self.reached else self.idle + 1
        if idle >= IDLE:
            self._tell(128 + WARNED, f"{IDLE} time limits came before an env step more was made: give it more time")
        return DelayedSubmission(CellJob(self.order, self.end, self.worker, max(steps, self.reached), idle))

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _ask(self, number: int, frame: FrameType | None) -> None:
        signal.signal(ASKED, signal.SIG_IGN)  # a second one would stop the run at once
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)

    def _wait(self) -> int:
        """Until the cell's process has ended; its exit code, below zero where a signal killed it.

        It is left to be reaped: this is called from handlers of signals too, while a call further down waits.
        """
        found = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        assert found is not None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def _tell(self, code: int, said: str = "") -> NoReturn:
        _, _, usage = os.wait4(self._pid, 0)
        assert self._process is not None
        self._process.returncode = code
        held = usage.ru_maxrss * 1024
        write_json(Path(self.end), {"code": code, "said": said, "peak": held, "where": platform.node()}, sync=True)
        sys.exit(code if code >= 0 else 128 - code)


def read_end(path: Path) -> dict[str, Any] | None:
    """What a job told in the end; None where it has not."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("code"), int):
            return content
    return None
