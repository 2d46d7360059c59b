"""PPO: a policy gradient that does not go far from the policy that collected the steps.

Schulman et al. 2017, arXiv:1707.06347, with generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438)
and the normalisers and initial weights that are usual (Engstrom et al. 2020, arXiv:2005.12729). For actions that are a
choice, several choices at once, or continuous. Everything carries the seed axis S.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from rlbench import Agent, AgentConfig, Rollout, Spec, Streams, Transition, functional, nn
from rlbench.distributions import Categorical, DiagonalNormal, MultiCategorical
from rlbench.optim import Adam
from rlbench.replay import Minibatch
from rlbench.types import NO_EXTRAS, Extra, Extras


class PPOConfig(AgentConfig):
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = Field(3e-4, gt=0)
    steps: int = Field(128, ge=1, description="of each env between updates")
    epochs: int = Field(4, ge=1, description="times that each step is learned from")
    minibatches: int = Field(4, ge=1, description="per epoch")
    gamma: float = Field(0.99, ge=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip: float = Field(0.2, gt=0, description="how far the ratio of chances may go from 1")
    value_share: float = Field(0.5, ge=0, description="weight of the value's loss")
    entropy_share: float = Field(0.0, ge=0, description="weight of the entropy")
    max_grad_norm: float = Field(0.5, ge=0, description="per-seed gradient clipping; 0: none")
    scale_rewards: bool = True


class PPO(Agent):
    """S policies and S values, stacked."""

    Config = PPOConfig
    run_defaults: ClassVar[Mapping[str, Any]] = {"num_envs": 8}
    wants = ("action_mask",)

    def __init__(self, spec: Spec, config: PPOConfig, streams: Streams) -> None:
        self.spec, self.config = spec, config
        init, self.draws, self.order = streams["init"], streams["explore"], streams["replay"]
        numbers = spec.num_actions or sum(spec.action_sizes or ()) or math.prod(spec.action_shape)
        self.chosen = spec.action_dtype == torch.int64  # and not continuous
        usual: Any = {"activation": "tanh", "orthogonal": True}
        self.networks = torch.nn.ModuleDict()
        self.networks["policy"] = nn.network(spec, config.hidden, numbers, init, head_gain=0.01, **usual)
        self.networks["value"] = nn.network(spec, config.hidden, 1, init, **usual)
        log_std = torch.zeros(spec.num_seeds, 1, *spec.action_shape, device=spec.device)
        self.networks["log_std"] = torch.nn.ParameterList([] if self.chosen else [log_std])
        self.params = nn.Flat(self.networks)
        self.adam = Adam(self.params.data, config.learning_rate, epsilon=1e-5)
        self.seen = nn.RunningMoments(spec.obs_shape, init)  # of observations, where they are vectors
        self.scale = nn.RewardScale(spec.num_envs, init, gamma=config.gamma)
        drawn = Extra(spec.action_shape, spec.action_dtype)
        self.replay: Rollout = Rollout(spec, config.steps, {"drawn": drawn, "log_prob": (), "value": (), **spec.extras})

    def policy(self, obs: Tensor, said: Extras) -> Categorical | MultiCategorical | DiagonalNormal:
        """Of observations as the networks see them, (S, N, *O), and what the environment said with them."""
        out = self.networks["policy"](obs)  # (S, N, numbers)
        if self.spec.num_actions is not None:
            return Categorical(out, said.get("action_mask"))
        if self.spec.action_sizes is not None:
            return MultiCategorical(out, self.spec.action_sizes)
        return DiagonalNormal(out.view(*out.shape[:2], *self.spec.action_shape), self.networks["log_std"][0])

    def value(self, obs: Tensor) -> Tensor:
        """(S, N, *O) -> (S, N)."""
        return self.networks["value"](obs).squeeze(-1)

    def normalised(self, obs: Tensor) -> Tensor:
        return self.seen(obs) if self.spec.obs_dtype == torch.float32 else obs

    def bounded(self, drawn: Tensor) -> Tensor:
        return drawn if self.chosen else drawn.clamp(self.spec.action_low, self.spec.action_high)

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor | tuple[Tensor, Extras]:
        obs = self.normalised(obs)
        policy = self.policy(obs, extras)
        if not explore:
            return self.bounded(policy.mode)
        drawn = policy.sample(self.draws)
        return self.bounded(drawn), {"drawn": drawn, "log_prob": policy.log_prob(drawn), "value": self.value(obs)}

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)
        if self.config.scale_rewards:
            self.scale.update(transition.reward, transition.terminated | transition.truncated)

    def update(self) -> dict[str, Tensor]:
        c, rollout = self.config, self.replay
        if not rollout.full:
            return {}
        with torch.no_grad():
            reward = self.scale(rollout.reward) if c.scale_rewards else rollout.reward
            value = rollout.extras["value"]  # (S, T, E)
            next_value = rollout.next_value(lambda obs: self.value(self.normalised(obs)), value)
            ends = rollout.terminated, rollout.truncated
            advantage = functional.gae(reward, value, next_value, *ends, gamma=c.gamma, lambda_=c.gae_lambda)
        metrics: dict[str, Tensor] = {}
        for _ in range(c.epochs):
            for part in rollout.minibatches(c.minibatches, self.order, advantage=advantage, target=advantage + value):
                metrics = self.learn_from(part)
        if self.spec.obs_dtype == torch.float32:  # now, for within a rollout the numbers must mean the same throughout
            self.seen.update(rollout.obs.flatten(1, 2))
        rollout.clear()
        return metrics

    def learn_from(self, part: Minibatch) -> dict[str, Tensor]:
        """One gradient step of every seed."""
        c, kept, obs = self.config, part.extras, self.normalised(part.obs)
        policy = self.policy(obs, kept)
        advantage = kept["advantage"]  # (S, B), as are all of these
        apart = advantage - advantage.mean(1, keepdim=True)
        advantage = apart / (apart.square().mean(1, keepdim=True).sqrt() + 1e-8)
        ratio = (policy.log_prob(kept["drawn"]) - kept["log_prob"]).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(1 - c.clip, 1 + c.clip) * advantage)
        error = (self.value(obs) - kept["target"]).square()
        entropy = policy.entropy()
        loss = (c.value_share * 0.5 * error - gain - c.entropy_share * entropy).mean(1)  # (S,)
        grad = self.params.gradient(loss.sum())  # (S, P): the sum keeps the seeds apart
        grad_norm = functional.clip_norm_(grad, c.max_grad_norm)
        self.adam.step(grad)
        self.updates += 1
        means = {"loss": loss, "value_error": error.mean(1), "entropy": entropy.mean(1)}
        return {**{name: x.detach() for name, x in means.items()}, "grad_norm": grad_norm}

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in ("networks", "adam", "seen", "scale")}
        return {**parts, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("networks", "adam", "seen", "scale"):
            getattr(self, name).load_state_dict(state[name])
        self.updates = int(state["updates"])

    @torch.no_grad()
    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        obs = self.normalised(obs)
        policy, shown = self.policy(obs, extras), {"value": self.value(obs)}
        if isinstance(policy, Categorical):
            shown["probabilities"] = policy.probabilities
        elif isinstance(policy, DiagonalNormal):
            shown |= {"mean": policy.mean.flatten(2), "std": policy.log_std.exp().flatten(2)}
        return shown
