"""`rlbench play`: watch a trained agent, or episodes of its training, in a window or a video, or print returns."""

from typing import TYPE_CHECKING

import click

from . import options

if TYPE_CHECKING:
    from rlbench.playing import Played
    from rlbench.timetravel import Replayed
    from rlbench.video import Written


@click.command()
@click.argument("path")
@click.option("--seed", metavar="K", type=int, help="This seed.  [default: the best]")
@click.option("--episodes", metavar="N", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--episode",
    metavar="WHICH",
    help="Watch episodes of training instead, side by side: a comma list of first, best, worst, last, numbers as in "
    "episodes.csv, and N@E for environment copy E. The default seed is then the one with the best episode.",
)
@click.option("--video", metavar="FILE", help="Write a .mp4 or .gif instead of opening a window.")
@click.option("--no-render", is_flag=True, help="Print the returns alone.")
@click.option(
    "--speed",
    metavar="X",
    type=click.FloatRange(min=0, min_open=True, max=1000),
    default=1.0,
    show_default=True,
    help="2 is twice as fast as the environment's own frame rate.",
)
@options.agent_code
@options.imports
@options.device
def play(
    path: str,
    seed: int | None,
    episodes: int,
    episode: str | None,
    video: str | None,
    no_render: bool,
    speed: float,
    agent: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    """Watch greedy episodes of a checkpoint or a run folder's best one. They are among those that `eval` counts.

    With --episode, watch episodes of training instead: every one was recorded, and is run again.

    \b
    rlbench play runs/CartPole-v1/dqn-20260101-120000
    rlbench play runs/CartPole-v1/dqn-20260101-120000 --video out.mp4
    rlbench play runs/CartPole-v1/dqn-20260101-120000 --episode first,best

    Close the window, or press q or Escape in it, to stop.
    """
    from rlbench import playing, trained
    from rlbench.errors import UsageError
    from rlbench.registry import agent_code

    if video and no_render:
        raise UsageError("--video writes pictures and --no-render makes none: give one of the two")
    if episode is not None:
        if click.get_current_context().get_parameter_source("episodes") == click.core.ParameterSource.COMMANDLINE:
            raise UsageError("--episodes counts those of a trained agent, --episode names some of training: give one")
        _training(path, episode, seed, video, no_render, speed, agent, imports)
        return
    opened = trained.load(
        path, seed="best" if seed is None else seed, agent=agent, imports=imports, device=device or "auto"
    )
    after = ""
    with agent_code(opened.recipe.agent):
        if no_render:
            played = playing.play_returns(opened, episodes, _print)
        elif video:
            played, written = playing.play_video(opened, video, episodes, speed, _print)
            after = f"; {_told(written)}"
        else:
            played = playing.play_window(opened, episodes, speed, _print)
            if len(played) < episodes:
                after = f"; the window was closed in episode {len(played) + 1}"
    if played:
        mean = sum(p.episode_return for p in played) / len(played)
        after = f"mean return {mean:.1f} over {len(played)} episode{'s'[: len(played) > 1]}{after}"
    click.echo(after.removeprefix("; "))


def _training(
    path: str,
    which: str,
    seed: int | None,
    video: str | None,
    no_render: bool,
    speed: float,
    agent: str | None,
    imports: tuple[str, ...],
) -> None:
    from rlbench import timetravel
    from rlbench.recording import choose, open_recording

    recording = open_recording(path, agent=agent, imports=imports)
    chosen = choose(recording, which, seed)
    replayed: list[Replayed] = []

    def told(one: "Replayed") -> None:
        replayed.append(one)
        click.echo(
            f"episode {timetravel.title(recording, one.entry)}  return {one.end.episode_return:.1f}  "
            f"length {one.end.step}  env step {one.entry.env_steps:,}"
        )

    if no_render:
        timetravel.replay_returns(recording, chosen, told)
    elif video:
        click.echo(_told(timetravel.replay_video(recording, chosen, video, speed, told)))
    else:
        timetravel.replay_window(recording, chosen, speed, told)
        if len(replayed) < len(chosen):
            click.echo("the window was closed before the end")
    timetravel.check(recording, replayed)


def _told(written: "Written") -> str:
    cut = "" if written.complete else ", cut short: a GIF of this size holds no more, an .mp4 does"
    return f"{written.path}: {written.frames} frames, {written.seconds:.1f} s{cut}"


def _print(played: "Played") -> None:
    click.echo(
        f"seed {played.seed}  episode {played.episode}  "
        f"return {played.episode_return:.1f}  length {played.episode_length}"
    )
