"""Options that several commands share."""

import click

agent_code = click.option(
    "--agent",
    metavar="REF",
    help="Where the agent's code is, if it is your own: file.py:Class or package.module:Class.",
)
imports = click.option(
    "--import",
    "imports",
    metavar="MODULE",
    multiple=True,
    help="Import a module that registers environments. May be repeated.",
)
device = click.option(
    "--device", metavar="DEVICE", default=None, help="auto (CUDA when present), cpu, cuda or cuda:N.  [default: auto]"
)
