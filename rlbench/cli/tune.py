"""`rlbench tune`: a search for better hyper-parameters, by Optuna, over runs of several seeds."""

from pathlib import Path

import click

from . import options


@click.command()
@click.argument("file", type=options.Place(), required=False, metavar="FILE.toml")
@options.out("Folder of the search, the same for all processes that share it.", metavar="DIR")
@click.option("--trials", metavar="N", type=click.IntRange(min=1), help="How many in all; may be raised later.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    help="Trials at a time in this process.  [default: one per CPU core]",
)
@click.option(
    "--space", metavar="AGENT", type=options.Word(), help="Print the ready search space of an agent, to copy."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON instead.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "none"]),
    default="auto",
    help="A line for every trial that ends; none: what was found alone.",
)
@options.agent_code
@options.env_code
@options.imports
@click.pass_context
def tune(
    ctx: click.Context,
    file: Path | None,
    out: Path | None,
    trials: int | None,
    jobs: int | None,
    space: str | None,
    as_json: bool,
    progress: str,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
) -> None:
    """Search for better hyper-parameters; fresh seeds say what the best ones are worth.

    Any number of processes and machines work on one search: give all of them the same command. Ctrl-C saves; the same
    command goes on, and takes over what killed processes left.

    \b
    rlbench tune search.toml --out tuned
    rlbench tune search.toml --out tuned --trials 100
    rlbench tune --space ppo

    \b
    A file, of which [base] alone is needed:
      [base]
      env = "Acrobot-v1"
      total_steps = 20_000
      [space]
      dqn.learning_rate = {low = 1e-4, high = 1e-2, log = true}
      dqn.hidden = [[64, 64], [128, 128]]
      [search]
      trials = 40
      seeds = 3
    """
    from ..engines import early
    from ..errors import UsageError
    from ..process.garbage import end_quickly
    from ..process.places import shown

    if space is not None:
        from ..tunefile.space import ready_space

        if file is not None or out is not None:
            raise UsageError("--space prints a search space, and takes neither a file nor --out.")
        click.echo(ready_space(space).rstrip("\n"))
        return
    if file is None:
        raise UsageError("name the file of a search: rlbench tune FILE.toml --out DIR. `rlbench tune --help` has one.")
    agents, envs = (() if one is None else (one,) for one in (agent, env))
    quiet = progress == "none" or as_json

    def tell(line: str) -> None:
        if not quiet:
            click.echo(line)

    end_quickly()
    with early.nursery(out is not None and file.is_file()):  # before what is slow to import here
        from ..driving.prepare import Trust
        from ..tunefile.file import read_tune_file

        asked = read_tune_file(file, Trust(agents, envs, imports), trials=trials)
        if out is None:
            raise UsageError(f"say where the search is kept: rlbench tune {shown(file)} --out DIR")
        from ..tuning.whole import carry_out

        report, lines, signal = carry_out(asked, out, jobs, tell)
    if report is None:
        from ..rollout.signals import Interrupted
        from ..user_code.commands import command

        named = (("--agent", agents), ("--env", envs), ("--import", imports))
        words = [word for option, names in named for name in names for word in (option, name)]
        counts = (("--trials", trials), ("--jobs", jobs))
        words += [str(word) for option, count in counts if count for word in (option, count)]
        again = command("tune", file, "--out", out, *words)
        raise Interrupted(f"stopped; everything is saved. Go on with: {again}", signal)
    if as_json:
        import json

        click.echo(json.dumps(report.to_dict(), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        click.echo("\n".join(lines))
