"""Watching episodes of training, long after they happened: each is run again, and several are shown side by side.

What `greedy` is to a trained agent, this is to its training.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..numbers import number
from ..rollout.camera import Film, filming, frame_rate
from ..rollout.display import sdl_driver
from ..trained.recording import Chosen, Recording
from ..trained.rerun import OnReplayed, Replayed, lead_in, states, title
from . import video
from .greedy import HOLD
from .mosaic import MOST, Mosaic, Tile
from .window import open_window


def replay_video(
    recording: Recording,
    chosen: Sequence[Chosen],
    path: str | Path,
    speed: float = 1.0,
    on_episode: OnReplayed = lambda replayed: None,
) -> video.Written:
    """Run episodes again, side by side, into a .mp4 or .gif file. Needs no display.

    Args:
        recording: of the run.
        chosen: from `choose`.
        path: see `video.write_video`.
        speed: 2 is twice as fast as the environment's own frame rate.
        on_episode: called with each episode when it ends.

    Raises:
        UsageError: another ending, a missing extra, an environment that makes no pictures, or too many episodes.
        RunFolderError: the file cannot be written.
        EnvError: the environment raised.
    """
    fps = video.pace(path, frame_rate(recording.maker, 1.0), speed)
    video.stride(path, fps)  # refuses an ending before anything is rendered

    def frames(source: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        last = next(source)
        yield last
        for last in source:
            yield last
        yield from [last] * round(HOLD * fps)

    with sdl_driver("dummy"), closing(pictures(recording, chosen, on_episode)) as source:
        written = video.write_video(path, frames(source), fps)
        for _ in source:  # those after the limit of a GIF
            pass
    return written


def replay_window(
    recording: Recording, chosen: Sequence[Chosen], speed: float = 1.0, on_episode: OnReplayed = lambda replayed: None
) -> None:
    """Run episodes again, side by side, in a window, until all have ended or the user closes it.

    Args:
        recording: of the run.
        chosen: from `choose`.
        speed: 2 is twice as fast as the environment's own frame rate.
        on_episode: called with each episode when it ends.

    Raises:
        UsageError: there is no display, the environment makes no pictures, or too many episodes.
        EnvError: the environment raised.
    """
    left = len(chosen)

    def count(replayed: Replayed) -> None:
        nonlocal left
        left -= 1
        on_episode(replayed)

    with open_window() as window, closing(pictures(recording, chosen, count)) as source:
        fps = frame_rate(recording.maker, speed)
        title = f"{recording.recipe.env}  training of seed {chosen[0].entry.seed}"
        for picture in source:
            if not window.show(picture, title, 1 / fps if left else max(1 / fps, HOLD)):
                break


def pictures(
    recording: Recording, chosen: Sequence[Chosen], on_episode: OnReplayed = lambda replayed: None
) -> Generator[np.ndarray, None, None]:
    """All episodes in one picture, step by step, (H, W, 3) uint8 each; those that have ended hold their last state."""
    if len(chosen) > MOST:
        raise UsageError(f"at most {MOST} episodes can be shown at once, not {len(chosen)}: name fewer in --episode")
    maker, envs = filming(recording.maker), list[Film]()
    try:
        for _ in chosen:
            envs.append(maker())
        sources = [_tiles(recording, env, one, on_episode) for env, one in zip(envs, chosen, strict=True)]
        tiles = [next(source) for source in sources]
        mosaic = Mosaic([tile.frame for tile in tiles])
        yield mosaic.draw(tiles)
        while not all(tile.over for tile in tiles):
            tiles = [tile if tile.over else next(source) for tile, source in zip(tiles, sources, strict=True)]
            yield mosaic.draw(tiles)
    finally:
        for env in envs:
            env.close()


def _tiles(recording: Recording, env: Film, chosen: Chosen, on_episode: OnReplayed) -> Iterator[Tile]:
    entry, words = chosen
    name = f"episode {title(recording, entry)}{f': {words}' if words else ''}"
    lead_in(env.env, recording.before(entry))
    for moment in states(env, entry):
        of = "" if moment.over else f" of {number(entry.episode_return)}"
        line = f"return {number(moment.episode_return)}{of}   ended at env step {entry.env_steps:,}"
        if moment.over:
            on_episode(Replayed(entry, moment))
        yield Tile(env.frame if moment.step else env.first(), name, line, moment.over)
