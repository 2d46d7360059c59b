"""What commands share that run a sweep: their options, and how it is carried out."""

import contextlib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..driving.run import SweepEnd, SweepPlan

RETRIES = 2  # unless the command says otherwise

on = click.option(
    "--on",
    metavar="ENGINE",
    default="local",
    show_default=True,
    help="Where cells run: local (the cores of this machine), ray or slurm.",
)
settings = click.option(
    "--with",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="What a cell takes (cpus, gpus, memory, time_limit), or a setting of the engine, as address or partition.",
)
retries = click.option(
    "--retries", metavar="N", type=click.IntRange(0), default=RETRIES, show_default=True, help="Of a cell that fails."
)
progress = click.option(
    "--progress", type=click.Choice(["auto", "plain", "none"]), default="auto", help="As of `rlbench train`."
)


def carry_out(plan: "SweepPlan", progress: str, *, retries: int, again: str) -> "SweepEnd":
    """Run what is left of a sweep, and show it meanwhile.

    Args:
        plan: from `plan_sweep`.
        progress: as --progress has it.
        retries: of a cell that fails.
        again: the command that goes on.
    """
    from ..driving.run import run_sweep
    from ..process.places import shown
    from ..sweep.view import view_for

    with contextlib.closing(view_for(progress, shown(plan.out), plan.cells)) as view:
        return run_sweep(plan, view, retries=retries, command_again=again)
