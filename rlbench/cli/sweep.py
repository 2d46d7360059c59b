"""`rlbench sweep`: many runs from one file."""

from pathlib import Path

import click

from . import options, sweeping


@click.command()
@click.argument("file", metavar="FILE.toml|DIR", type=options.Place())
@options.out("Sweep folder.  [default: runs/FILE]", metavar="DIR")
@sweeping.on
@sweeping.settings
@click.option(
    "--store",
    metavar="ADDRESS",
    type=options.Word(),
    default=None,
    help="Keep run folders there, for machines that share no disk: s3://bucket/path, or what else fsspec knows.",
)
@sweeping.retries
@click.option("--dry-run", is_flag=True, help="Tell what would be run, and how long that may take; write nothing.")
@click.option(
    "--agent", "agents", metavar="REF", type=options.Word(), multiple=True, help="Agent code that the file names."
)
@click.option(
    "--env", "envs", metavar="REF", type=options.Word(), multiple=True, help="Environment code that it names."
)
@options.imports
@sweeping.progress
def sweep(
    file: Path,
    out: Path | None,
    on: str,
    settings: tuple[str, ...],
    store: str | None,
    retries: int,
    dry_run: bool,
    agents: tuple[str, ...],
    envs: tuple[str, ...],
    imports: tuple[str, ...],
    progress: str,
) -> None:
    """Run every cell of a sweep file: what varies over a base recipe. Run it again, and it goes on.

    \b
    [base]                              # keys of a recipe, for all
    env = "CartPole-v1"
    seeds = 5
    [grid]                              # every combination; [zip]: side by side; [[cell]]: one more
    agent = ["dqn", "ppo"]
    num_envs = [1, 8]

    \b
    rlbench sweep sweep.toml --dry-run
    rlbench sweep sweep.toml --out runs/sweep
    rlbench sweep runs/sweep            # goes on
    rlbench watch runs/sweep
    rlbench compare runs/sweep
    """
    from rlbench.engines import early
    from rlbench.errors import UsageError
    from rlbench.process.garbage import end_quickly
    from rlbench.process.places import absolute, shown
    from rlbench.sweep.file import read_file
    from rlbench.sweep.folder import FILE, is_sweep, what_is_lost
    from rlbench.sweep.index import all_done
    from rlbench.user_code.commands import command

    if out is None and (lost := what_is_lost(file)):
        raise UsageError(lost)
    if out is None and is_sweep(file):  # its folder
        file, out = file / FILE, file
    if out is None and file.name == FILE and (is_sweep(file.parent) or what_is_lost(file.parent)):
        out = file.parent  # it is that folder's own
    out = absolute(Path("runs") / file.stem if out is None else out)
    read = read_file(file, shown(file))
    end_quickly()
    with early.nursery(on == "local" and not dry_run and not all_done(out)):  # before what is slow to import here
        from rlbench.driving.prepare import Trust
        from rlbench.driving.probe import estimate
        from rlbench.driving.run import failed, plan_sweep
        from rlbench.driving.telling import closing_lines, plan_lines

        given, trust = options.given_settings(settings), Trust(agents, envs, imports)
        plan = plan_sweep(read, out, on=on, settings=given, trust=trust, store=store or "")
        for line in plan_lines(plan):
            click.echo(line)
        options.tell(plan.notes)
        if dry_run:
            for line in estimate(plan):
                click.echo(line)
            return
        words = [word for key in ("on",) if on != "local" for word in ("--on", on)]
        words += ["--store", plan.store] if plan.store else []
        words += [word for text in settings for word in ("--with", text)]
        words += ["--retries", str(retries)] if retries != sweeping.RETRIES else []
        for option, names in (("--agent", agents), ("--env", envs), ("--import", imports)):
            words += [word for name in names for word in (option, name)]
        again = command("sweep", file, "--out", out, *words)
        end = sweeping.carry_out(plan, progress, retries=retries, again=again)
    for line in closing_lines(end):
        click.echo(line)
    options.tell(end.notes)
    if failed(end):
        click.get_current_context().exit(1)
