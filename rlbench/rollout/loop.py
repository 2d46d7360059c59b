"""The one loop. Training, evaluation and play are consumers of it; it knows no agent, no environment and no file."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from ..acting import choose
from ..agent import Agent
from ..process.denormals import flush, flushed
from ..types import Transition
from .device_envs import DeviceEnvs
from .env_batch import Asked, EnvBatch, Episode


class Step(NamedTuple):
    """One vector step, as a consumer sees it."""

    transition: Transition
    metrics: dict[str, Tensor]  # what `Agent.update` returned
    finished: list[Episode]


def run(
    agent: Agent,
    envs: EnvBatch | DeviceEnvs,
    *,
    explore: bool = True,
    learn: bool = True,
    obs: Tensor | None = None,
    asked: Asked | None = None,
) -> Iterator[Step]:
    """Let ``agent`` act in ``envs`` until the consumer stops or no copy is running.

    Args:
        agent: its S is that of ``envs``.
        envs: started afresh unless ``obs`` says where they stand.
        explore: handed to `Agent.act`.
        learn: whether the agent observes and updates.
        obs: (S, E, *O), the observations to go on from.
        asked: what the agent has already chosen there, where a step failed: `EnvBatch.asked`.
    """
    if obs is None:
        obs = envs.reset()
    before = flushed()
    begins = getattr(type(agent), "begin", None) is not Agent.begin
    try:
        while envs.running:
            if asked is None:
                flush(True)
                if begins and (started := envs.started) is not None:
                    agent.begin(started, explore=explore)
                asked = choose(agent, obs, envs.extras, explore=explore)
                flush(before)
            transition, obs = envs.step(*asked)
            asked = None
            metrics: dict[str, Tensor] = {}
            if learn:
                flush(True)
                agent.observe(transition)
                metrics = agent.update()
                flush(before)
            yield Step(transition, metrics, envs.finished)
    finally:
        flush(before)
