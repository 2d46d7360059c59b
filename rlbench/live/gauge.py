"""How far something is, in a line: a bar on a terminal, one in a cell of a notebook, seldom a plain line elsewhere."""

import sys
import time
from html import escape
from typing import Any, Protocol

from ..errors import UsageError

PLAIN_EVERY = 30.0  # seconds between plain lines, and before the first: what is over sooner needs none
KINDS = ("auto", "plain", "none")


class Gauge(Protocol):
    """Shows a share; ``seldom`` is how many seconds are to pass between two calls of `show`, at least."""

    seldom: float

    def show(self, title: str, share: float, words: str, picture: str = "") -> None:
        """Draw it.

        Args:
            title: what is at work.
            share: of it that is done, 0..1.
            words: figures.
            picture: SVG, for a notebook.
        """

    def close(self) -> None:
        """Nothing more is drawn. What was drawn last stays."""


def gauge_for(progress: str) -> Gauge:
    """The one for a program's ``progress``.

    Args:
        progress: "auto": a bar in a notebook and on a terminal, plain lines elsewhere; "plain"; "none".

    Raises:
        UsageError: another word.
    """
    if progress not in KINDS:
        raise UsageError(f"progress is {progress!r}, and one of {', '.join(map(repr, KINDS))}")
    if progress == "none":
        return Silence()
    if progress == "auto" and in_notebook():
        return CellBar()
    if progress == "auto" and sys.stderr is not None and sys.stderr.isatty():
        return TerminalBar()
    return SeldomLines()


def in_notebook() -> bool:
    """Whether a kernel runs this, whose cells show HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Silence:
    """Shows nothing."""

    seldom = 1e9

    def show(self, title: str, share: float, words: str, picture: str = "") -> None:
        pass

    def close(self) -> None:
        pass


class SeldomLines:
    """A plain line on standard error, for log files."""

    seldom = 0.5

    def __init__(self) -> None:
        self._next = time.perf_counter() + PLAIN_EVERY

    def show(self, title: str, share: float, words: str, picture: str = "") -> None:
        if time.perf_counter() >= self._next and sys.stderr is not None:
            self._next = time.perf_counter() + PLAIN_EVERY
            print(f"{title}: {_percent(share)}  {words}", file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class TerminalBar:
    """A bar of rich's on standard error. No thread draws it: workers are forked meanwhile."""

    seldom = 0.5

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = TextColumn("{task.description}", markup=False), BarColumn(24), TextColumn("{task.fields[words]}")
        self._progress = Progress(*columns, console=Console(stderr=True, highlight=False), auto_refresh=False)
        self._task: Any = None

    def show(self, title: str, share: float, words: str, picture: str = "") -> None:
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(title, total=1.0, words="")
        words = f"{_percent(share)}  {words}"
        self._progress.update(self._task, completed=share, description=title, words=words, refresh=True)

    def close(self) -> None:
        self._progress.stop()


class CellBar:
    """A bar in a cell, drawn over by way of IPython's displays alone: rich's own needs widgets, which few have."""

    seldom = 0.5

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, title: str, share: float, words: str, picture: str = "") -> None:
        shown = Drawn(title, share, words, picture)
        if self._handle is None:
            from IPython.display import display

            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def close(self) -> None:
        pass


class Drawn:
    """What a cell shows, and in words what is shown where there is no HTML."""

    def __init__(self, title: str, share: float, words: str, picture: str = "") -> None:
        self.title, self.share, self.words, self.picture = title, share, words, picture

    def __repr__(self) -> str:
        return f"{self.title}: {_percent(self.share)}  {self.words}"

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.share:.4f}" max="1" style="width:14em;vertical-align:middle"></progress>'
        words = f"{_percent(self.share)}  {escape(self.words)}".replace("  ", " &ensp; ")
        return f"<div>{escape(self.title)} &ensp; {bar} &ensp; {words}{self.picture}</div>"


def _percent(share: float) -> str:
    """99.7 % is not yet all of it."""
    return f"{100 if share >= 1 else min(round(100 * share), 99)} %"
