"""The time limit of a cell: one whose time is up saves and ends, and one that hangs is killed by the system."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from ..rollout.signals import noted

GRACE = 60.0  # seconds to save and end


class TimeLimit:
    """What became of the limit of this process.

    Attributes:
        seconds: of one attempt; 0: there is none.
        passed: the time is up.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.passed = seconds, False

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Context after whose time this process is asked to save and end, as by SIGTERM.

        Whatever holds it up, be it code that lets no other thread run: the system kills it a while later, by SIGALRM,
        which whoever waits for it takes for a cell that hangs.
        """
        if not self.seconds:
            yield
            return
        timer = threading.Timer(self.seconds, self._up)
        timer.daemon = True
        before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self.seconds + GRACE)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _up(self) -> None:
        if noted():  # it is saving: a second signal would end it at once
            return
        self.passed = True
        listens = callable(signal.getsignal(signal.SIGTERM))  # else there is nothing to save yet
        os.kill(os.getpid(), signal.SIGTERM if listens else signal.SIGALRM)
