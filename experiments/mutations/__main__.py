"""``python -m rlbench.experiments.mutations table|healthy``: does `rlbench check` find what is planted, and no more?"""

import click

from .healthy import healthy
from .report import table


@click.group()
def mutations() -> None:
    """Put `rlbench check` to the test, with agents that have a mistake and with agents that have none."""


for command in (table, healthy):
    mutations.add_command(command)

if __name__ == "__main__":
    mutations(prog_name="python -m rlbench.experiments.mutations")
