"""Ctrl-C while a command still imports: it ends there and then.

What is imported may take a KeyboardInterrupt for a fault of its own: numpy's, raised in the middle of it, comes back as
"cannot load module more than once per process". As nothing has begun by then, nothing needs to be saved.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType

from rlbench.engines import early

_IMPORTS = "<frozen importlib._bootstrap>"  # file of the frames in which Python imports


@contextlib.contextmanager
def ending(code: int = 130) -> Iterator[None]:
    """Context in which a SIGINT that meets an import, begun within it, ends this process and a nursery begun early.

    Any other one is a KeyboardInterrupt, as ever. Where SIGINT is ignored, or somebody handles it already, and outside
    the main thread, it does nothing.

    Args:
        code: exit code.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    above = sys._getframe(2).f_code  # of whoever enters, below contextlib's

    def met(number: int, frame: FrameType | None) -> None:
        if _importing(frame, above):
            early.end()
            with contextlib.suppress(Exception):  # in the middle of a write, for one
                sys.stdout.flush()
            with contextlib.suppress(OSError):
                os.write(2, b"interrupted\n")
            os._exit(code)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, met)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is met:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _importing(frame: FrameType | None, above: CodeType) -> bool:
    """Whether ``frame`` lies in an import that began below a frame of ``above``."""
    while frame is not None and frame.f_code is not above:
        if frame.f_code.co_filename == _IMPORTS:
            return True
        frame = frame.f_back
    return False
