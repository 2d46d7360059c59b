"""``python -m rlbench.experiments.studies cards|coverage|planted``: what can be known beforehand."""

import click

from .cards import cards
from .coverage import coverage
from .planted import planted


@click.group()
def studies() -> None:
    """Put the statistics to the test where the truth is known, and large runs on paper."""


for command in (cards, coverage, planted):
    studies.add_command(command)

if __name__ == "__main__":
    studies(prog_name="python -m rlbench.experiments.studies")
