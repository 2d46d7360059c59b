"""`rlbench play`: watch a trained agent, or episodes of its training, or play yourself."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..numbers import number
from ..units import duration
from . import options, play_human, play_page

if TYPE_CHECKING:
    from rlbench.play.greedy import Played
    from rlbench.play.video import Written
    from rlbench.trained.rerun import Replayed

FASTEST = 1000
NO_RENDER = "--no-render prints the returns without pictures"  # advice where there are none to be had


class Speed(click.ParamType):
    """A number above 0, or ``max``, which is infinity."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if value == "max":
            return math.inf
        try:
            speed = float(value)
        except ValueError:
            speed = math.nan
        if not 0 < speed <= FASTEST:
            self.fail(f"{value!r} is neither a number above 0 and up to {FASTEST}, nor max", param, ctx)
        return speed


@click.command()
@click.argument("path", required=False, type=options.Place())
@click.option("--seed", metavar="K", type=int, help="This seed.  [default: the best]")
@click.option("--episodes", metavar="N", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--episode",
    metavar="WHICH",
    help="Watch episodes of training instead, side by side: a comma list of first, best, worst, last, numbers as in "
    "episodes.csv, and N@E for environment copy E. The default seed is then the one with the best episode.",
)
@click.option("--video", metavar="FILE", type=options.Place(), help="Write a .mp4 or .gif instead of opening a window.")
@click.option(
    "--html",
    metavar="FILE",
    type=options.Place(),
    help="Write one page that needs no network: every step with its picture, Q-values, action, reward and value.",
)
@click.option("--human", is_flag=True, help="Play yourself, with the keyboard; take over from the agent and hand back.")
@options.out("As --video or --html, by its ending.")
@click.option(
    "--env",
    metavar="ENV",
    type=options.Word(),
    help="With --human and no path: play this environment, without an agent. With a path: where the environment's code "
    "is, if it is a class of your own, file.py:Class.",
)
@click.option("--no-render", is_flag=True, help="Print the returns alone.")
@click.option(
    "--speed",
    metavar="X",
    type=Speed(),
    help="2 is twice as fast as the environment's own frame rate; max: every picture, as fast as can be. "
    "[default: 1; with --human, what suits a person]",
)
@options.agent_code
@options.imports
@options.device
def play(
    path: Path | None,
    seed: int | None,
    episodes: int,
    episode: str | None,
    video: Path | None,
    html: Path | None,
    out: Path | None,
    human: bool,
    env: str | None,
    no_render: bool,
    speed: float | None,
    agent: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    """Watch greedy episodes of a checkpoint or a run folder's best one. They are among those that `eval` counts.

    With --episode, watch episodes of training instead: every one was recorded, and is run again.

    \b
    rlbench play runs/CartPole-v1/dqn-20260101-120000
    rlbench play runs/CartPole-v1/dqn-20260101-120000 --video out.mp4
    rlbench play runs/CartPole-v1/dqn-20260101-120000 --html out.html
    rlbench play runs/CartPole-v1/dqn-20260101-120000 --episode first,best
    rlbench play runs/CartPole-v1/dqn-20260101-120000 --human
    rlbench play --human --env CartPole-v1

    Close the window, or press q or Escape in it, to stop.
    """
    from rlbench.rollout.display import advising

    if out is not None:
        video, html = _by_ending(out, video, html)
    alone = "Playing yourself takes a display"
    with advising(*(("", alone) if human else (NO_RENDER, f"Write a video (--video out.mp4), or {NO_RENDER}"))):
        _play(path, seed, episodes, episode, video, html, human, env, no_render, speed, agent, imports, device)


def _by_ending(out: Path, video: Path | None, html: Path | None) -> tuple[Path | None, Path | None]:
    if video or html:
        raise click.UsageError("--out writes what --video or --html do: give one of the three")
    return (None, out) if out.suffix.lower() in (".html", ".htm") else (out, None)


def _play(
    path: Path | None,
    seed: int | None,
    episodes: int,
    episode: str | None,
    video: Path | None,
    html: Path | None,
    human: bool,
    env: str | None,
    no_render: bool,
    speed: float | None,
    agent: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    from rlbench.errors import UsageError
    from rlbench.play import greedy
    from rlbench.recipe.registry import agent_code
    from rlbench.trained import load as trained

    ways = {"--video": video, "--html": html, "--human": human, "--no-render": no_render}
    _one_way([name for name, given in ways.items() if given])
    if env is not None and path is not None:
        imports = options.with_env(imports, env)
    elif env is not None and not human:
        raise UsageError("--env is for playing without an agent: rlbench play --human --env ENV, and no path")
    if path is None:
        if env is None:
            raise UsageError("nothing to play: give a run folder, a checkpoint, or --human --env ENV to play yourself")
        play_human.alone(env, imports, seed, episodes, speed)
        return
    if episode is not None:
        if click.get_current_context().get_parameter_source("episodes") == click.core.ParameterSource.COMMANDLINE:
            raise UsageError("--episodes counts those of a trained agent, --episode names some of training: give one")
        if human:
            raise UsageError("--episode shows what has happened, --human plays anew: give one of the two")
        _training(path, episode, seed, video, html, no_render, speed, agent, imports, device)
        return
    opened = trained.load(
        path, seed="best" if seed is None else seed, agent=agent, imports=imports, device=device or "auto"
    )
    options.tell(opened.notes)
    after = ""
    with agent_code(opened.recipe.agent):
        if human:
            play_human.with_agent(opened, episodes, speed)
            return
        if no_render:
            played = greedy.play_returns(opened, episodes, _print)
        elif video:
            played, written = greedy.play_video(opened, video, episodes, speed or 1.0, _print)
            after = f"; {_written(written)}"
        elif html:
            played, after = play_page.greedy(opened, html, episodes, speed or 1.0, _print)
        else:
            played = greedy.play_window(opened, episodes, speed or 1.0, _print)
            if len(played) < episodes:
                after = f"; the window was closed in episode {len(played) + 1}"
    if played:
        mean = sum(p.episode_return for p in played) / len(played)
        after = f"mean return {number(mean)} over {len(played)} episode{'s'[: len(played) > 1]}{after}"
    click.echo(after.removeprefix("; "))


def _one_way(given: list[str]) -> None:
    from rlbench.errors import UsageError

    why = {
        "--video": "--video writes pictures",
        "--html": "--html writes a page",
        "--human": "--human opens a window",
        "--no-render": "--no-render makes no pictures",
    }
    if len(given) > 1:
        raise UsageError(f"{' and '.join(why[name] for name in given[:2])}: give one of the two")


def _training(
    path: Path,
    which: str,
    seed: int | None,
    video: Path | None,
    html: Path | None,
    no_render: bool,
    speed: float | None,
    agent: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    from rlbench.play import recorded
    from rlbench.trained import rerun
    from rlbench.trained.recording import choose, open_recording

    recording = open_recording(path, agent=agent, imports=imports)
    options.tell(recording.notes)
    chosen = choose(recording, which, seed)
    replayed: list[Replayed] = []

    def on_episode(one: "Replayed") -> None:
        replayed.append(one)
        click.echo(
            f"episode {rerun.title(recording, one.entry)}  return {number(one.end.episode_return)}  "
            f"length {one.end.step}  env step {one.entry.env_steps:,}"
        )

    if no_render:
        rerun.replay_returns(recording, chosen, on_episode)
    elif video:
        click.echo(_written(recorded.replay_video(recording, chosen, video, speed or 1.0, on_episode)))
    elif html:
        play_page.training(recording, chosen, html, speed or 1.0, on_episode, agent, imports, device)
    else:
        recorded.replay_window(recording, chosen, speed or 1.0, on_episode)
        if len(replayed) < len(chosen):
            click.echo("the window was closed before the end")
    rerun.check(recording, replayed)


def _written(written: "Written") -> str:
    cut = "" if written.complete else ", cut short: a GIF of this size holds no more, an .mp4 does"
    from rlbench.process.places import shown

    return f"{shown(written.path)}: {written.frames} frames, {duration(written.seconds, tenths=True)}{cut}"


def _print(played: "Played") -> None:
    click.echo(
        f"seed {played.seed}  episode {played.episode}  "
        f"return {number(played.episode_return)}  length {played.episode_length}"
    )
