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
    help="Import what registers the environment: a module, or file.py. May be repeated.",
)
device = click.option(
    "--device", metavar="DEVICE", default=None, help="auto (CUDA when present), cpu, cuda or cuda:N.  [default: auto]"
)
