"""Evaluation of the policy that an agent explores with, as `evaluation` does it for its greedy one.

The agent is asked as in training, ``act(obs, explore=True)``, with as many copies of the environment as there. It is
one that was made for this, its random streams diverted: neither the run nor another evaluation sees a trace of it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..agent import Agent
from ..border.make import EnvMaker
from .env_batch import EnvBatch
from .evaluation import EvaluationPlan
from .loop import run

STREAM = "stochastic"  # of the episodes, and of what the agent draws


def play_stochastic(
    agent: Agent,
    maker: EnvMaker,
    seeds: Sequence[int],
    num_envs: int,
    episodes: int,
    device: torch.device | str = "cpu",
    *,
    look: Callable[[EvaluationPlan], None] = lambda plan: None,
) -> np.ndarray:
    """Play ``episodes`` episodes per seed.

    Episode k is the (k // E)-th of copy k % E: which are played does not depend on who finishes first, and a seed's are
    the same alone and among others.

    Args:
        agent: acts with ``explore=True``, and learns nothing; its streams are diverted to `STREAM`.
        maker: makes the environments.
        seeds: the S seed numbers.
        num_envs: E, copies per seed, those that the agent was made for.
        episodes: per seed, at least 1.
        device: where the agent lives.
        look: called before every step; what it raises ends the evaluation.

    Returns:
        (S, episodes) float64.
    """
    if episodes < 1:
        raise ValueError("an evaluation needs at least one episode")
    plan = EvaluationPlan(range(len(seeds)), episodes)
    envs = EnvBatch(maker, seeds, num_envs, device=device, stream=STREAM)
    plan.copies = len(envs.envs)
    try:
        obs = envs.reset()
        for s in range(len(seeds)):
            for e in range(episodes, num_envs):
                envs.stop(s, e)
        look(plan)
        for step in run(agent, envs, explore=True, learn=False, obs=obs):
            for done in step.finished:
                k = done.episode * num_envs + done.env
                plan.played[done.seed, k] = done.episode_return, done.episode_length
                if k + num_envs >= episodes:
                    envs.stop(done.seed, done.env)
            look(plan)
    finally:
        envs.close()
    return plan.numbers(len(seeds))[0]
