"""What becomes of a process when the one that started it dies."""

import contextlib
import ctypes
import os
import signal
import sys

PARENT = "RLBENCH_PARENT"  # variable of the environment: the number of who starts a process that is to know
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def when_the_parent_dies(number: signal.Signals, parent: int = 0) -> None:
    """Let this process get a signal when its parent dies, whatever that dies of; only Linux knows how.

    The signal comes once for each of the parent's threads, within milliseconds: see `rlbench.rollout.signals`.

    Args:
        number: the signal.
        parent: the parent's number; where it has died already, the signal comes at once. 0: not known.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if parent and os.getppid() != parent:
            os.kill(os.getpid(), number)


def named_parent() -> int:
    """The number in `PARENT`; 0 where none is named."""
    said = os.environ.get(PARENT, "")
    return int(said) if said.isdecimal() else 0
