"""REINFORCE: a policy gradient from whole episodes.

Williams 1992, doi:10.1007/BF00992696, with returns from each step on instead of whole ones (Sutton & Barto 2018,
section 13.3) and the running mean of earlier returns as baseline. Everything carries the seed axis S: S learners side
by side, each of which learns when one of its own episodes ends.
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from rlbench import Agent, AgentConfig, RlbenchError, Spec, Streams, Transition, nn
from rlbench.functional import clip_norm_


class ReinforceConfig(AgentConfig):
    hidden: tuple[int, ...] = (32,)
    learning_rate: float = Field(0.1, gt=0)
    max_grad_norm: float = Field(1.0, ge=0, description="per-seed gradient clipping; 0: none")
    gamma: float = Field(0.99, ge=0, le=1)
    baseline: float = Field(0.95, ge=0, le=1, description="share of the old mean in the baseline; 1: no baseline")
    horizon: int = Field(500, ge=1, description="steps remembered; a longer episode is learned from in pieces")


class Reinforce(Agent):
    """S policies, stacked."""

    Config = ReinforceConfig

    def __init__(self, spec: Spec, config: ReinforceConfig, streams: Streams) -> None:
        if spec.num_actions is None:
            raise RlbenchError("Reinforce needs discrete actions.")
        self.config = config
        self.policy = nn.network(spec, config.hidden, spec.num_actions, streams["init"])  # (S, N, *O) -> (S, N, A)
        self.params = nn.Flat(self.policy)
        self.stream = streams["explore"]
        s, e, t = spec.num_seeds, spec.num_envs, config.horizon
        self.obs = torch.zeros(s, e, t, *spec.obs_shape, dtype=spec.obs_dtype, device=spec.device)
        self.action = torch.zeros(s, e, t, dtype=torch.int64, device=spec.device)
        self.reward = torch.zeros(s, e, t, device=spec.device)
        self.length = torch.zeros(s, e, dtype=torch.int64, device=spec.device)  # of the episodes under way
        self.mean_return = torch.zeros(s, 1, 1, device=spec.device)
        self.ended = torch.zeros(s, e, dtype=torch.bool, device=spec.device)
        self.here = torch.arange(s, device=spec.device).unsqueeze(1), torch.arange(e, device=spec.device)

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        logits = self.policy(obs)  # (S, E, A)
        if not explore:
            return logits.argmax(-1)
        below = logits.softmax(-1).cumsum(-1)[..., :-1]  # (S, E, A - 1): invert the distribution function
        return (self.stream.uniform(obs.shape[1]).unsqueeze(-1) >= below).sum(-1)

    def observe(self, transition: Transition) -> None:
        at = (*self.here, self.length)
        self.obs[at], self.action[at], self.reward[at] = transition.obs, transition.action, transition.reward
        self.length += 1
        self.ended = transition.terminated | transition.truncated | (self.length == self.config.horizon)

    def update(self) -> dict[str, Tensor]:
        if not self.ended.any():
            return {}
        c, steps = self.config, torch.arange(self.config.horizon, device=self.length.device)
        used = (steps < self.length.unsqueeze(-1)) & self.ended.unsqueeze(-1)  # (S, E, T)
        returns = torch.zeros_like(self.reward)  # G_t = r_t + gamma * G_t+1
        for t in reversed(range(int(self.length.max()))):
            later = returns[..., t + 1] if t + 1 < c.horizon else 0.0
            returns[..., t] = used[..., t] * (self.reward[..., t] + c.gamma * later)
        count = used.sum((1, 2), keepdim=True).clamp(min=1)  # (S, 1, 1)
        chosen = self.policy(self.obs.flatten(1, 2)).log_softmax(-1).gather(-1, self.action.flatten(1, 2).unsqueeze(-1))
        weight = used * (returns - self.mean_return) / count  # (S, E, T), 0 where a seed has nothing to learn from
        loss = -(weight.flatten(1) * chosen.squeeze(-1)).sum(1)  # (S,)
        grad = self.params.gradient(loss.sum())  # (S, P): the sum keeps the seeds apart
        grad_norm = clip_norm_(grad, c.max_grad_norm)
        self.params.data.sub_(grad, alpha=c.learning_rate)
        mean = returns.sum((1, 2), keepdim=True) / count
        learned = self.ended.any(1)  # (S,)
        self.mean_return += learned.view(-1, 1, 1) * (1 - c.baseline) * (mean - self.mean_return)
        self.length[self.ended] = 0
        self.updates += 1
        return {"loss": loss.detach(), "grad_norm": grad_norm}

    def state_dict(self) -> dict[str, Any]:
        names = ("obs", "action", "reward", "length", "mean_return")
        return {"policy": self.policy.state_dict(), "updates": self.updates, **{n: getattr(self, n) for n in names}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self.updates = int(state["updates"])
        for name in ("obs", "action", "reward", "length", "mean_return"):
            getattr(self, name).copy_(state[name])
