"""`rlbench check`: whether an agent is what it should be, and what is wrong with it."""

import contextlib
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options

if TYPE_CHECKING:
    from rlbench.checks.results import CheckedRow
    from rlbench.probing.subject import Subject

ENDINGS = (".json", ".txt")


@click.command()
@click.argument("agent", type=options.Word())
@click.option("--env", metavar="ID", type=options.Word(), help="Rows that can look anywhere look at this environment.")
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="A hyper-parameter of the agent, which stays as it is. May be repeated.",
)
@click.option("--rows", metavar="NAMES", type=options.Word(), help="Only these rows or groups: names, commas between.")
@click.option("--without", metavar="NAMES", type=options.Word(), help="Leave these rows or groups out.")
@click.option("--quick", is_flag=True, help="Only what takes little: under 20 seconds.")
@click.option(
    "--seed", metavar="K", type=click.IntRange(0), default=0, show_default=True, help="Of all random numbers."
)
@click.option("--limit", metavar="SECONDS", type=click.FloatRange(0.1), help="For each row, after which it hangs.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead of the table.")
@options.out("Write everything as JSON (.json), or the table (.txt). May be repeated.", multiple=True)
@options.imports
def check(
    agent: str,
    env: str | None,
    overrides: tuple[str, ...],
    rows: str | None,
    without: str | None,
    quick: bool,
    seed: int,
    limit: float | None,
    as_json: bool,
    out: tuple[Path, ...],
    imports: tuple[str, ...],
) -> None:
    """Ask an agent what every agent has to keep. Exits with 0 if all of it holds, with 1 if something does not.

    AGENT is a name (`rlbench list agents`), file.py:Class or package.module:Class. It is put on small environments that
    it fits; of what does not hold, the evidence is told, and the likely cause. What the rows mean: docs/check.md.

    \b
    rlbench check mine.py:Mine
    rlbench check mine.py:Mine --env CartPole-v1 --quick
    rlbench check dqn --set memory=gru --rows state,width
    """
    from rlbench.checks import suite
    from rlbench.checks.results import WIDTH, head
    from rlbench.errors import UsageError
    from rlbench.process.places import shown

    for path in out:
        if path.suffix.lower() not in ENDINGS:
            raise UsageError(f"--out {shown(path)}: the name must end in {' or '.join(ENDINGS)}.")

    width = min(WIDTH, max(60, shutil.get_terminal_size((WIDTH, 24)).columns))  # of a file or a pipe: all

    class Printing(suite.Watching):
        """Prints every row when it has been asked."""

        group = ""

        def begun(self, subject: "Subject") -> None:
            fits, misfits = suite.fitting(subject)
            click.echo("\n".join(head(subject.name, fits, misfits, subject.changes, width)))

        def asked(self, row: "CheckedRow") -> None:
            if row.group != self.group:
                click.echo(f"\n{click.style(row.group, bold=True)}")
            self.group = row.group
            click.echo("\n".join(row.lines(click.style, width)))

    with contextlib.redirect_stdout(sys.stderr):  # what the agent's file prints when it is imported
        one = suite.prepared(agent, overrides, env=env, imports=imports, seed=seed, quick=quick)
    watching = suite.Watching() if as_json else Printing()
    try:
        found = suite.ask(one, _names(rows), _names(without), limit=limit, watching=watching)
    except KeyboardInterrupt:
        click.echo("stopped: rows that were not told of were not asked", err=True)
        raise click.exceptions.Exit(130) from None
    make: dict[str, Any] = {
        ".json": lambda: json.dumps(found.json(), indent=2, allow_nan=False, ensure_ascii=False),
        ".txt": found.text,
    }
    for path in out:
        options.write(path, make[path.suffix.lower()]())
    if as_json:
        click.echo(make[".json"]())
    else:
        click.echo("\n" + "\n".join(found.foot(width)))
    if not found.ok:
        raise click.exceptions.Exit(1)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]
