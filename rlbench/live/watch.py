"""The loop of `rlbench watch`: look at a run folder, draw its panel, wait for a key or for the run's end."""

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..rollout.signals import Interrupts
from ..user_code.commands import again_command, resume_command
from .follow import FollowedRun
from .panel import panel
from .progress import Screen, make_console
from .words import Clock, closing_lines

SECONDS = 1.0  # between two looks


def watch(folder: Path | str, *, once: bool = False) -> int:
    """Show a run until it ends, the user presses q or a signal comes; nothing is written.

    A signal is noted, and looked at between two drawings: one that raised in the middle of drawing could be lost there,
    or leave the terminal as no program should.

    Args:
        folder: the run folder.
        once: print one panel and return, as is done too where standard output is no terminal.

    Returns:
        The number of the signal that came, or 0.

    Raises:
        RlbenchError: it is no run folder, nothing has been recorded in it, or a file is damaged.
    """
    run, screen = FollowedRun(folder), Screen(make_console())
    console = screen.console
    state = run.look()
    if state != "under way" and not run.env_steps:
        raise UsageError(
            f"{run.folder} holds no record yet, and no process is at work in it. "
            f"Start it again with: {again_command(run.folder, run.recipe)}"
        )
    if once or not console.is_terminal or console.is_dumb_terminal:
        _leave(run, screen)
        return 0
    with Interrupts() as interrupts:
        with contextlib.closing(screen), pressed_keys() as pressed:
            while state == "under way" and not interrupts.signal:
                screen.show(_panel(run, screen, "q leaves"))
                if interrupts.wait(lambda: pressed(SECONDS), "") == "q":
                    break
                state = run.look()
        if not interrupts.signal:
            _leave(run, screen)
    return interrupts.signal


def _leave(run: FollowedRun, screen: Screen) -> None:
    """Print what is to stay on the terminal."""
    console = screen.console
    console.print(_panel(run, screen))
    if run.summary:
        for line in closing_lines(run):
            console.print(line, markup=False, soft_wrap=True)
    for line in _more(run):
        console.print(line, markup=False, soft_wrap=True)


def _panel(run: FollowedRun, screen: Screen, hint: str = "") -> Any:
    clock = Clock()
    clock.rate, clock.over = run.rate, run.state != "under way"
    standing = f"{run.state}, process {run.process}" if run.process else run.state
    return panel(run, run.recent_curve(), clock, screen.size(), f"{standing}; {hint}" if hint else standing)


def _more(run: FollowedRun) -> list[str]:
    """What the panel does not say: how it stands with a run that has not come to its end."""
    if run.state == "under way":
        return [f"Process {run.process} goes on with it; stop it with: kill {run.process}"]
    if run.state == "finished":
        return []
    how = "" if run.summary else " by something that left it no time to say so"
    return [f"Interrupted{how}. Go on with: {resume_command(run.folder, run.recipe)}"]


@contextlib.contextmanager
def pressed_keys() -> Iterator[Callable[[float], str]]:
    """A function that waits so many seconds for a key and says which; "" for none. The terminal is given back."""
    try:
        import termios
        import tty

        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
    except (ImportError, OSError, ValueError, termios.error):  # no POSIX, or input that is no terminal
        import time

        yield lambda seconds: time.sleep(seconds) or ""  # type: ignore[func-returns-value]
        return

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([handle], [], [], seconds)
        return os.read(handle, 1).decode(errors="replace").lower() if ready else ""

    try:
        tty.setcbreak(handle)
        yield pressed
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
