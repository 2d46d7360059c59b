"""What becomes of a process when the one that started it dies."""

import contextlib
import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def when_the_parent_dies(number: signal.Signals) -> None:
    """Let this process get a signal when its parent dies, whatever that dies of; only Linux knows how."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
