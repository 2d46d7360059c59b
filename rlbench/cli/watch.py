"""`rlbench watch`: the panel of a run in another process, or of one that has ended."""

from pathlib import Path

import click

from . import options


@click.command()
@click.argument("run", metavar="RUN", type=options.Place())
@click.option("--once", is_flag=True, help="Print the panel once and leave, as where output is no terminal.")
@click.pass_context
def watch(ctx: click.Context, run: Path, once: bool) -> None:
    """Show how a run stands: the panel of `rlbench train`, from the outside.

    It only reads the run folder, once a second, and leaves when the run has ended, or with q.
    """
    try:
        from rlbench.live.watch import watch as look_on

        came = look_on(run, once=once)
    except KeyboardInterrupt:  # the run goes on; nothing needs to be said
        came = 2
    if came:
        ctx.exit(128 + came)
