"""``python -m rlbench.experiments.studies coverage|planted``: test the statistics where the truth is known."""

import click

from .coverage import coverage
from .planted import planted


@click.group()
def studies() -> None:
    """Put the statistics to the test, where the truth is known."""


for command in (coverage, planted):
    studies.add_command(command)

if __name__ == "__main__":
    studies(prog_name="python -m rlbench.experiments.studies")
