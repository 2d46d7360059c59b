"""MyPolicy: a policy gradient with clipped steps, for all seeds at once.

PPO (Schulman et al. 2017, arXiv:1707.06347) in its shortest form: a policy, a value, and advantages by GAE (Schulman et
al. 2016, arXiv:1506.02438). S learners train side by side, each with its own networks, rollout and random numbers:
tensors have the axis S in front.

    rlbench train --env CartPole-v1 --agent my_policy.py:MyPolicy
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from rlbench import functional, nn
from rlbench.agent import Agent, AgentConfig
from rlbench.distributions import Categorical
from rlbench.errors import UsageError
from rlbench.optim import Adam
from rlbench.replay import Minibatch, Rollout
from rlbench.rng import Streams
from rlbench.types import Extras, Spec, Transition


class MyPolicyConfig(AgentConfig):
    """Hyper-parameters: `--set MyPolicy.gamma=0.98` changes one."""

    hidden: tuple[int, ...] = Field((64, 64), description="widths of the hidden layers, of policy and value each")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size")
    gamma: float = Field(0.98, ge=0, le=1, description="discount per step")
    gae_lambda: float = Field(0.9, ge=0, le=1, description="advantages: 0 looks one step ahead, 1 to the last one")
    rollout_steps: int = Field(32, ge=1, description="steps of each env between updates")
    epochs: int = Field(8, ge=1, description="how often each step is learned from")
    minibatches: int = Field(2, ge=1, description="parts that a rollout is learned from in")
    clip: float = Field(0.2, gt=0, description="how far the ratio of an action's chances may go from 1")
    normalise_advantage: bool = Field(True, description="by mean and deviation of each minibatch")
    entropy_weight: float = Field(0.003, ge=0, description="weight of the policy's entropy")


class MyPolicy(Agent):
    """S policies and S values. E environments of each run side by side: tensors begin with (S, E)."""

    Config = MyPolicyConfig
    run_defaults: ClassVar[Mapping[str, Any]] = {"num_envs": 8}  # what it runs by where nobody says otherwise

    def __init__(self, spec: Spec, config: MyPolicyConfig, streams: Streams) -> None:
        if spec.num_actions is None:  # one line for whoever asks for what cannot be
            raise UsageError("it chooses one of several actions, and those of this environment are of another kind.")
        self.config, self.draws, self.order, init = config, streams["explore"], streams["replay"], streams["init"]
        # Stacked networks, (S, N, *O) -> (S, N, A) and (S, N, 1). The policy begins with actions nearly as likely.
        policy = nn.network(spec, config.hidden, spec.num_actions, init, activation="tanh", head_gain=0.01)
        value = nn.network(spec, config.hidden, 1, init, activation="tanh")
        self.networks = torch.nn.ModuleDict({"policy": policy, "value": value})
        self.params = nn.Flat(self.networks)  # all of their parameters as one tensor, (S, P)
        self.adam = Adam(self.params.data, config.learning_rate, epsilon=1e-5)
        # Called `replay`, it is saved beside the checkpoints: a run resumes in the middle of a rollout.
        self.replay: Rollout = Rollout(spec, config.rollout_steps, {"value": (), "log_prob": ()})

    def policy(self, obs: Tensor) -> Categorical:  # of (S, N, A); draws from the agent's streams, a number per env
        return Categorical(self.networks["policy"](obs))

    def value(self, obs: Tensor) -> Tensor:  # (S, N)
        return self.networks["value"](obs).squeeze(-1)

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor | tuple[Tensor, Extras]:  # (S, E, *O) -> (S, E)
        policy = self.policy(obs)
        if not explore:  # the best that is known; nothing may be drawn here
            return policy.mode
        action = policy.sample(self.draws)
        # What is said beside an action comes back in transition.extras.
        return action, {"value": self.value(obs), "log_prob": policy.log_prob(action)}

    def observe(self, transition: Transition) -> None:  # what came of the last act; each leaf is (S, E, ...)
        self.replay.add(transition)

    def update(self) -> dict[str, Tensor]:  # after every step; {} where nothing is due
        rollout, c = self.replay, self.config
        if not rollout.full:
            return {}
        value, ends = rollout.extras["value"], (rollout.terminated, rollout.truncated)  # (S, T, E), as all of these
        with torch.no_grad():  # what follows a time limit counts, what would follow a termination does not
            next_value = rollout.next_value(self.value, value)
            advantage = functional.gae(rollout.reward, value, next_value, *ends, gamma=c.gamma, lambda_=c.gae_lambda)
        for _ in range(c.epochs):  # dealt out anew each time, in each seed's own order
            for part in rollout.minibatches(c.minibatches, self.order, advantage=advantage, target=advantage + value):
                metrics = self.learn_from(part)
        rollout.clear()
        return metrics

    def learn_from(self, part: Minibatch) -> dict[str, Tensor]:  # each leaf is (S, B, ...)
        policy, value = self.policy(part.obs), self.value(part.obs)
        advantage = part.extras["advantage"]  # (S, B)
        if self.config.normalise_advantage:
            advantage = functional.standardised(advantage)  # per seed
        ratio = (policy.log_prob(part.action) - part.extras["log_prob"]).exp()
        clip = self.config.clip
        gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
        entropy = policy.entropy()
        error = (value - part.extras["target"]).square()
        loss = (0.5 * error - gain - self.config.entropy_weight * entropy).mean(1)  # (S,)
        grad = self.params.gradient(loss.sum())  # (S, P); of the sum over seeds, so that each row is that seed's own
        grad_norm = functional.clip_norm_(grad, 0.5)  # per seed
        self.adam.step(grad)
        self.updates += 1  # an agent counts them itself
        return {"loss": loss.detach(), "entropy": entropy.detach().mean(1), "grad_norm": grad_norm}  # (S,) each

    # All that shapes what comes next, but for the rollout: a run that was stopped goes on as if it had not been.

    def state_dict(self) -> dict[str, Any]:
        return {"networks": self.networks.state_dict(), "adam": self.adam.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["networks"])
        self.adam.load_state_dict(state["adam"])
        self.updates = state["updates"]

    @torch.no_grad()
    def explain(self, obs: Tensor) -> dict[str, Tensor]:  # what `rlbench play` and `rlbench inspect` show
        return {"probabilities": self.policy(obs).probabilities, "value": self.value(obs)}
