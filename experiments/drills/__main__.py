"""``python -m rlbench.experiments.drills NAME``: harm on purpose, and what it did; --help lists them."""

import click

from .damage import damage
from .disk import disk
from .journal import journal
from .kill import kill
from .malformed import malformed
from .odd.drill import odd
from .ray import ray
from .slurm import slurm
from .store import store
from .sweep import sweep
from .tune import tune


@click.group()
def drills() -> None:
    """Harm runs, and a service, on purpose and count what is lost. Exit code 1 where anything was."""


for command in (kill, damage, disk, journal, odd, malformed, ray, slurm, store, sweep, tune):
    drills.add_command(command)

if __name__ == "__main__":
    drills(prog_name="python -m rlbench.experiments.drills")
