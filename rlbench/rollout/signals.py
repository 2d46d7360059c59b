"""Ctrl-C and other signals: the first ends the loop at the next step, with everything saved; the second at once."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self, TypeVar

from ..errors import RlbenchError
from ..process import outputs
from ..user_code.commands import NamesCode, resume_command

#: SIGHUP comes when a terminal is closed or a connection to another machine breaks.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
_KEPT = [getattr(signal, name) for name in ("SIGHUP",) if hasattr(signal, name)]  # where ignored, as under nohup
BURST = 0.5  # seconds in which one SIGTERM may come several times: once for each thread of a parent that was killed
_T = TypeVar("_T")
_listening: "list[Interrupts]" = []  # of this process, the innermost last


class Interrupted(RlbenchError):
    """A run was stopped by a signal, after saving everything."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Interrupts:
    """Context in which signals are noted instead of ending the process; ``signal`` is the one that came, or 0.

    Also where it was ignored, as programs find SIGINT that a script starts in the background: who presses Ctrl-C at a
    terminal means us.

    Outside the main thread, where Python allows no handlers, it does nothing. A process that is forked meanwhile, as
    environments do that keep a simulator in one, gets the handlers of before: it has nothing to save, and is to end
    when it is told to.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.foreign = False  # whether it is a Ctrl-C that somebody else's code took
        self.lost: OSError | None = None  # what came at writing to standard output
        self._waiting = False
        self._since = 0.0  # when the signal came, time.monotonic
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if not (number in _KEPT and signal.getsignal(number) is signal.SIG_IGN):
                    self._old[number] = signal.signal(number, self._note)
            _listening.append(self)
            outputs.listeners.append(self.lose)
        return self

    def __exit__(self, *_: object) -> None:
        if self in _listening:
            _listening.remove(self)
            outputs.listeners.remove(self.lose)
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set by Python

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self.signal == signal.SIGTERM and time.monotonic() < self._since + BURST:
            return
        insists, self.signal, self._since = bool(self.signal), self.signal or number, time.monotonic()
        if insists:
            self._give_back()
        if insists or self._waiting:
            raise KeyboardInterrupt

    def wait(self, wait: Callable[[], _T], otherwise: _T) -> _T:
        """What ``wait`` gives; ``otherwise`` at once where a signal has come, or comes meanwhile."""
        self._waiting = True
        try:
            return otherwise if self.signal else wait()
        except KeyboardInterrupt:
            return otherwise
        finally:
            self._waiting = False

    def take(self) -> None:
        """Note a KeyboardInterrupt out of somebody else's code, which listens to Ctrl-C itself."""
        self.signal, self.foreign = int(signal.SIGINT), True

    def lose(self, e: OSError) -> None:
        """Note that standard output cannot be written any more, as SIGPIPE tells other programs."""
        if not self.signal:
            self.signal, self.lost, self.foreign = outputs.pipe_signal(), e, True

    def raise_if_any(self, folder: Path, recipe: NamesCode, *more: object) -> None:
        """Raise Interrupted, with the command that goes on and ``more`` words of it, if a signal came."""
        if self.signal:
            how = f", as {outputs.why(self.lost)}" if self.lost else f" by {signal.Signals(self.signal).name}"
            error = Interrupted(
                f"stopped{how}; everything is saved. Go on with: {resume_command(folder, recipe, *more)}", self.signal
            )
            error.exit_code = outputs.code(self.lost) if self.lost else error.exit_code
            error.short = f"stopped{how}; everything is saved"
            raise error


def noted() -> bool:
    """Whether a signal has come that this process is about to end by."""
    return any(one.signal for one in _listening)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """While a worker is started: it begins with signals held back, until it listens and says `let_through`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """In a worker that was started under `held`, and listens now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


_blocked: list[set[int]] = []  # while a process is being forked: the signals that were held back before


def _before_fork() -> None:
    """Hold signals back, or one that is sent to the new process at once would meet our handler, and be lost."""
    if _listening:
        _blocked.append({int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)})


def _after_fork() -> None:
    if _blocked:
        signal.pthread_sigmask(signal.SIG_SETMASK, _blocked.pop())


def _in_child() -> None:
    """Signals do here what they did before we listened."""
    outputs.listeners.clear()
    while _listening:
        with contextlib.suppress(ValueError):  # not the main thread of the child
            _listening.pop()._give_back()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
