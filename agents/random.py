"""The random agent: every action equally likely. A floor to compare with, and the smallest example of the interface."""

from typing import Any

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
        if spec.action_low is not None and not (spec.action_low.isfinite() & spec.action_high.isfinite()).all():  # type: ignore[union-attr]
            raise UsageError("random needs bounded actions; this environment's action space reaches to infinity")

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        stream = self.streams["explore" if explore else "evaluate"]
        envs = obs.shape[1]
        if self.spec.num_actions is not None:
            return stream.integers(envs, self.spec.num_actions)  # (S, E)
        low, high = self.spec.action_low, self.spec.action_high
        assert low is not None
        assert high is not None
        draws = stream.uniform(envs * low.numel()).view(-1, envs, *self.spec.action_shape)
        return (low + draws * (high - low)).float()

    def observe(self, transition: Transition) -> None:
        pass

    def update(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
