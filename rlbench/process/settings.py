"""Settings of the whole process that an environment's code may change, and that are ours: put back after it ran.

Learning depends on torch's defaults, paths on the working directory, Ctrl-C on the signal handlers, NumPy's warnings on
its error state. Looking at them takes a few microseconds: it is done where environments are made and reset and at their
first step; at every step only what is `quick` to look at.
"""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class Restoring:
    """Context in which foreign code runs: what it changed of the process is as before when the context ends.

    Args:
        folder: the working directory that the code chose for itself earlier; it finds it again.
        everything: whether to look at what is slow to look at as well: signal handlers, filters of warnings, where
            output goes, torch's rarer modes.

    Attributes:
        folder: the working directory that the code left, where it is another than ours; else None.
    """

    def __init__(self, folder: str | None = None, *, everything: bool = True) -> None:
        self.folder, self._everything = folder, everything

    def __enter__(self) -> Self:
        self._here = _here()
        self._quick, self._errors = quick(), np.geterr()
        if self._everything:
            self._slow, self._filters = _slow(), list(warnings.filters)
            self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
            self._streams = sys.stdout, sys.stderr
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        there = _here()
        self.folder = None if there == self._here else there
        if self.folder is not None and self._here is not None:
            with contextlib.suppress(OSError):
                os.chdir(self._here)
        restore(self._quick)
        if np.geterr() != self._errors:
            np.seterr(**self._errors)
        if self._everything:
            self._restore()

    def _restore(self) -> None:
        for was, now, restore in zip(self._slow, _slow(), _RESTORE, strict=True):
            if was != now:
                restore(was)
        sys.stdout, sys.stderr = self._streams  # some silence a library by it, and would silence us
        filters: Any = warnings.filters
        for entry in [f for f in filters if f[0] == "error" and f not in self._filters]:
            filters.remove(entry)  # what it silences stays so; what it makes an error of may be ours
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


def quick() -> tuple[torch.dtype, int, bool]:
    """torch's default dtype, its threads, and whether it keeps gradients: an eighth of a microsecond."""
    return torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()


def restore(was: tuple[torch.dtype, int, bool]) -> None:
    """Put back what `quick` gave, where it is another now."""
    if quick() != was:
        dtype, threads, grad = was
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(grad)


def _slow() -> tuple[Any, ...]:
    """Default device, deterministic algorithms, precision of products, and whether denormal numbers are flushed."""
    return (
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        _SMALLEST / 2 == 0,
    )


_SMALLEST = sys.float_info.min
_RESTORE: tuple[Callable[[Any], Any], ...] = (
    lambda device: torch.set_default_device(None if device.type == "cpu" else device),  # none costs no time later
    torch.use_deterministic_algorithms,
    torch.set_float32_matmul_precision,
    torch.set_flush_denormal,
)


def _here() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None
