"""The one loop. Training, evaluation and play are consumers of it; it knows no agent, no environment and no file."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from ..agent import Agent
from ..process.denormals import flush, flushed
from ..types import Transition
from .env_batch import EnvBatch, Episode


class Step(NamedTuple):
    """One vector step, as a consumer sees it."""

    transition: Transition
    metrics: dict[str, Tensor]  # what `Agent.update` returned
    finished: list[Episode]


def run(
    agent: Agent,
    envs: EnvBatch,
    *,
    explore: bool = True,
    learn: bool = True,
    obs: Tensor | None = None,
    action: Tensor | None = None,
) -> Iterator[Step]:
    """Let ``agent`` act in ``envs`` until the consumer stops or no copy is running.

    Args:
        agent: its S is that of ``envs``.
        envs: started afresh unless ``obs`` says where they stand.
        explore: handed to `Agent.act`.
        learn: whether the agent observes and updates.
        obs: (S, E, *O), the observations to go on from.
        action: what the agent has already chosen there, where a step failed: `EnvBatch.asked`.
    """
    if obs is None:
        obs = envs.reset()
    before = flushed()
    try:
        while envs.running:
            if action is None:
                flush(True)
                action = agent.act(obs, explore=explore)
                flush(before)
            transition, obs = envs.step(action)
            action = None
            metrics: dict[str, Tensor] = {}
            if learn:
                flush(True)
                agent.observe(transition)
                metrics = agent.update()
                flush(before)
            yield Step(transition, metrics, envs.finished)
    finally:
        flush(before)
