"""`rlbench ablate`: what each switch of a recipe is worth."""

import json
import re
from pathlib import Path
from typing import Any

import click

from . import options, sweeping


@click.command()
@click.argument("recipe", metavar="RECIPE", type=options.Word())
@options.out("Sweep folder.  [default: runs/ablate-RECIPE]", metavar="DIR")
@click.option("--in", "put_in", is_flag=True, help="Put each into the plain agent instead, which has none of them.")
@click.option(
    "--keys",
    metavar="A,B",
    type=options.Word(),
    multiple=True,
    help="These alone; KEY=VALUE compares with that value. May be repeated.  [default: all switches that are on]",
)
@click.option("--seeds", metavar="N", type=int, help="Seeds of each cell.")
@click.option("--total-steps", metavar="T", type=int, help="Env steps per seed.")
@click.option("--set", "sets", metavar="KEY=VALUE", multiple=True, help="Any recipe key, for all cells.")
@click.option("--env", metavar="ID", type=options.Word(), help="Environment, in place of the recipe's.")
@click.option(
    "--agent", metavar="NAME", type=options.Word(), help="Agent, in place of the recipe's, or where its code is."
)
@options.imports
@sweeping.on
@sweeping.settings
@sweeping.retries
@click.option("--confidence", default=0.95, show_default=True, help="Of all intervals, and of the verdicts.")
@click.option("--dry-run", is_flag=True, help="Name the switches, tell how long it may take; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@sweeping.progress
def ablate(
    recipe: str,
    out: Path | None,
    put_in: bool,
    keys: tuple[str, ...],
    seeds: int | None,
    total_steps: int | None,
    sets: tuple[str, ...],
    env: str | None,
    agent: str | None,
    imports: tuple[str, ...],
    on: str,
    settings: tuple[str, ...],
    retries: int,
    confidence: float,
    dry_run: bool,
    as_json: bool,
    progress: str,
) -> None:
    """Say what each switch of a recipe is worth: leave each out in turn, as a sweep, and compare.

    A switch is a key of the agent's that can be left out altogether: one that is true, one that is set where by default
    nothing is, one of several words that is not the default one, and one that says what switches it off, as n_step
    does. Other keys are compared where --keys names them. Run it again, and it goes on; when all is done, it prints its
    table at once. RECIPE is a name (`rlbench list recipes`) or a TOML file.

    \b
    rlbench ablate dqn/CartPole-v1 --dry-run
    rlbench ablate dqn/CartPole-v1 --seeds 10 --out runs/switches
    rlbench ablate dqn/CartPole-v1 --in --keys double,n_step --out runs/two
    """
    from rlbench.engines import early
    from rlbench.errors import UsageError
    from rlbench.process.garbage import end_quickly
    from rlbench.process.places import absolute
    from rlbench.sweep.index import all_done

    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence:g}.")
    end_quickly()
    overrides = [*sets]
    overrides += [f"seeds={seeds}"] if seeds is not None else []
    overrides += [f"total_steps={total_steps}"] if total_steps is not None else []
    out = absolute(out or Path("runs") / f"ablate-{re.sub(r'[^A-Za-z0-9_.-]+', '-', recipe.removesuffix('.toml'))}")
    with early.nursery(on == "local" and not dry_run and not all_done(out)):  # before what is slow to import here
        from rlbench.outcome.ablation import Ablation
        from rlbench.outcome.switches import switches_of
        from rlbench.recipe import Recipe

        read = Recipe.load(recipe, env=env, agent=agent, imports=imports, overrides=overrides).placed()
        read = read.replace(workers=1) if not read.workers else read
        switches, notes = switches_of(read, _keys(keys))
        options.tell(notes)
        asked = Ablation(read, tuple(switches), put_in, out)
        if dry_run:
            _plan(asked, on, settings)
            return
        _carry_out(asked, on, settings, retries=retries, progress=progress, quiet=as_json)
    _say(asked, confidence, as_json=as_json)


def _keys(texts: tuple[str, ...]) -> list[str]:
    """--keys A,B taken apart at commas, save those inside of brackets."""
    return [part.strip() for text in texts for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def _plan(asked: Any, on: str, settings: tuple[str, ...]) -> None:
    """Name the switches, and what stays; tell how long it may take."""
    import tempfile

    from ..driving.probe import estimate
    from ..outcome.ablation import write_plain
    from ..outcome.switches import sizes_kept, value_word

    titles = [switch.title for switch in asked.switches]
    wide = max(map(len, titles))
    did = "put in" if asked.put_in else "left out"
    click.echo(f"{len(titles)} switch{'es' * (len(titles) != 1)} of {asked.recipe.agent}, each {did}:")
    for switch in asked.switches:
        click.echo(f"  {switch.title:<{wide}}  off: {value_word(switch.off)}")
    if kept := sizes_kept(asked.recipe, asked.switches):
        said = ", ".join(f"{name}={value_word(value)}" for name, value in kept.items())
        click.echo(f"As in the recipe everywhere: {said}")
    with tempfile.TemporaryDirectory() as place:
        asked = asked._replace(out=Path(place) / "sweep")
        write_plain(asked)
        plan = _planned(asked, on, settings)
        count, steps = len(plan.cells), asked.recipe.seeds * asked.recipe.total_steps
        click.echo(f"{count} cells of {asked.recipe.seeds} seeds, {count * steps:,} env steps in all")
        for line in estimate(plan):  # which tells agents and environments apart: here it is one of each, and cells
            click.echo(line.replace(f" on {asked.recipe.env}: ", ": ", 1).removesuffix(" for 1 of them"))


def _planned(asked: Any, on: str, settings: tuple[str, ...]) -> Any:
    from rlbench.driving.prepare import Trust
    from rlbench.driving.run import plan_sweep
    from rlbench.outcome.ablation import file_of

    given = options.given_settings(settings)
    trust = Trust((asked.recipe.agent,), (), asked.recipe.imports)
    return plan_sweep(file_of(asked), asked.out, on=on, settings=given, trust=trust)


def _carry_out(asked: Any, on: str, settings: tuple[str, ...], *, retries: int, progress: str, quiet: bool) -> None:
    """Run what is left of the sweep."""
    import shlex
    import sys

    from rlbench.driving.run import failed
    from rlbench.driving.telling import closing_lines
    from rlbench.outcome.ablation import write_plain
    from rlbench.sweep.folder import PLAIN

    there = (asked.out / PLAIN).exists()
    write_plain(asked)
    try:
        plan = _planned(asked, on, settings)
    except BaseException:  # nothing has begun, and another recipe may be meant the next time
        if not there:
            (asked.out / PLAIN).unlink(missing_ok=True)
        raise
    options.tell(plan.notes)
    again = shlex.join(["rlbench", *sys.argv[1:]])
    end = sweeping.carry_out(plan, "none" if quiet else progress, retries=retries, again=again)
    options.tell(end.notes)
    if failed(end):
        options.tell(line for line in closing_lines(end) if line.startswith(("failed", "What each said")))


def _say(asked: Any, confidence: float, *, as_json: bool) -> None:
    """Print what was found; 1 where a cell has not come to its end."""
    from ..outcome.ablation import found_in, verdict_lines, worth_table
    from ..process.places import shown
    from ..sweep.folder import open_sweep

    found = found_in(asked, open_sweep(asked.out), confidence)
    if as_json:
        content = {
            "recipe": asked.recipe.agent,
            "env": asked.recipe.env,
            "baseline": asked.baseline,
            "score": None if found.baseline is None else found.baseline._asdict(),
            "seeds": found.seeds,
            "confidence": found.confidence,
            "switches": [one.to_dict() for one in found.worths],
            "warnings": list(found.warnings),
        }
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for line in verdict_lines(found):
            click.echo(click.style(line, bold=True))
        click.echo("\n".join(worth_table(asked, found)))
        options.tell(found.warnings)
        click.echo(f"Everything is in {shown(asked.out)}: rlbench compare, report and watch take it.")
    if any(one.score is None for one in found.worths):
        click.get_current_context().exit(1)
