"""Agents to check: a small sound one, stacked, that others of these tests break in one place."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from rlbench import Agent, AgentConfig, Spec, Streams, Transition, UsageError, nn
from rlbench.functional import linear_schedule
from rlbench.optim import Adam
from rlbench.replay import Replay


class SoundConfig(AgentConfig):
    learning_rate: float = Field(1e-2, gt=0)
    batch_size: int = Field(7, ge=1)
    capacity: int = Field(500, ge=1)
    learning_starts: int = Field(16, ge=0)
    epsilon_start: float = Field(1.0, ge=0, le=1)
    epsilon_end: float = Field(0.05, ge=0, le=1)
    epsilon_steps: int = Field(200, ge=0)
    gamma: float = Field(0.9, ge=0, le=1)


class Sound(Agent):
    """Q-learning with a linear network and without a target network. Methods are short: they are to be overridden."""

    Config = SoundConfig

    def __init__(self, spec: Spec, config: SoundConfig, streams: Streams) -> None:
        if spec.num_actions is None:
            raise UsageError("sound needs discrete actions")
        self.spec, self.config, self.num_actions = spec, config, spec.num_actions
        self.stream = streams["explore"]
        self.q_net = nn.network(spec, (), spec.num_actions, streams["init"])
        self.params = nn.Flat(self.q_net)
        self.adam = Adam(self.params.data, config.learning_rate)
        self.replay: Replay = Replay(spec, config.capacity, streams["replay"], gamma=config.gamma)
        self.env_steps = 0

    def epsilon(self) -> float:
        c = self.config
        return linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps)

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        greedy = self.q_net(obs).argmax(-1)  # (S, E)
        return self.explored(greedy) if explore else greedy

    def explored(self, greedy: Tensor) -> Tensor:
        envs = greedy.shape[1]
        coins, draws = self.stream.uniform(envs), self.stream.integers(envs, self.num_actions)
        return torch.where(coins < self.epsilon(), draws, greedy)

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)
        self.env_steps += self.spec.num_envs

    def update(self) -> dict[str, Tensor]:
        if self.env_steps <= self.config.learning_starts:
            return {}
        return self.learn()

    def learn(self) -> dict[str, Tensor]:
        obs, action, reward, discount, next_obs = self.replay.sample(self.config.batch_size)
        with torch.no_grad():
            target = reward + discount * self.q_net(next_obs).amax(-1)
        error = self.q_net(obs).gather(-1, action.unsqueeze(-1)).squeeze(-1) - target  # (S, B)
        loss = error.square().mean(1)  # (S,)
        self.adam.step(self.params.gradient(loss.sum()))
        self.updates += 1
        return {"loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "q_net": self.q_net.state_dict(),
            "adam": self.adam.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q_net.load_state_dict(state["q_net"])
        self.adam.load_state_dict(state["adam"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])

    @torch.no_grad()
    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        return {"q_values": self.q_net(obs)}
