"""`rlbench play`: watch a trained agent, in a window or a video, or print its returns."""

from typing import TYPE_CHECKING

import click

from . import options

if TYPE_CHECKING:
    from rlbench.playing import Played


@click.command()
@click.argument("path")
@click.option("--seed", metavar="K", type=int, help="This seed.  [default: the best]")
@click.option("--episodes", metavar="N", type=click.IntRange(min=1), default=3, show_default=True)
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
    video: str | None,
    no_render: bool,
    speed: float,
    agent: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    """Watch greedy episodes of a checkpoint or a run folder's best one. They are among those that `eval` counts.

    \b
    rlbench play runs/CartPole-v1/dqn-20260101-120000
    rlbench play runs/CartPole-v1/dqn-20260101-120000 --video out.mp4

    Close the window, or press q or Escape in it, to stop.
    """
    from rlbench import playing, trained
    from rlbench.errors import UsageError
    from rlbench.registry import agent_code

    if video and no_render:
        raise UsageError("--video writes pictures and --no-render makes none: give one of the two")
    opened = trained.load(
        path, seed="best" if seed is None else seed, agent=agent, imports=imports, device=device or "auto"
    )
    after = ""
    with agent_code(opened.recipe.agent):
        if no_render:
            played = playing.play_returns(opened, episodes, _print)
        elif video:
            played, written = playing.play_video(opened, video, episodes, speed, _print)
            after = f"; {written.path}: {written.frames} frames, {written.seconds:.1f} s"
            if not written.complete:
                after += ", cut short: a GIF of this size holds no more, an .mp4 does"
        else:
            played = playing.play_window(opened, episodes, speed, _print)
            if len(played) < episodes:
                after = f"; the window was closed in episode {len(played) + 1}"
    if played:
        mean = sum(p.episode_return for p in played) / len(played)
        after = f"mean return {mean:.1f} over {len(played)} episode{'s'[: len(played) > 1]}{after}"
    click.echo(after.removeprefix("; "))


def _print(played: "Played") -> None:
    click.echo(
        f"seed {played.seed}  episode {played.episode}  "
        f"return {played.episode_return:.1f}  length {played.episode_length}"
    )
