"""Watching a trained agent: greedy episodes in a window, in a video file, or as returns alone.

A consumer of `loop.run`, as evaluation is, and on episodes that evaluation counts: what is shown was measured.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UsageError
from ..numbers import number
from ..rollout.camera import Film, filming, frame_rate
from ..rollout.display import sdl_driver
from ..rollout.env_batch import EnvBatch
from ..rollout.evaluation import EVAL_COPIES, FINAL_ROUND, ROUND
from ..rollout.loop import run
from ..trained.load import Trained
from ..types import Transition
from . import video
from .window import open_window

HOLD = 0.5  # seconds that the last picture of an episode stays


class Played(NamedTuple):
    """A finished episode; ``episode`` counts from 1."""

    seed: int
    episode: int
    episode_return: float
    episode_length: int


OnPlayed = Callable[[Played], Any]


class Scene(NamedTuple):
    """One state of an episode as a viewer sees it. ``frame`` is (H, W, 3) uint8, None where nothing is rendered."""

    frame: np.ndarray | None
    episode: int
    episode_return: float  # so far
    played: Played | None  # in the episode's last state
    transition: Transition | None  # that led to it, of all copies, (1, EVAL_COPIES, ...); None after the reset


def play_returns(trained: Trained, episodes: int, on_episode: OnPlayed = lambda played: None) -> list[Played]:
    """Play without rendering.

    Args:
        trained: of one seed.
        episodes: how many.
        on_episode: called with each episode when it ends.
    """
    return [m.played for m in _announcing(scenes(trained, episodes, film=False), on_episode) if m.played]


def play_video(
    trained: Trained, path: str | Path, episodes: int, speed: float = 1.0, on_episode: OnPlayed = lambda played: None
) -> tuple[list[Played], video.Written]:
    """Play into a .mp4 or .gif file. Needs no display.

    Args:
        trained: of one seed.
        path: see `video.write_video`.
        episodes: how many.
        speed: 2 is twice as fast as the environment's own frame rate.
        on_episode: called with each episode when it ends.

    Raises:
        UsageError: another ending, a missing extra, or an environment that makes no pictures.
        RunFolderError: the file cannot be written.
    """
    fps = video.pace(path, frame_rate(trained.maker, 1.0), speed)
    every = video.stride(path, fps)
    played: list[Played] = []

    def frames(source: Iterator[Scene]) -> Iterator[np.ndarray]:
        count = 0
        for scene in source:
            assert scene.frame is not None
            yield scene.frame
            count += 1
            if scene.played:
                played.append(scene.played)
                hold = round(HOLD * fps)
                hold += -(count + hold) % every  # so that no episode's first picture is one that is left out
                count += hold
                yield from [scene.frame] * hold

    with sdl_driver("dummy"), closing(scenes(trained, episodes, film=True)) as source:
        shown = _announcing(source, on_episode)
        written = video.write_video(path, frames(shown), fps)
        played += [m.played for m in shown if m.played]  # those after the limit of a GIF
    return played, written


def play_window(
    trained: Trained, episodes: int, speed: float = 1.0, on_episode: OnPlayed = lambda played: None
) -> list[Played]:
    """Play in a window, until the last episode has ended or the user closes it (q, Escape or the cross).

    Args:
        trained: of one seed.
        episodes: how many.
        speed: 2 is twice as fast as the environment's own frame rate.
        on_episode: called with each episode when it ends.

    Returns:
        The episodes that ended.

    Raises:
        UsageError: there is no display, or the environment makes no pictures.
    """
    played: list[Played] = []
    with open_window() as window, closing(scenes(trained, episodes, film=True)) as source:
        fps = frame_rate(trained.maker, speed)
        for scene in _announcing(source, on_episode):
            assert scene.frame is not None
            title = (
                f"{trained.recipe.env}  seed {trained.seeds[0]}  episode {scene.episode} of {episodes}  "
                f"return {number(scene.episode_return)}"
            )
            if scene.played:
                played.append(scene.played)
            if not window.show(scene.frame, title, max(1 / fps, HOLD) if scene.played else 1 / fps):
                break
    return played


def scenes(trained: Trained, episodes: int, *, film: bool, actor: Any = None) -> Generator[Scene, None, None]:
    """Greedy episodes of one seed, state by state, from the one after the reset to the last.

    Episode k is one of those that `evaluate` counts: of its copy k % 10, that copy's episode k // 10. The copies that
    do not play stand still; with them the agent acts on as many observations at a time as in an evaluation, and so
    with the same last bits.

    Args:
        trained: of one seed.
        episodes: how many.
        film: whether to draw every state.
        actor: acts in the place of ``trained.agent``, if given: asked for an action of state t once that was yielded.

    Raises:
        UsageError: more than one seed, or ``film`` and an environment that makes no pictures.
    """
    if len(trained.seeds) != 1:
        raise UsageError("play shows one seed at a time: load(path, seed='best'), or one of its numbers")
    maker = filming(trained.maker) if film else trained.maker
    envs = EnvBatch(maker, trained.seeds, EVAL_COPIES, device=trained.parts.device, stream="evaluate")
    try:
        for k in range(episodes):
            copy = k % EVAL_COPIES
            obs = envs.reset(FINAL_ROUND * ROUND + k // EVAL_COPIES)
            for other in range(EVAL_COPIES):
                if other != copy:
                    envs.stop(0, other)
            camera = envs.envs[copy]
            yield Scene(camera.first() if isinstance(camera, Film) else None, k + 1, 0.0, None, None)
            so_far = 0.0
            for step in run(actor or trained.agent, envs, explore=False, learn=False, obs=obs):
                so_far += float(step.transition.reward[0, copy])
                played = None
                if step.finished:
                    done = step.finished[0]
                    so_far = done.episode_return
                    played = Played(trained.seeds[0], k + 1, so_far, done.episode_length)
                    envs.stop(0, copy)
                yield Scene(camera.frame if isinstance(camera, Film) else None, k + 1, so_far, played, step.transition)
    finally:
        envs.close()


def _announcing(source: Iterator[Scene], on_episode: OnPlayed) -> Iterator[Scene]:
    for scene in source:
        if scene.played:
            on_episode(scene.played)
        yield scene
