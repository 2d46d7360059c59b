"""`rlbench runs`: a table of the runs under a folder, with scores and status."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..numbers import number
from ..units import SECONDS, duration
from . import options

if TYPE_CHECKING:
    from ..runfolder.index import Found

_COLOURS = {"running": "cyan", "finished": "green", "interrupted": "yellow", "crashed": "red", "damaged": "red"}
_LEFT = ("env", "agent", "status", "path")  # columns of words; numbers stand at the right
_SPARED = (
    "best",
    "time",
    "over",
    "agent",
    "seeds",
    "steps",
    "age",
)  # left out in this order where a terminal is narrow
STATUS = tuple(_COLOURS)


@click.command()
@click.argument("roots", nargs=-1, metavar="[ROOT]...", type=options.Place())
@click.option("--env", metavar="TEXT", help="Only environments with this in their name; * stands for anything.")
@click.option("--agent", metavar="TEXT", help="Only agents with this in their name.")
@click.option("--status", type=click.Choice(STATUS), help="Only runs of this status.")
@click.option(
    "--since", metavar="WHEN", help="Only runs begun since: 30m, 2h, 3d, 1w, or 2026-11-01, 2026-11-01T08:00."
)
@click.option(
    "--sort",
    type=click.Choice(["age", "score", "time", "steps", "env"]),
    default="age",
    show_default=True,
    help="Newest, best, longest or furthest first; or by environment, best first.",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.out("Write JSON to this file.")
@click.option("--rebuild", is_flag=True, help="Read every run folder anew.")
def runs(
    roots: tuple[Path, ...],
    env: str | None,
    agent: str | None,
    status: str | None,
    since: str | None,
    sort: str,
    limit: int | None,
    as_json: bool,
    out: Path | None,
    rebuild: bool,
) -> None:
    """List the runs under folders, at any depth.  [default: runs]

    score is the interquartile mean over seeds of the greedy return of the final weights, or of the newest evaluation
    where a run is not over; best is that of each seed's best weights; over says how many episodes the score of a seed
    rests on, of the seed with the fewest. A run has crashed if it neither ended nor is
    running: go on with it by `rlbench train --resume PATH`.

    \b
    rlbench runs --env CartPole --sort score --limit 5
    rlbench runs --since 2h --json
    """
    import json

    from ..runfolder.index import find_runs

    now = time.time()
    begun = None if since is None else _since(since, now)
    every = [found for root in roots or (Path("runs").absolute(),) for found in find_runs(root, rebuild=rebuild)]
    every = list({found.path.resolve(): found for found in every}.values())
    chosen = [
        found
        for found in every
        if _matches(found.facts.env, env)
        and _matches(found.facts.agent, agent)
        and status in (None, found.status)
        and (begun is None or (found.facts.started or 0) >= begun)
    ]
    chosen = sorted(chosen, key=_order(sort))[:limit]
    if as_json or out:
        content = json.dumps([_content(found, now) for found in chosen], indent=2)
        if out:
            options.write(out, content)
        if as_json:
            click.echo(content)
            return
    if not chosen:
        where = ", ".join(map(_shown, roots)) or "runs"
        click.echo(f"no run under {where}" + (f" matches; there are {len(every)}." if every else "."), err=True)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines, left_out = _table(chosen, now, width)
    click.echo("\n".join(lines))
    if left_out:
        click.echo(f"(left out, as the terminal is narrow: {', '.join(left_out)}; --json has all)", err=True)
    for found in chosen:
        for problem in found.facts.damage.splitlines():
            click.echo(f"note: {_shown(found.path)}/{problem}", err=True)


def _since(text: str, now: float) -> float:
    """Seconds since 1970 of "2h", which is before now, or of a date."""
    import datetime

    from ..errors import UsageError

    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip()):
        return now - float(ago[1]) * SECONDS[ago[2]]
    try:
        return datetime.datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"--since {text!r} is no time: write 30m, 2h, 3d, 1w, or a date as 2026-11-01.") from None


def _matches(name: str, pattern: str | None) -> bool:
    import fnmatch

    return pattern is None or fnmatch.fnmatchcase(name.lower(), f"*{pattern.lower()}*")


def _order(sort: str) -> "Callable[[Found], Any]":
    """What to sort by; runs without the number come last, and of equals the newest first."""

    def down(number: float | None) -> tuple[bool, float]:
        return number is None, -(number or 0)

    def newest(found: "Found") -> tuple[Any, ...]:
        return down(found.facts.started), str(found.path)

    keys: dict[str, Callable[[Found], Any]] = {
        "age": newest,
        "score": lambda found: (down(found.facts.score), newest(found)),
        "time": lambda found: (down(found.facts.seconds), newest(found)),
        "steps": lambda found: (down(found.facts.steps), newest(found)),
        "env": lambda found: (found.facts.env, down(found.facts.score), newest(found)),
    }
    return keys[sort]


def _content(found: "Found", now: float) -> dict[str, Any]:
    import datetime

    facts = found.facts
    begun = None if facts.started is None else datetime.datetime.fromtimestamp(facts.started).astimezone()
    return {
        "path": _shown(found.path),
        "env": facts.env,
        "agent": facts.agent,
        "status": found.status,
        "score": facts.score,
        "best": facts.best,
        "episodes": facts.episodes,
        "seeds": facts.seeds,
        "env_steps": facts.steps,
        "total_steps": facts.budget,
        "wall_seconds": facts.seconds,
        "started": None if begun is None else begun.isoformat(timespec="seconds"),
        "age_seconds": None if facts.started is None else round(now - facts.started, 1),
        "stopped_because": facts.stopped or None,
        "damage": facts.damage.replace("\n", "; ") or None,
    }


def _table(found: "Sequence[Found]", now: float, width: int | None) -> tuple[list[str], list[str]]:
    """Lines of aligned columns, and the columns that ``width`` left no room for; None, as for a pipe: all of them."""
    rows = [_cells(one, now) for one in found]
    columns = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    left_out = []
    for name in _SPARED:
        if width is not None and sum(widths[c] + 2 for c in columns) - 2 > width:
            columns.remove(name)
            left_out.append(name)
    plain = bool(os.environ.get("NO_COLOR"))
    lines = []
    for row in [{name: name for name in columns}, *rows]:
        cells = []
        for name in columns:
            cell = row[name].ljust(widths[name]) if name in _LEFT else row[name].rjust(widths[name])
            colour = _COLOURS.get(row[name]) if name == "status" and not plain else None
            cells.append(click.style(cell, fg=colour) if colour else cell)
        lines.append("  ".join([*cells[:-1], row[columns[-1]]]))
    return lines, left_out


def _cells(found: "Found", now: float) -> dict[str, str]:
    facts = found.facts
    over = found.status == "finished" or not facts.budget
    return {
        "env": facts.env,
        "agent": facts.agent,
        "score": _score(facts.score),
        "best": _score(facts.best),
        "over": "-" if facts.episodes is None else f"{facts.episodes:,.0f}",
        "seeds": str(facts.seeds),
        "steps": f"{facts.steps:,}" if over else f"{facts.steps:,}/{facts.budget:,}",
        "time": "-" if facts.seconds is None else duration(facts.seconds),
        "status": found.status,
        "age": "-" if facts.started is None else duration(now - facts.started, coarse=True),
        "path": _shown(found.path),
    }


def _score(value: float | None) -> str:
    return number(value)


def _shown(path: Path) -> str:
    """A path to print; bytes that are no text become question marks."""
    from rlbench.process.places import shown

    return click.format_filename(shown(path))
