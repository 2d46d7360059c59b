"""What `rlbench train` shows while it works: a panel on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import RlbenchError
from ..process.outputs import err, out
from ..record.watcher import Status, Watcher
from ..runfolder.documents import ended
from .follow import FollowedRun
from .panel import Size, panel
from .recent_curve import RecentCurve, recent_means
from .words import Clock, closing_lines, mean_text, solved_text

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 5.0  # between plain lines
SHARE = 0.003  # of the time, at most, goes into drawing
SECONDS = (0.5, 5.0)  # between two drawings, at least and at most


def watcher_for(progress: str) -> "Progress":
    """The display for ``--progress``: "auto", "plain" or "none"."""
    if progress == "none":
        return Progress()
    if progress == "plain" or not sys.stdout.isatty():
        return PlainLines()
    console = make_console()
    return PlainLines() if console.is_dumb_terminal else Live(console)


def make_console() -> "Console":
    """Standard output as rich sees it: its size, its colours, what it can print."""
    from rich.console import Console

    return Console(file=out(), highlight=False)


class Progress(Watcher):
    """The quiet one, and the base of the others: notes still go to standard error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def note(self, text: str) -> None:
        print(f"Note: {text}", file=err())


class PlainLines(Progress):
    """A line every few seconds, for pipes and log files."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._next = 0.0

    def tick(self, status: Status) -> None:
        self._clock.tick(status)
        if time.perf_counter() >= self._next:
            self._next = time.perf_counter() + PLAIN_SECONDS
            self._line(status)

    def done(self, status: Status) -> None:
        self._clock.tick(status)
        self._clock.over = ended(status.summary)
        self._line(status)
        for line in closing_lines(status):
            print(line, file=out(), flush=True)

    def _line(self, status: Status) -> None:
        s, r = status.scores, status.recipe
        rate = self._clock.rate  # 0 until there is something to go by
        left = "" if self._clock.over else f"{self._clock.left(status)} left  "
        pace = f"{rate:,.0f} env steps/s  {left}" if rate else ""
        print(
            f"{status.env_steps:>9,}/{r.total_steps:,} steps  {pace}"
            f"return {mean_text(s.recent_means())}  {solved_text(status)}".rstrip(),
            file=out(),
            flush=True,
        )


class Live(Progress):
    """A panel that is drawn over, for a terminal. The longer a drawing takes, the seldomer it is done."""

    def __init__(self, console: "Console") -> None:
        self._clock, self._screen = Clock(), Screen(console)
        self._curve: RecentCurve | None = None
        self._drawn = (-10.0, -10.0)  # seconds on the wall, and of this process, at the last drawing
        self._took = self._cost = 0.0

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._screen.close()

    def note(self, text: str) -> None:
        self._screen.console.print(f"Note: {text}", markup=False)

    def tick(self, status: Status) -> None:
        if not (self._due(status) or self._screen.resized()):
            return
        began = time.thread_time()
        self._draw(status)
        took = time.thread_time() - began
        self._cost, self._took = min(self._took, took), took  # a single slow drawing, as the first is, does not count
        self._drawn = time.perf_counter(), time.process_time()

    def _draw(self, status: Status, *, over: bool = False) -> None:
        """Draw the panel; ``over``: for the last time."""
        self._clock.tick(status)
        self._clock.over = over
        if self._curve is None:
            self._curve = _so_far(status)
        self._curve.add(status.env_steps, recent_means(status.scores))
        state = status.evaluating if not over else "finished" if ended(status.summary) else "interrupted"
        self._screen.show(panel(status, self._curve, self._clock, self._screen.size(), state))

    def evaluated(self, status: Status) -> None:
        if status.env_steps >= status.recipe.total_steps:  # what follows is the final evaluation, which takes a while
            self._draw(status)

    def _due(self, status: Status) -> bool:
        """Whether training has had its share of the time since the last drawing."""
        passed, worked = time.perf_counter() - self._drawn[0], time.process_time() - self._drawn[1]
        had = passed if status.recipe.workers > 1 else worked  # where it trains in this process, others may slow it
        return passed >= SECONDS[1] or (passed >= SECONDS[0] and had >= self._cost / SHARE)

    def done(self, status: Status) -> None:
        self._draw(status, over=True)
        self._screen.close()
        for line in closing_lines(status):
            self._screen.console.print(line, markup=False, soft_wrap=True)


def _so_far(status: Status) -> RecentCurve:
    """What a resumed run has behind it."""
    try:
        run = FollowedRun(status.folder)
        run.look()
        return run.recent_curve()
    except RlbenchError:  # nothing there, or damaged: training goes on all the same
        return RecentCurve()


class Screen:
    """The part of a terminal that a panel is drawn on, again and again in its place; gone when it is closed."""

    def __init__(self, console: "Console") -> None:
        self.console = console
        self._live: Any = None
        self._drawn = Size(0, 0)

    def size(self) -> Size:
        """As it is now."""
        return Size(*self.console.size, plain=self.console.options.ascii_only)

    def resized(self) -> bool:
        """Whether the terminal has another size than at the last drawing."""
        return self._live is not None and self.console.size != self._drawn[:2]

    def show(self, content: Any) -> None:
        """Draw ``content`` over what was there."""
        from rich.live import Live as RichLive

        size = self.size()
        if self._live is not None and size != self._drawn:  # the terminal has moved or wrapped the old lines
            self._live.stop()
            self.console.clear()
            self._live = None
        if self._live is None:
            self._live = RichLive(console=self.console, auto_refresh=False, transient=True)  # no thread
            self._live.start()
        self._drawn = size
        self._live.update(content, refresh=True)

    def close(self) -> None:
        """Take the panel away and give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None
