"""`rlbench verify`: whether a run folder is what it says."""

from pathlib import Path

import click

from . import options

SHOWN = 10  # differences that are named


@click.command()
@click.argument("run", type=options.Place())
@click.option(
    "--episodes",
    metavar="N|all",
    help="Run so many again, of each seed, spread evenly.  [default: all of up to 200, else 200]",
)
@click.option("--seed", metavar="K", type=int, help="Only this seed.  [default: all]")
@options.agent_code
@options.env_code
@options.imports
def verify(
    run: Path,
    episodes: str | None,
    seed: int | None,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
) -> None:
    """Check a run folder against itself. Exits with 0 if everything agrees, else with 1.

    Recorded episodes of training are run again, and must give the recorded return, length and termination; the journal
    and episodes.csv must tell of the same episodes; every checkpoint, replay buffer and dump of a fault must open; the
    other tables and the summary must be whole.

    \b
    rlbench verify runs/CartPole-v1/dqn-20260101-120000
    rlbench verify runs/CartPole-v1/dqn-20260101-120000 --episodes all
    """
    from rlbench.errors import RunFolderError, UsageError
    from rlbench.process.places import shown
    from rlbench.runfolder.journal import advice
    from rlbench.trained import verify as checks
    from rlbench.trained.recording import open_recording
    from rlbench.user_code.commands import ref

    if episodes is not None and episodes != "all" and not (episodes.isascii() and episodes.isdigit() and int(episodes)):
        raise UsageError(f"--episodes takes a number from 1 on, or all; not {episodes!r}")
    most = None if episodes == "all" else int(episodes or checks.FEW)
    recording = open_recording(run, agent=agent, imports=options.with_env(imports, env))
    options.tell(recording.notes)
    name = shown(recording.folder)
    rows, problems = checks.read_tables(recording.reader)
    seeds = sorted({*recording.journals, *rows})
    if seed is not None:
        recording.journal(seed)  # says so where there is none
        seeds = [seed]
    click.echo(f"{name}: {ref(recording.recipe.agent)} on {recording.recipe.env}")
    click.echo(f"{'seed':>8}{'episodes':>10}{'replayed':>10}{'agree':>10}   episodes.csv")
    cut_off, led, differing = False, 0, 0
    for report in checks.check_seeds(recording, seeds, None if problems else rows, most):
        click.echo(f"{report.seed:>8}{report.episodes:>10,}{report.replayed:>10,}{report.agree:>10,}   {report.table}")
        problems += report.problems
        led += report.led
        differing += report.replayed - report.agree
        cut_off |= report.table.endswith(("ahead", "behind"))
    if recording.world is not None:
        click.echo(
            f"{recording.recipe.env} was stepped in torch, by operations whose every bit IEEE 754 lays down: its "
            "episodes do not depend on the device that they were made on."
        )
    if led:
        click.echo(
            f"{led:,} of them agree when the episode before is run first, as resuming and playing do: "
            f"{recording.recipe.env} keeps something over a reset."
        )
    if differing:
        click.echo(
            f"{differing:,} do not: {recording.recipe.env} is not deterministic given its seed, or has changed since."
            + advice(recording.recipe.fresh_envs)
        )
    if cut_off:
        click.echo("The run is under way or was cut off, so episodes.csv may be ahead of the journal, or behind it.")
    count, dumps, damaged = checks.check_files(recording.folder)
    what = "checkpoints, replay buffers and dumps of faults" if dumps else "checkpoints and replay buffers"
    click.echo(f"{what}: {count - len(damaged)} of {count} open")
    problems += damaged + checks.check_records(recording.reader)
    for text in problems[:SHOWN]:
        click.echo(text)
    if problems:
        more = f" ({len(problems) - SHOWN} more are not shown)" if len(problems) > SHOWN else ""
        raise RunFolderError(f"{name} does not agree with itself: {_counted(problems)}, see above{more}.")
    click.echo("Everything agrees.")


def _counted(problems: list[str]) -> str:
    return f"{len(problems)} difference{'s'[: len(problems) > 1]}"
