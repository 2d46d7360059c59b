"""`rlbench plot`: draws curves, profiles, times to a threshold and final scores of runs, with intervals."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..numbers import exact, interval, number
from . import options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..runfolder.history import History

KINDS = ("curve", "profile", "threshold", "scores")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=options.Reading())
@click.option("--kind", type=click.Choice(KINDS), default="curve", show_default=True, help="What to draw; see above.")
@click.option(
    "--x", type=click.Choice(["steps", "episodes", "time"]), default="steps", show_default=True, help="X axis."
)
@click.option(
    "--stat",
    type=click.Choice(["mean", "iqm", "median"]),
    default="mean",
    show_default=True,
    help="What a curve's line shows of the seeds; iqm is the interquartile mean.",
)
@click.option(
    "--what",
    type=click.Choice(["returns", "evaluations"]),
    help="Training returns, or greedy evaluations.  [default: returns for curves; else evaluations, unless more runs "
    "can show returns]",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    metavar="N",
    help="Episodes that a return is averaged over.  [default: a tenth of what a seed has, from 10 to 100]",
)
@click.option(
    "--threshold",
    type=float,
    metavar="RETURN",
    help="For --kind threshold.  [default: the return that counts as solved in the env]",
)
@click.option(
    "--out",
    type=options.Place(),
    metavar="FILE",
    help="File to write: .png, .svg or .pdf.  [default: KIND.png in the run folder; ./KINDs.png for several runs]",
)
@click.option("--title", help="Title of the picture.")
@click.option(
    "--width",
    type=click.FloatRange(2, 20),
    metavar="INCHES",
    help="For print: width in inches, to be placed without scaling (3.3 is one column).  [default: for the screen]",
)
@click.option("--caption/--no-caption", default=True, help="Say below the picture what its marks mean.")
def plot(
    runs: tuple[Path, ...],
    kind: str,
    x: Any,
    stat: Any,
    what: Any,
    window: int | None,
    threshold: float | None,
    out: Path | None,
    title: str | None,
    width: float | None,
    caption: bool,
) -> None:
    """Draw one or more run folders.

    Runs of the same agent with the same settings are pooled; every environment gets a panel of its own. What a run
    cannot show is said on standard error, and the others are drawn. A sweep is all of its runs.

    \b
    --kind curve      returns over env steps, episodes or time
    --kind profile    share of seeds that score above each return
    --kind threshold  share of seeds that have reached a return, over env steps or time
    --kind scores     mean, interquartile mean and median of the final scores
    """
    from ..plots.learning import check_format, save
    from ..plots.look import Look
    from ..process.places import shown
    from ..sweep.folder import is_sweep

    whole = is_sweep(runs[0])
    name = "scores" if kind == "scores" else kind if len(runs) == 1 and not whole else f"{kind}s"
    out = out or (runs[0] / f"{name}.png" if len(runs) == 1 else Path(f"{name}.png"))
    runs = tuple(run for given in runs for run in (_cells(given) if is_sweep(given) else [given]))
    check_format(out)
    if threshold is not None and kind != "threshold":
        raise click.UsageError(f"--threshold belongs to --kind threshold, not to --kind {kind}")
    if threshold is not None and not math.isfinite(threshold):
        raise click.UsageError(f"--threshold {threshold} is no return that can be reached: give a number")
    histories, notes = _read(runs, what or ("returns" if kind == "curve" else None))
    look, words = Look(width, caption), {"title": title}
    make: dict[str, Callable[[], tuple[Figure, list[str], list[str]]]] = {
        "curve": lambda: _curve(histories, x, window, stat, look=look, **words),
        "profile": lambda: _scores(histories, window, profiles=True, look=look, **words),
        "scores": lambda: _scores(histories, window, profiles=False, look=look, **words),
        "threshold": lambda: _threshold(histories, threshold, x, window, look=look, **words),
    }
    figure, lines, more = make[kind]()
    options.tell([*notes, *more])
    click.echo(shown(save(figure, out, "--out FILE")))
    for line in lines:
        click.echo(line)


def _cells(sweep: Path) -> list[Path]:
    """The runs of a sweep that have begun."""
    from ..errors import UsageError
    from ..process.places import shown
    from ..sweep.folder import open_sweep

    opened = open_sweep(sweep)
    begun = [path for cell in opened.cells if ((path := opened.folder_of(cell)) / "recipe.toml").is_file()]
    if not begun:
        raise UsageError(f"there is nothing to draw of {shown(sweep)}: none of its cells has begun.")
    return begun


def _read(runs: Sequence[Path], what: Any) -> tuple[list["History"], list[str]]:
    """The runs' histories; without ``what`` their greedy evaluations, unless more runs can show training returns."""
    from ..errors import RlbenchError
    from ..runfolder.history import read_runs
    from ..runfolder.reader import readers_of

    readers = readers_of(runs)
    if what is not None:
        return read_runs(readers, what)
    try:
        evaluated, notes = read_runs(readers, "evaluations")
    except RlbenchError:
        evaluated, notes = [], []
    try:
        trained, more = read_runs(readers, "returns")
    except RlbenchError:
        if not evaluated:
            raise
        trained, more = [], []
    if len(evaluated) >= len(trained):
        return evaluated, notes
    damage = [f"{problem}." for reader in readers for problem in reader.problems]
    unsaid = [problem for problem in damage if not any(problem in note for note in more)]
    why = ["not every run has greedy evaluations: these are training returns."] if evaluated else []
    return trained, [*more, *unsaid, *why]


def _curve(histories: Any, x: Any, window: Any, stat: Any, **how: Any) -> tuple["Figure", list[str], list[str]]:
    from ..plots.curves import curves_of, pool
    from ..plots.learning import draw

    groups = pool(histories)
    curves = curves_of(groups, x, window, stat=stat)
    lines = []
    for curve in curves:
        at, value, low, high = curve.final()
        if value != value:
            result = "no point that all seeds have reached"
        else:
            unit = {"steps": "env step", "episodes": "episode", "time": "second"}[x]
            name = "final greedy return" if curve.what == "evaluations" else "final return"
            kind = "" if stat == "mean" else f" ({stat})"
            result = f"{name}{kind} {_shown(value, low, high)} at {unit} {at:,.0f}"
        lines.append(f"{curve.env}: {curve.label}, {_seeds(len(curve.seeds))}: {result}")
    return draw(curves, **how), lines, [note for group in groups for note in group.notes]


def _scores(histories: Any, window: Any, *, profiles: bool, **how: Any) -> tuple["Figure", list[str], list[str]]:
    from ..plots.curves import pool
    from ..plots.scores import draw_profiles, draw_scores, scores_of

    groups = pool(histories)
    found = scores_of(groups, window)
    lines, notes = [], [note for group in groups for note in group.notes]
    for s in found:
        numbers = ", ".join(f"{name} {_shown(*e)}" for name, e in s.aggregates.items())
        lines.append(f"{s.env}: {s.label}, {_seeds(len(s.scores))}: {numbers}")
        if len(s.scores) == 1:
            notes.append(f"{s.env}: {s.label} has one seed: its score without an interval.")
    return (draw_profiles if profiles else draw_scores)(found, **how), lines, notes


def _threshold(
    histories: Any, threshold: Any, x: Any, window: Any, **how: Any
) -> tuple["Figure", list[str], list[str]]:
    from ..plots.curves import pool
    from ..plots.threshold import draw_times, share_reached, times_of
    from ..stats.survival import median_time

    groups = pool(histories)
    found, notes = times_of(groups, threshold, x, window)
    lines, notes = [], [*notes, *(note for group in groups for note in group.notes)]
    for times in found:
        _, share, low, high = share_reached(times)
        half = median_time(times.at, times.reached)
        unit = {"steps": "env step", "episodes": "episode", "time": "second"}[x]
        when = f"half of them by {unit} {half:,.0f}" if half < float("inf") else "less than half of them"
        n, reached = len(times.at), int(times.reached.sum())
        lost = "" if abs(share[-1] - reached / n) < 1e-9 else "as others ended early, about "
        interval = f" ({lost}{share[-1]:.0%} [{low[-1]:.0%}, {high[-1]:.0%}])" if n > 1 else ", no interval"
        lines.append(
            f"{times.env}: {times.label}: {reached} of {_seeds(n)} reached {exact(times.threshold)}{interval}, {when}"
        )
    return draw_times(found, **how), lines, notes


def _shown(value: float, low: float, high: float) -> str:
    return interval(value, low, high) if low == low else f"{number(value)}, no interval"


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n > 1)}"
