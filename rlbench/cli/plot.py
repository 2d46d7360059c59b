"""`rlbench plot`: draws the learning curves of runs, with intervals."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--x", type=click.Choice(["steps", "episodes", "time"]), default="steps", show_default=True, help="X axis."
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    help="Episodes that a return is averaged over.  [default: a tenth of what a seed has, from 10 to 100]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write: .png, .svg or .pdf.  [default: curve.png in the run folder; ./curves.png for several runs]",
)
@click.option("--title", help="Title of the picture.")
def plot(runs: tuple[Path, ...], x: Any, window: int | None, out: Path | None, title: str | None) -> None:
    """Draw the learning curves of one or more run folders.

    Runs of the same agent with the same settings are pooled into one curve; every environment gets a panel of its own.
    """
    from ..curves import group_runs
    from ..plot import check_format, draw, save

    out = out or (runs[0] / "curve.png" if len(runs) == 1 else Path("curves.png"))
    check_format(out)
    curves = group_runs(runs, x, window)
    click.echo(save(draw(curves, title=title), out))
    for curve in curves:
        at, mean, low, high = curve.final()
        n = len(curve.seeds)
        if mean != mean:
            result = "no point that all seeds have reached"
        else:
            unit = {"steps": "env step", "episodes": "episode", "time": "second"}[x]
            interval = f" [{low:.1f}, {high:.1f}]" if n > 1 else ", no interval"
            result = f"final return {mean:.1f}{interval} at {unit} {at:,.0f}"
        click.echo(f"{curve.env}: {curve.label}, {n} seed{'s' * (n > 1)}: {result}")
