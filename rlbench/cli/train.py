"""`rlbench train`: train an agent, or go on with a run."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlbench.user_code.refs import is_env_class

from . import options

if TYPE_CHECKING:
    from rlbench.recipe.width import Width

DEBUG_EVERY = 5_000  # env steps
# Of a run that is resumed.
CHANGEABLE = ("agent", "total_steps", "on_nan", "track", "video_every", "debug_every", "device")


@click.command()
@click.option(
    "--env",
    metavar="ID",
    type=options.Word(),
    help="Gymnasium id, such as CartPole-v1, or a class of your own: file.py:Class or package.module:Class.",
)
@click.option(
    "--agent",
    metavar="NAME",
    type=options.Word(),
    help="name (`rlbench list agents`), file.py:Class or package.module:Class.  [default: dqn]",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    type=options.Word(),
    help="Recipe by name (`rlbench list recipes`), or a TOML file.",
)
@click.option("--seed", metavar="K", type=int, help="The first seed.")
@click.option("--seeds", metavar="N", type=int, help="How many seeds train side by side.")
@click.option("--num-envs", metavar="E", type=int, help="Environments per seed.")
@click.option("--total-steps", metavar="T", type=int, help="Env steps per seed.")
@click.option(
    "--workers",
    metavar="W",
    type=int,
    help="Processes to split the seeds over; changes no result.  [default: one per CPU core]",
)
@click.option(
    "--on-nan",
    type=click.Choice(["stop", "skip-seed"]),
    help="A loss, reward or observation is not finite: stop, or go on without that seed.  [default: stop]",
)
@click.option(
    "--track",
    metavar="NAMES",
    help="Where numbers go besides the CSV files: tensorboard, wandb, trackio (with commas), or none.  "
    "[default: tensorboard]",
)
@click.option("--video-every", metavar="N", type=int, help="Film a greedy episode every N env steps, in videos/.")
@click.option(
    "--debug",
    "debug_every",
    metavar="[N]",
    type=int,
    is_flag=False,
    flag_value=DEBUG_EVERY,
    help=f"Look inside the agent every N env steps (without N: {DEBUG_EVERY:,}): debug.csv, and warnings in words.",
)
@options.devices
@click.option("--compile", is_flag=True, default=None, help="Put what the agent computes through torch.compile.")
@options.out("Run folder.  [default: runs/ENV/AGENT-DATE-TIME]", metavar="DIR")
@click.option("--set", "sets", metavar="KEY=VALUE", multiple=True, help="Any recipe key, such as dqn.gamma=0.98.")
@click.option(
    "--wrapper",
    "wrappers",
    metavar="WRAPPER",
    type=options.Word(),
    multiple=True,
    help="Put around the environment, the first one innermost: 'gymnasium.wrappers:CLASS(name=value)', "
    "file.py:CLASS or package.module:CLASS. May be repeated.",
)
@options.imports
@click.option("--resume", metavar="RUN", type=options.Place(), help="Go on with the run in this folder.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "none"]),
    default="auto",
    help="auto: a live display on a terminal, plain lines elsewhere.",
)
def train(
    sets: tuple[str, ...],
    wrappers: tuple[str, ...],
    imports: tuple[str, ...],
    resume: Path | None,
    progress: str,
    **flags: Any,
) -> None:
    """Train an agent on an environment and record the run.

    \b
    rlbench train --env CartPole-v1
    rlbench train --recipe classic --seeds 10
    rlbench train --env my_env.py:MyEnv --set env_kwargs.size=5
    rlbench train --env CartPole-v1 --wrapper "gymnasium.wrappers:FrameStackObservation(stack_size=4)"
    rlbench train --env FrozenLake-v1 --agent my_agent.py:MyAgent --set MyAgent.learning_rate=0.1
    rlbench train --env CartPole-v1 --debug
    rlbench train --resume runs/CartPole-v1/dqn-20260101-120000
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if resume is not None:
        if is_env_class(given.get("env", "")):
            imports = options.with_env(imports, given.pop("env"))
        _check_resume({**given, **({"wrapper": wrappers} if wrappers else {})}, sets)
    from rlbench.live.progress import watcher_for
    from rlbench.process import mkl
    from rlbench.process.places import shown
    from rlbench.recipe import Recipe
    from rlbench.recipe.build import trains_on_cpu
    from rlbench.recipe.device import SMALL, listed, resolve_device
    from rlbench.recipe.shares import cores
    from rlbench.rollout.display import advising
    from rlbench.runfolder.reader import read_recipe
    from rlbench.training import train as training
    from rlbench.user_code.commands import code, command

    def width_lost(found: "Width") -> None:
        if slower := mkl.slower():
            raise _Restart(slower)

    watcher = watcher_for(progress)
    with _restarting(), watcher, advising("--video-every 0 trains without films"):
        if resume is not None:
            run = training.resume(
                resume,
                agent=given.get("agent"),
                imports=imports,
                total_steps=given.get("total_steps"),
                on_nan=given.get("on_nan"),
                track=given.get("track"),
                video_every=given.get("video_every"),
                debug_every=given.get("debug_every"),
                device=given.get("device"),
                watcher=watcher,
            )
        else:
            names = ["seed", "seeds", "num_envs", "total_steps", "workers", "device", "on_nan", "track", "video_every"]
            names += ["debug_every", "compile"]
            overrides = [*sets, *(f"{name}={_toml(given[name])}" for name in names if name in given)]
            overrides += [f"wrappers={_toml(list(wrappers))}"] if wrappers else []
            recipe = Recipe.load(
                given.get("recipe"),
                env=given.get("env"),
                agent=given.get("agent"),
                imports=imports,
                overrides=overrides,
            )
            several = len(listed(recipe.device)) > 1  # cards, of which each takes a process
            if not recipe.workers and not several and trains_on_cpu(recipe, processes := min(cores(), recipe.seeds)):
                if resolve_device(recipe.device).type != "cpu":  # each process would choose for its few seeds
                    watcher.note(SMALL)
                    recipe = recipe.replace(device="cpu")
                recipe = recipe.replace(workers=processes)
            run = training.train(recipe=recipe, out=given.get("out"), watcher=watcher, width_lost=width_lost)
    click.echo(f"Everything is in {shown(run.folder)}")
    click.echo(f"Watch it:  {command('play', run.folder, *code(read_recipe(run.folder)))}")
    if (run.folder / "curve.png").exists():
        click.echo(f"Its curve: {shown(run.folder / 'curve.png')}   (again: {command('plot', run.folder)})")


class _Restart(Exception):
    """It takes another mode of MKL to train exactly, and a process cannot change its own."""


@contextlib.contextmanager
def _restarting() -> Iterator[None]:
    try:
        yield
    except _Restart as e:
        from rlbench.process import mkl

        click.echo(f"seeds would not be exact in MKL's fastest mode on this CPU: starting again in {e}", err=True)
        mkl.restart(str(e))


def _check_resume(given: dict[str, Any], sets: tuple[str, ...]) -> None:
    fixed = [f"--{name.replace('_', '-')}" for name in given if name not in CHANGEABLE]
    if sets:
        fixed.append("--set")
    if fixed:
        raise click.UsageError(f"{fixed[0]} cannot change on --resume; only --total-steps can be raised.")


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, list, bool)) else str(value)
