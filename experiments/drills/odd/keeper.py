"""An agent of the drill: acts at random in every space that has actions, and keeps all that it is told."""

from typing import Any

import torch
from torch import Tensor

from rlbench import Agent, AgentConfig, Replay, Spec, Streams, Transition


class Keeper(Agent):
    """What it observed lies in its replay buffer, for the judge to compare."""

    def __init__(self, spec: Spec, config: AgentConfig, streams: Streams) -> None:
        self.spec, self.streams = spec, streams
        self.replay: Replay = Replay(spec, 4096, streams["replay"], gamma=0.5)

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        stream, envs = self.streams["explore" if explore else "evaluate"], obs.shape[1]
        if self.spec.num_actions is not None:
            return stream.integers(envs, self.spec.num_actions)
        if self.spec.action_sizes is not None:
            sizes = torch.tensor(self.spec.action_sizes)
            return (stream.uniform(envs * len(sizes)).view(-1, envs, len(sizes)) * sizes).long()
        bounds: Any = (self.spec.action_low, self.spec.action_high)
        low, high = (bound.double().clamp(-9, 9) for bound in bounds)
        draws = stream.uniform(envs * low.numel()).view(-1, envs, *self.spec.action_shape)
        return (low + draws * (high - low)).float()

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)

    def update(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"nothing": torch.zeros(self.spec.num_seeds)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
