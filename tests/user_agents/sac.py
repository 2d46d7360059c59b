"""SAC: the value of continuous actions, a policy that is uncertain where it may be, and two critics against optimism.

Haarnoja et al. 2018, arXiv:1812.05905, with the temperature learned. Everything carries the seed axis S.
"""

import copy
import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from rlbench import Agent, AgentConfig, Replay, Spec, Streams, Transition, UsageError, functional, nn
from rlbench.distributions import SquashedNormal
from rlbench.optim import Adam


class SACConfig(AgentConfig):
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = Field(1e-3, gt=0)
    gamma: float = Field(0.99, ge=0, le=1)
    capacity: int = Field(50_000, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_starts: int = Field(100, ge=0)
    tau: float = Field(0.005, gt=0, le=1, description="share of the online critics in a target update")
    target_entropy: float = Field(-1.0, description="wanted, per number of an action")


class Critics(torch.nn.Module):
    """Two values of an action each, (S, N, *O) and (S, N, K) -> two (S, N)."""

    def __init__(self, n_in: int, hidden: tuple[int, ...], init: Any) -> None:
        super().__init__()
        self.one, self.two = (nn.Network(nn.mlp(n_in, hidden, 1, init)) for _ in range(2))

    def forward(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([obs.flatten(2), action.flatten(2)], -1)  # ReLU works in place, but on what a layer made
        return self.one(both).squeeze(-1), self.two(both).squeeze(-1)


class SAC(Agent):
    """S actors and 2 S critics, stacked."""

    Config = SACConfig

    def __init__(self, spec: Spec, config: SACConfig, streams: Streams) -> None:
        if spec.num_actions is not None or spec.obs_dtype != torch.float32:
            raise UsageError("SAC needs continuous actions and observations that are vectors.")
        self.spec, self.config = spec, config
        init, self.draws = streams["init"], streams["explore"]
        self.numbers = math.prod(spec.action_shape)
        self.actor = nn.network(spec, config.hidden, 2 * self.numbers, init)  # mean and log of the deviation
        self.critics = Critics(math.prod(spec.obs_shape) + self.numbers, config.hidden, init)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.temperature = torch.nn.ParameterList([torch.zeros(spec.num_seeds, 1, device=spec.device)])  # log of alpha
        learned = {"actor": self.actor, "critics": self.critics, "temperature": self.temperature}
        self.params = {name: nn.Flat(module) for name, module in learned.items()}
        self.target_params = nn.Flat(self.targets)
        self.adams = {name: Adam(params.data, config.learning_rate) for name, params in self.params.items()}
        self.replay: Replay = Replay(spec, config.capacity, streams["replay"], gamma=config.gamma)
        self.env_steps = 0

    def step(self, name: str, loss: Tensor) -> None:
        """One step of these parameters alone, from the loss of each seed, (S,)."""
        self.adams[name].step(self.params[name].gradient(loss.sum()))  # the sum keeps the seeds apart

    def policy(self, obs: Tensor) -> SquashedNormal:
        out = self.actor(obs).view(*obs.shape[:2], 2, *self.spec.action_shape)
        mean, log_std = out.unbind(2)
        return SquashedNormal(mean, log_std.clamp(-10, 2), self.spec.action_low, self.spec.action_high)

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        policy = self.policy(obs)
        return policy.action(policy.sample(self.draws) if explore else policy.mode)

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)
        self.env_steps += self.spec.num_envs

    def update(self) -> dict[str, Tensor]:
        c = self.config
        if self.env_steps <= c.learning_starts:
            return {}
        log_alpha = self.temperature[0]  # (S, 1)
        batch, alpha = self.replay.sample(c.batch_size), log_alpha.detach().exp()  # each leaf (S, B, ...)
        with torch.no_grad():
            then = self.policy(batch.next_obs)
            raw = then.sample(self.draws)
            value = torch.minimum(*self.targets(batch.next_obs, then.action(raw))) - alpha * then.log_prob(raw)
            target = functional.td_target(batch.reward, batch.discount, value)  # (S, B)
        one, two = self.critics(batch.obs, batch.action)
        critic_loss = ((one - target).square() + (two - target).square()).mean(1)  # (S,)
        self.step("critics", critic_loss)

        policy = self.policy(batch.obs)
        raw = policy.sample(self.draws)  # gradients go through it
        log_prob = policy.log_prob(raw)  # (S, B)
        actor_loss = (alpha * log_prob - torch.minimum(*self.critics(batch.obs, policy.action(raw)))).mean(1)
        self.step("actor", actor_loss)

        surplus = -log_prob.detach().mean(1) - c.target_entropy * self.numbers  # (S,), of entropy over what is wanted
        self.step("temperature", log_alpha.squeeze(1) * surplus)
        self.target_params.data.lerp_(self.params["critics"].data, c.tau)
        self.updates += 1
        means = {"critic_loss": critic_loss, "actor_loss": actor_loss, "q_value": one.mean(1)}
        return {**{name: x.detach() for name, x in means.items()}, "alpha": alpha.squeeze(1)}

    def state_dict(self) -> dict[str, Any]:
        networks = {name: getattr(self, name).state_dict() for name in (*self.params, "targets")}
        adams = {name: adam.state_dict() for name, adam in self.adams.items()}
        return {**networks, "adams": adams, "env_steps": self.env_steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in (*self.params, "targets"):
            getattr(self, name).load_state_dict(state[name])
        for name, adam in self.adams.items():
            adam.load_state_dict(state["adams"][name])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
