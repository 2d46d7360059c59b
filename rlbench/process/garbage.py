"""Python's garbage collector leaves alone, while a run trains, what was there before it; at an end, everything."""

import atexit
import contextlib
import functools
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def set_apart() -> Iterator[None]:
    """Within it, whatever exists already is not looked through for garbage.

    With PyTorch and its friends that is a quarter of a million objects, at a tenth of a second each time. Afterwards
    all is as before. Where somebody has set objects apart for the process, as servers do, nothing is changed.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@functools.cache
def end_quickly() -> None:
    """Let this process, at its end, look through nothing for garbage: the system takes all of it.

    With PyTorch that takes half a second. For commands that have closed by then whatever they opened.
    """
    atexit.register(gc.freeze)
