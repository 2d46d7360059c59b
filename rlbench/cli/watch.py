"""`rlbench watch`: the panel of a run in another process, or of one that has ended; of a sweep, all its cells."""

from pathlib import Path

import click

from . import options


@click.command()
@click.argument("run", metavar="RUN|SWEEP", type=options.Place())
@click.option("--once", is_flag=True, help="Print the panel once and leave, as where output is no terminal.")
@click.pass_context
def watch(ctx: click.Context, run: Path, once: bool) -> None:
    """Show how a run stands: the panel of `rlbench train`, from the outside.

    Of a sweep it shows all cells: those that run, that failed, that wait, and how long all of them will take.

    It only reads the folder, once a second, and leaves when the run or the sweep has ended, or with q.
    """
    from rlbench.sweep.folder import is_sweep, what_is_lost

    try:
        if is_sweep(run) or what_is_lost(run):
            from rlbench.sweep.watch import watch_sweep

            came = watch_sweep(run, once=once)
        else:
            from rlbench.live.watch import watch as look_on

            came = look_on(run, once=once)
    except KeyboardInterrupt:  # the run goes on; nothing needs to be said
        came = 2
    if came:
        ctx.exit(128 + came)
