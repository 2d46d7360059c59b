"""Pictures on a machine that may have no display: the driver that draws them, and what errors about them advise."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_advice: ContextVar[tuple[str, str]] = ContextVar("advice", default=("", ""))


@contextmanager
def advising(no_pictures: str, no_display: str = "") -> Iterator[None]:
    """Context in which errors about pictures say what a user of this very command does without them, in a sentence.

    Args:
        no_pictures: where the environment makes none.
        no_display: where there is no display for a window.
    """
    token = _advice.set((no_pictures, no_display))
    try:
        yield
    finally:
        _advice.reset(token)


def advice() -> str:
    """What to do without pictures, to be put after a sentence; may be empty."""
    advised, _ = _advice.get()
    return f" {advised}." if advised else ""


def advice_without_display() -> str:
    """What to do without a display for a window, likewise."""
    _, advised = _advice.get()
    return f" {advised}." if advised else ""


@contextmanager
def sdl_driver(name: str) -> Iterator[None]:
    """Have SDL, which draws most environments, use this video driver, unless the user chose one."""
    if os.environ.get("SDL_VIDEODRIVER"):
        yield
        return
    os.environ["SDL_VIDEODRIVER"] = name
    try:
        yield
    finally:
        del os.environ["SDL_VIDEODRIVER"]
