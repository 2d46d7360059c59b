"""The command line: one file per command. Nothing heavy is imported before a command runs.

Stands above all other rooms: none of them imports it.
"""

import os
import sys
from typing import Any

import click

from rlbench.cuda.failure import card_failure
from rlbench.errors import RlbenchError
from rlbench.process import outputs
from rlbench.process.places import stand, staying
from rlbench.version import __version__

from .ablate import ablate
from .check import check
from .compare import compare
from .eval import evaluate
from .export import export
from .inspect import inspect_
from .interrupting import ending
from .latency import latency
from .list import list_
from .new import new
from .play import play
from .plot import plot
from .report import report
from .runs import runs
from .serve import serve
from .sweep import sweep
from .train import train
from .tune import tune
from .verify import verify
from .watch import watch

_CELLS = "; what the last checkpoints hold is kept, and the same command goes on"
AT_ONCE = {"train": "; what the last checkpoint holds is kept", "sweep": _CELLS, "ablate": _CELLS, "tune": _CELLS}


class Main(click.Group):
    """A group that prints a user's mistake as one line; RLBENCH_DEBUG=1 shows the traceback instead."""

    def main(self, *args: Any, **how: Any) -> Any:
        with ending(), outputs.kept():
            try:
                return super().main(*args, **how)
            except outputs.OutputLost as e:  # help and version are told before a command is invoked
                _tell(e)
                sys.exit(e.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        with staying():
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            ctx.color = False  # of this command and those below it
        stand()
        try:
            try:
                result = super().invoke(ctx)
                outputs.check()
                return result
            finally:
                outputs.put_back()
        except RlbenchError as e:
            if os.environ.get("RLBENCH_DEBUG"):
                raise
            _tell(e)
            ctx.exit(e.exit_code)
        except click.UsageError as e:  # one line, without click's usage text above it
            command = e.ctx.command_path if e.ctx else "rlbench"
            click.echo(f"Error: {e.format_message().rstrip('.')}. See: {command} --help", err=True)
            ctx.exit(e.exit_code)
        except ModuleNotFoundError as e:
            from rlbench.policyfile.packages import PLAIN, missing

            if e.name not in PLAIN or os.environ.get("RLBENCH_DEBUG"):
                raise
            error = missing(e.name)
            _tell(error)
            ctx.exit(error.exit_code)
        except Exception as e:
            said = card_failure(e)
            if not said or os.environ.get("RLBENCH_DEBUG"):
                raise
            click.echo(f"Error: the card failed: {said}. Without it: --device cpu", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            kept = AT_ONCE.get(ctx.invoked_subcommand or "", "")  # the others have nothing that goes on from here
            click.echo(f"stopped at once{kept}", err=True)
            ctx.exit(130)


def _tell(e: RlbenchError) -> None:
    if not (isinstance(e, outputs.OutputLost) and e.quiet):
        click.echo(f"{'Error: ' if e.exit_code < 128 else ''}{e}", err=True)


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rlbench")
def main() -> None:
    """Train, watch and compare reinforcement-learning agents.

    Start with:  rlbench train --env CartPole-v1
    """


COMMANDS = (
    train, sweep, ablate, tune, watch, play, evaluate, inspect_, compare, plot, report, runs, export, latency, serve,
    verify, check, new, list_,
)  # fmt: skip

for command in COMMANDS:
    main.add_command(command)
