"""`rlbench report`: everything about runs on one page to send to somebody."""

from pathlib import Path

import click

from ..units import byte_size
from . import options


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@options.out("The page to write.", default="report.html", show_default=True)
@click.option("--title", help="Title of the page.  [default: agent and environment]")
@click.option("--no-video", is_flag=True, help="Leave out the episodes of training.")
@click.option("--no-inside", is_flag=True, help="Leave out what the agents look like inside.")
@options.agent_codes
@options.env_codes
@options.imports
def report(
    runs: tuple[str, ...],
    out: Path,
    title: str | None,
    no_video: bool,
    no_inside: bool,
    agents: tuple[str, ...],
    envs: tuple[str, ...],
    imports: tuple[str, ...],
) -> None:
    """Write one self-contained page about one agent, or about several that are compared with the first.

    Verdict, curves, episodes of training to watch, every seed, the agents inside, recipe, versions, and how to repeat
    it. Each RUN is a run folder, several joined with commas, a folder that holds runs, or a quoted pattern; NAME= in
    front names it. Of the folder of a sweep: how it stands, its agents against each other, a heat map, and curves.

    \b
    rlbench report runs/cartpole --out cartpole.html
    rlbench report sweeps/agents --out agents.html
    rlbench report dqn=runs/dqn-1,runs/dqn-2 mine='runs/mine-*'
    """
    from ..process.places import shown
    from ..sweep.folder import is_sweep

    if len(runs) == 1 and is_sweep(runs[0]):
        from ..outcome.page import write_sweep_report

        made = write_sweep_report(Path(runs[0]), out, title=title)
        options.tell(made.warnings)
        for sentence in made.verdicts:
            click.echo(sentence)
        click.echo(f"{shown(made.path)}: {byte_size(made.size)}")
        return
    from ..report.page import write_report

    for env in envs:
        imports = options.with_env(imports, env)
    written = write_report(
        runs, out, title=title, video=not no_video, look=not no_inside, agents=agents, imports=imports
    )
    found = written.findings
    options.tell((*found.warnings, *written.notes))
    for sentence in found.comparison.verdicts if found.comparison else ():
        click.echo(sentence)
    click.echo(f"{shown(written.path)}: {byte_size(written.size)}")
