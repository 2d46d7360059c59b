"""Greedy evaluation of all seeds at once, in environments and with episode seeds of its own."""

from collections.abc import Sequence

import numpy as np
import torch

from .agent import Agent
from .make import EnvMaker
from .runner import run
from .vec import EnvBatch

WIDTH = 10  # copies per seed that play at the same time
ROUND = 1_000_000  # episode numbers of one evaluation stay below this


class Evaluator:
    """Plays greedy episodes of every seed. Keeps its environments between calls.

    Episode k of an evaluation is the (k // WIDTH)-th of copy k % WIDTH: which episodes are played, and in which order
    they are reported, does not depend on who finishes first (taking those would favour short ones), and a shorter
    evaluation is the beginning of a longer one.

    Args:
        maker: makes the environments.
        seeds: the S seed numbers.
        device: where the agent lives.
    """

    def __init__(self, maker: EnvMaker, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.maker, self.seeds, self.device = maker, tuple(seeds), device
        self._envs: EnvBatch | None = None

    def __call__(
        self, agent: Agent, episodes: int, *, round: int = 0, skip: Sequence[int] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Play ``episodes`` episodes per seed.

        Args:
            agent: acts with ``explore=False``; it observes nothing.
            episodes: per seed, at least 1.
            round: another number gives other episodes.
            skip: positions of seeds that do not play; their numbers are NaN.

        Returns:
            Returns and lengths, both (S, episodes) float64.
        """
        if episodes < 1:
            raise ValueError("an evaluation needs at least one episode")
        if self._envs is None:
            self._envs = EnvBatch(self.maker, self.seeds, WIDTH, device=self.device, stream="evaluate")
        envs = self._envs
        first = round * ROUND
        obs = envs.reset(first)
        for s in range(len(self.seeds)):
            if s in skip:
                envs.stop(s)
            for e in range(episodes, WIDTH):
                envs.stop(s, e)
        returns = np.full((len(self.seeds), episodes), np.nan)
        lengths = np.full((len(self.seeds), episodes), np.nan)
        for step in run(agent, envs, explore=False, learn=False, obs=obs):
            for done in step.finished:
                k = (done.episode - first) * WIDTH + done.env
                returns[done.seed, k], lengths[done.seed, k] = done.episode_return, done.episode_length
                if k + WIDTH >= episodes:
                    envs.stop(done.seed, done.env)
        return returns, lengths

    def close(self) -> None:
        if self._envs is not None:
            self._envs.close()
            self._envs = None
