"""The random agent: every action equally likely. A floor to compare with, and the smallest example of the interface."""

from typing import Any

import torch
from torch import Tensor

from rlbench.agent import Agent, AgentConfig
from rlbench.errors import UsageError
from rlbench.rng import Streams
from rlbench.types import Spec, Transition


class Random(Agent):
    """Draws each action from its own stream; evaluation draws from another, so that it leaves training untouched."""

    Config = AgentConfig

    def __init__(self, spec: Spec, config: AgentConfig, streams: Streams) -> None:
        self.spec = spec
        self.streams = streams
        low, high = spec.action_low, spec.action_high
        if low is None or high is None:
            return
        if not (low.isfinite() & high.isfinite()).all():
            raise UsageError("random needs bounded actions; this environment's action space reaches to infinity")
        self._low, self._width = low.double(), high.double() - low.double()  # the width may be too much for float32

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        stream = self.streams["explore" if explore else "evaluate"]
        envs = obs.shape[1]
        if self.spec.num_actions is not None:
            return stream.integers(envs, self.spec.num_actions)  # (S, E)
        if self.spec.action_sizes is not None:
            sizes = torch.tensor(self.spec.action_sizes, device=self.spec.device)
            draws = stream.uniform(envs * len(sizes)).view(-1, envs, len(sizes))  # float64
            return torch.minimum((draws * sizes).long(), sizes - 1)  # (S, E, n)
        draws = stream.uniform(envs * self._low.numel()).view(-1, envs, *self.spec.action_shape)  # float64
        if self.spec.whole_actions:  # every whole number, both ends among them, with the same chance
            return (self._low + (draws * (self._width + 1)).floor().clamp(max=self._width)).float()
        return (self._low + draws * self._width).float()

    def observe(self, transition: Transition) -> None:
        pass

    def update(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
