"""Signals: the first one ends the loop at the next step, so that everything is saved; the second one ends at once."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self

from .commands import resume_command
from .errors import RlbenchError
from .recipe import Recipe

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Interrupted(RlbenchError):
    """A run was stopped by a signal, after saving everything."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 130 if number == signal.SIGINT else 143


class Interrupts:
    """Context in which signals are noted instead of ending the process; ``signal`` is the one that came, or 0.

    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal:  # the user insists
            for each, handler in self._old.items():
                signal.signal(each, handler)
            raise KeyboardInterrupt
        self.signal = number

    def raise_if_any(self, folder: Path, recipe: Recipe) -> None:
        """Raise Interrupted, with the command that goes on, if a signal came."""
        if self.signal:
            name = signal.Signals(self.signal).name
            raise Interrupted(
                f"stopped by {name}; everything is saved. Go on with: {resume_command(folder, recipe)}", self.signal
            )
