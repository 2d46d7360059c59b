"""Greedy evaluation of all seeds at once, in environments and with episode seeds of its own."""

from collections.abc import Sequence

import numpy as np
import torch

from .agent import Agent
from .make import EnvMaker
from .runner import run
from .vec import EnvBatch

WIDTH = 10  # copies per seed that play at the same time
_ROUND = 1_000_000  # episode numbers of one evaluation stay below this


class Evaluator:
    """Plays greedy episodes of every seed. Keeps its environments between calls.

    Copy e plays a number of episodes that is fixed beforehand; taking whichever episodes finish first would favour
    short ones.

    Args:
        maker: makes the environments.
        seeds: the S seed numbers.
        device: where the agent lives.
    """

    def __init__(self, maker: EnvMaker, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.maker, self.seeds, self.device = maker, tuple(seeds), device
        self._envs: dict[int, EnvBatch] = {}

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
            Returns and lengths, both (S, episodes) float64, in an order that does not depend on who finished first.
        """
        if episodes < 1:
            raise ValueError("an evaluation needs at least one episode")
        width = min(WIDTH, episodes)
        if width not in self._envs:
            self._envs[width] = EnvBatch(self.maker, self.seeds, width, device=self.device, stream="evaluate")
        envs = self._envs[width]
        quota = [episodes // width + (e < episodes % width) for e in range(width)]
        start = [sum(quota[:e]) for e in range(width)]
        first = round * _ROUND
        obs = envs.reset(first)
        for s in skip:
            envs.stop(s)
        returns = np.full((len(self.seeds), episodes), np.nan)
        lengths = np.full((len(self.seeds), episodes), np.nan)
        for step in run(agent, envs, explore=False, learn=False, obs=obs):
            for seed, env, episode, episode_return, episode_length, _ in step.finished:
                played = episode - first
                returns[seed, start[env] + played] = episode_return
                lengths[seed, start[env] + played] = episode_length
                if played + 1 == quota[env]:
                    envs.stop(seed, env)
        return returns, lengths

    def close(self) -> None:
        for envs in self._envs.values():
            envs.close()
        self._envs.clear()
