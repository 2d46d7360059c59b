"""The gradient of one update: by the network and by the parameter, from a copy of the agent that goes on learning.

The copy is the caller's to throw away. It plays on in environments of its own, so that agents of all kinds come to
learn: those with a buffer at once, others when they have collected what they learn from.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..agent import Agent
from ..border.make import EnvMaker
from ..nn import Flat
from ..rollout.env_batch import EnvBatch
from ..rollout.loop import run
from .networks import DEPTH, AgentNetwork

STEPS = 4096  # env steps after which an agent that has not learned is given up


class GradientStats(NamedTuple):
    """Norms of the gradient.

    Attributes:
        source: where they are from, for people.
        norm: as the agent says it, before it is clipped; None where it does not.
        networks: network -> norm of its gradient, as the optimiser took it.
        parameters: network and parameter, "q_net.layers.0.weight" -> norm.
    """

    source: str
    norm: float | None
    networks: dict[str, float]
    parameters: dict[str, float]


def learn_once(
    agent: Agent, found: Sequence[AgentNetwork], maker: EnvMaker, seed: int, num_envs: int
) -> GradientStats | None:
    """The gradient of the next update; None where there is none within `STEPS`. The agent is another one afterwards.

    Args:
        agent: of one seed.
        found: its networks.
        maker: makes its environments.
        seed: the seed number.
        num_envs: as many as the agent was made for.
    """
    envs = EnvBatch(maker, [seed], num_envs, stream="inspect")
    steps = 0
    try:
        for step in run(agent, envs):
            steps += num_envs
            if step.metrics:
                return _stats(agent, found, step.metrics, "the next update, of a copy")
            if steps >= STEPS:
                return None
    finally:
        envs.close()
    return None


def _stats(agent: Agent, found: Sequence[AgentNetwork], metrics: dict[str, Tensor], source: str) -> GradientStats:
    told = metrics.get("grad_norm")
    held = {
        id(p): grad for flat in _flats(agent, DEPTH, set()) for p, grad in zip(flat.params, flat.grads, strict=True)
    }
    parameters: dict[str, float] = {}
    networks: dict[str, float] = {}
    for network in found:
        grads = {name: held.get(id(p), p.grad) for name, p in network.module.named_parameters()}
        norms = {name: float(grad.detach().double().norm()) for name, grad in grads.items() if grad is not None}
        if any(norms.values()):  # a target network has room for gradients, perhaps, and none in it
            networks[network.name] = float(torch.tensor(list(norms.values()), dtype=torch.float64).norm())
            parameters |= {f"{network.name}.{name}": norm for name, norm in norms.items()}
    return GradientStats(source, None if told is None else float(told[0]), networks, parameters)


def _flats(value: Any, depth: int, seen: set[int]) -> Iterator[Flat]:
    """The flat tensors of parameters that an agent holds, nested ones too."""
    if id(value) in seen or not depth:
        return
    seen.add(id(value))
    if isinstance(value, Flat):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _flats(inner, depth - 1, seen)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flats(inner, depth - 1, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, Tensor | torch.nn.Module | type):
        for inner in vars(value).values():
            yield from _flats(inner, depth - 1, seen)
