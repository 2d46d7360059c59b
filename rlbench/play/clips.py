"""Films of greedy episodes while a run trains, in ``videos/`` of its folder: what its evaluations look like."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..agent import Agent
from ..border.make import EnvMaker
from ..rollout.camera import Film, filming, frame_rate
from ..rollout.display import sdl_driver
from ..rollout.env_batch import EnvBatch
from ..rollout.evaluation import ROUND
from ..rollout.loop import run
from ..runfolder.layout import whole_run
from ..units import duration
from .video import write_video

FOLDER = "videos"
MOST_SECONDS = 20.0  # of an episode
WIDEST = 320  # pixels, at most


class Clips:
    """Films an episode of one seed when asked. Keeps its environments between calls.

    Args:
        maker: makes the environments.
        seeds: the S seed numbers.
        device: where the agent lives.

    Raises:
        UsageError: the environment makes no pictures.
    """

    def __init__(self, maker: EnvMaker, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.maker, self.seeds, self.device = filming(maker), tuple(seeds), device
        self.fps = frame_rate(maker, 1.0)
        self._envs: EnvBatch | None = None

    def film(self, agent: Agent, seed: int, env_steps: int, folder: Path) -> tuple[Path, str]:
        """Film the first episode of the evaluation at ``env_steps``, or its beginning.

        Args:
            agent: acts with ``explore=False``; it observes nothing.
            seed: its position on the S axis.
            env_steps: per seed, so far.
            folder: the run folder, or that of a worker.

        Returns:
            The file, a .gif, and a title.

        Raises:
            EnvError: the environment drew no picture.
            RunFolderError: the file cannot be written.
        """
        path = whole_run(folder) / FOLDER / f"step-{env_steps}.gif"
        with sdl_driver("dummy"):
            if self._envs is None:
                self._envs = EnvBatch(self.maker, self.seeds, 1, device=self.device, stream="evaluate")
            written = write_video(path, map(_small, self._frames(agent, seed, env_steps)), self.fps, "--out DIR")
        return path, f"seed {self.seeds[seed]}, greedy, {duration(written.seconds, tenths=True)}"

    def _frames(self, agent: Agent, seed: int, env_steps: int) -> Iterator[np.ndarray]:
        assert self._envs is not None
        obs = self._envs.reset(env_steps * ROUND)
        for other in range(len(self.seeds)):
            if other != seed:
                self._envs.stop(other)
        camera = self._envs.envs[seed]
        assert isinstance(camera, Film)
        yield camera.first()
        most = int(MOST_SECONDS * self.fps)
        for i, step in enumerate(run(agent, self._envs, explore=False, learn=False, obs=obs)):
            yield camera.frame
            if step.finished or i > most:
                return

    def close(self) -> None:
        if self._envs is not None:
            self._envs.close()
            self._envs = None


def cut_back(folder: Path, env_steps: int) -> None:
    """Remove the films that were made after ``env_steps``, as a resumed run makes them again."""
    for path in (whole_run(folder) / FOLDER).glob("step-*.gif"):
        if (numbered := re.fullmatch(r"step-(\d+)", path.stem)) and int(numbered[1]) > env_steps:
            path.unlink()


def _small(frame: np.ndarray) -> np.ndarray:
    """The picture, shrunk by a whole number so that it is not wider than 320 pixels."""
    from PIL import Image

    factor = -(-frame.shape[1] // WIDEST)
    return frame if factor == 1 else np.asarray(Image.fromarray(frame).reduce(factor))
