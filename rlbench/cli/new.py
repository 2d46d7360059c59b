"""`rlbench new`: a file to begin an agent or an environment of one's own with, and its test."""

import shlex
from importlib.util import find_spec

import click

from ..user_code.begin_files import KINDS
from . import options


@click.command()
@click.argument("what", type=click.Choice(["agent", "env"]))
@click.argument("name", type=options.Word())
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="Of an agent: a Learner for one seed (REINFORCE), or for all seeds at once a Q-learner (value) or a policy "
    "gradient (policy).  [default: learner]",
)
def new(what: str, name: str, kind: str | None) -> None:
    """Write a commented file that works at once, and its test beside it. No file is overwritten.

    \b
    rlbench new agent my_agent
    rlbench new agent MyAgent --kind policy
    rlbench new env my_env
    """
    from ..errors import UsageError
    from ..process.places import shown
    from ..user_code.begin_files import begin_files
    from ..user_code.commands import command, place

    if kind and what == "env":
        raise UsageError("--kind is for agents; there is one kind of environment to begin with.")
    begun = begin_files(what, name, (kind or KINDS[0]) if what == "agent" else "")
    code = f"{place(begun.file)}:{begun.name}"
    click.echo(f"{shown(begun.file)}, and its test {shown(begun.test)}")
    if what == "agent":
        click.echo(f"Train it:  {command('train', '--env', 'CartPole-v1', '--agent', code)}")
        click.echo(f"Check it:  {command('check', code)}")
    else:
        click.echo(f"Train on it:  {command('train', '--env', code, '--total-steps', 10_000)}")
    first = "" if find_spec("pytest") else "   (after: pip install pytest)"
    click.echo(f"Test it:   {shlex.join(['python', '-m', 'pytest', place(begun.test)])}{first}")
