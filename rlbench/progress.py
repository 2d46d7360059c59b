"""What `rlbench train` shows while it works: a live display on a terminal, plain lines elsewhere."""

import itertools
import shutil
import sys
import time
from types import TracebackType
from typing import Any, Self

import numpy as np

from .stats import mean_interval
from .watcher import Status, Watcher

PLAIN_SECONDS = 5.0  # between plain lines
BARS = "▁▂▃▄▅▆▇█"


def watcher_for(progress: str) -> "Progress":
    """The display for ``--progress``: "auto", "plain" or "none"."""
    if progress == "none":
        return Progress()
    return Live() if progress == "auto" and sys.stdout.isatty() else Plain()


def sparkline(values: list[float], width: int) -> str:
    """The values as a row of at most ``width`` small bars, from their lowest to their highest."""
    if not values:
        return ""
    if len(values) > width:
        edges = np.linspace(0, len(values), width + 1).astype(int)
        values = [float(np.mean(values[a:b])) for a, b in itertools.pairwise(edges)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BARS[min(int((v - low) / span * len(BARS)), len(BARS) - 1)] for v in values)


def duration(seconds: float) -> str:
    """Seconds as 42s, 3m05s or 2h07m."""
    s = round(max(seconds, 0))
    if s < 60:
        return f"{s}s"
    return f"{s // 60}m{s % 60:02}s" if s < 3600 else f"{s // 3600}h{s % 3600 // 60:02}m"


def mean_text(means: np.ndarray) -> str:
    """Mean across seeds with its 95 % interval; ``means`` (S,) may hold NaN."""
    known = means[np.isfinite(means)]
    if not len(known):
        return "no episode finished yet"
    if len(known) == 1:
        return f"{known[0]:.1f}"
    low, high = mean_interval(known)
    return f"{known.mean():.1f} [{low:.1f}, {high:.1f}]"


class Progress(Watcher):
    """The quiet one, and the base of the others: notes still go to standard error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def note(self, text: str) -> None:
        print(f"Note: {text}", file=sys.stderr)


class Plain(Progress):
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
        self._line(status)
        for line in closing_lines(status):
            print(line, flush=True)

    def _line(self, status: Status) -> None:
        s, r = status.scores, status.recipe
        print(
            f"{status.env_steps:>9,}/{r.total_steps:,} steps  {self._clock.rate:,.0f} steps/s  "
            f"{self._clock.left(status)} left  return {mean_text(s.recent_means())}  {solved_text(status)}".rstrip(),
            flush=True,
        )


class Live(Progress):
    """A panel that is drawn over, for a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._clock = Clock()
        self._console = Console()
        self._live: Any = RichLive(console=self._console, auto_refresh=False, transient=True)  # no thread
        self._history: list[float] = []

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._live.__exit__(kind, e, trace)

    def note(self, text: str) -> None:
        self._console.print(f"Note: {text}", highlight=False)

    def tick(self, status: Status) -> None:
        self._clock.tick(status)
        means = status.scores.recent_means()
        if np.isfinite(means).any():
            self._history.append(float(np.nanmean(means)))
        if len(self._history) > 4096:
            self._history = self._history[::2]
        self._live.update(self._panel(status), refresh=True)

    def done(self, status: Status) -> None:
        self._live.update("", refresh=True)
        for line in closing_lines(status):
            self._console.print(line, highlight=False)

    def _panel(self, status: Status) -> Any:
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        r = status.recipe
        width = min(shutil.get_terminal_size().columns, 100)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(ratio=1)
        done = Table.grid(padding=(0, 2))
        done.add_row(ProgressBar(r.total_steps, status.env_steps, width=max(10, width - 50)), f"{status.env_steps:,}")
        grid.add_row("steps", done)
        grid.add_row("rate", f"{self._clock.rate:,.0f} env steps/s, {self._clock.left(status)} left")
        grid.add_row("return", f"{mean_text(status.scores.recent_means())}  last 100 episodes, mean of seeds")
        grid.add_row("", sparkline(self._history, width - 20))
        evaluated = np.array(status.scores.evaluated)
        if np.isfinite(evaluated).any():
            grid.add_row("greedy", f"{mean_text(evaluated)}  newest evaluation")
        grid.add_row("solved", solved_text(status) or "-")
        title = f"{r.agent} on {r.env}, {r.seeds} {'seed' if r.seeds == 1 else 'seeds'}"
        return Panel(grid, title=title, title_align="left", width=width)


class Clock:
    """Rate of env steps, smoothed over the last ticks, and the time left."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._last: tuple[float, int] | None = None

    def tick(self, status: Status) -> None:
        now = (status.train_seconds, status.env_steps)
        if self._last is not None and now[0] > self._last[0]:
            rate = status.recipe.seeds * (now[1] - self._last[1]) / (now[0] - self._last[0])
            self.rate = rate if not self.rate else 0.8 * self.rate + 0.2 * rate
        self._last = now

    def left(self, status: Status) -> str:
        if not self.rate:
            return "?"
        return duration((status.recipe.total_steps - status.env_steps) * status.recipe.seeds / self.rate)


def solved_text(status: Status) -> str:
    """How many seeds have solved the environment, or nothing where solved is not defined."""
    scores = status.scores
    if scores.solved_at is None:
        return ""
    return f"{sum(at is not None for at in scores.solved)}/{status.recipe.seeds} seeds at {scores.solved_at:g}"


def closing_lines(status: Status) -> list[str]:
    """What to say when a run has ended."""
    summary = status.summary
    lines = [
        f"{status.env_steps:,} env steps per seed, {summary['updates']:,} updates, "
        f"{summary['env_steps_per_second']:,.0f} env steps/s, {duration(summary['wall_seconds'])} in all; "
        f"stopped because of {summary['stopped_because']}."
    ]
    newest = "newest evaluated" if "interrupted" in summary["stopped_because"] else "final"
    for name, label in (("final_eval_return", newest), ("best_eval_return", "best")):
        means = np.array([np.nan if v is None else v for v in summary[name].values()])
        if np.isfinite(means).any():
            per_seed = " ".join(f"{v:.0f}" if abs(v) >= 10 else f"{v:.2f}" for v in means)
            lines.append(f"Greedy return, {label} weights: {mean_text(means)}   seeds: {per_seed}")
    solved = [at for at in summary["solved_at_env_steps"].values() if at is not None]
    if status.scores.solved_at is not None:
        median = f", median after {int(np.median(solved)):,} steps" if solved else ""
        lines.append(f"Solved ({status.scores.solved_at:g}): {len(solved)} of {status.recipe.seeds} seeds{median}")
    return lines
