"""PQN: Q-learning with a neural network and without a replay buffer or a target network.

Gallici et al. 2024, arXiv:2407.04811: LayerNorm keeps the values from diverging (section 3), and many environments at
once take the buffer's place. Every `rollout_steps` of each env, the Q(lambda) returns of the steps just taken are
learned from, in minibatches, and the steps forgotten (algorithm 1). The optimiser is that of the authors' code, RAdam
(Liu et al. 2020, arXiv:1908.03265). Where an environment says what actions are legal, no other is taken or counted on.
Everything carries the seed axis S: S learners, stacked, each with its own network, rollout and random numbers.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from rlbench import functional, nn
from rlbench.agent import Agent, AgentConfig
from rlbench.cuda.feed import away, sent
from rlbench.cuda.graphs import Graph
from rlbench.errors import UsageError
from rlbench.optim import RAdam
from rlbench.replay import Minibatch, Rollout
from rlbench.rng import Stream, Streams
from rlbench.types import NO_EXTRAS, Extras, Spec, Transition


class PQNConfig(AgentConfig):
    """Hyper-parameters of `PQN`. Steps are env steps per seed, but for those of a rollout, which each env takes."""

    hidden: tuple[int, ...] = Field((128, 128), description="widths of the hidden layers")
    layer_norm: bool = Field(True, description="LayerNorm before each ReLU, on which the method rests")
    learning_rate: float = Field(5e-4, gt=0, description="RAdam's step size")
    learning_rate_end: float | None = Field(
        None, ge=0, description="if set, the step size falls to this in a straight line over the whole run"
    )
    max_grad_norm: float = Field(
        10.0, ge=0, description="per-seed gradient clipping; 0: none", json_schema_extra={"off": 0.0}
    )
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")
    q_lambda: float = Field(
        0.65,
        ge=0,
        le=1,
        description="returns: 0 looks one step ahead, 1 to the rollout's end",
        json_schema_extra={"off": 0.0},
    )
    rollout_steps: int = Field(32, ge=1, description="steps of each env between updates")
    epochs: int = Field(2, ge=1, description="how often each step is learned from")
    batch_size: int = Field(64, ge=1, description="steps of a minibatch, at most: a rollout is dealt out evenly")
    epsilon_start: float = Field(1.0, ge=0, le=1, description="share of random actions at first")
    epsilon_end: float = Field(0.05, ge=0, le=1, description="share of random actions at last")
    epsilon_steps: int = Field(10_000, ge=0, description="steps over which epsilon falls in a straight line")
    mask_actions: bool = Field(True, description="never take an action that the environment's action_mask forbids")

    @model_validator(mode="after")
    def _check(self) -> "PQNConfig":
        if any(width < 1 for width in self.hidden):
            raise ValueError("hidden: every layer needs at least one unit")
        return self


class PQN(Agent):
    """S Q-learners on their newest steps. See `rlbench.agent.Agent` for the arguments and methods."""

    Config = PQNConfig
    run_defaults: ClassVar[Mapping[str, Any]] = {"num_envs": 8}
    wants = ("action_mask",)

    def __init__(self, spec: Spec, config: PQNConfig, streams: Streams) -> None:
        if spec.num_actions is None:
            what = "several at once" if spec.action_sizes else "continuous ones"
            raise UsageError(
                f"pqn chooses one of several actions; this environment takes {what}. Choose another --agent "
                "(`rlbench list agents`), such as ppo."
            )
        steps = config.rollout_steps * spec.num_envs
        if config.batch_size > steps:
            raise UsageError(
                f"pqn.batch_size {config.batch_size} is more than a rollout of {steps} steps, pqn.rollout_steps "
                f"{config.rollout_steps} x num_envs {spec.num_envs}: lower it to {steps} or less, or raise "
                f"pqn.rollout_steps to {-(-config.batch_size // spec.num_envs)}"
            )
        self.spec, self.config, self.num_actions = spec, config, spec.num_actions
        self.explore, self.order = streams["explore"], streams["replay"]
        self.q_net = self.make_network(spec, spec.num_actions, streams["init"]).requires_grad_(False)
        self.params = nn.Flat(self.q_net)
        self.radam = RAdam(self.params.data, config.learning_rate)
        self.masked = config.mask_actions and "action_mask" in spec.extras
        self.replay: Rollout = Rollout(
            spec, config.rollout_steps, {"next_legal": spec.extras["action_mask"]} if self.masked else None
        )
        self.batches = -(-steps // config.batch_size)  # of an epoch
        self.env_steps = 0
        self._newest_q: Tensor | None = None  # (S, B, A) of the newest minibatch, for diagnostics
        by_hand = getattr(self.q_net, "by_hand", False)  # what a module of somebody else's does, no graph may hold
        self._explored, self._stepped = (
            Graph(function, spec.device, possible=by_hand) for function in (self.explored, self.gradient_step)
        )
        self._returns = Graph(self.returned, spec.device, possible=by_hand and self.replay.apart)

    @classmethod
    def wanted(cls, config: PQNConfig) -> tuple[str, ...]:
        return cls.wants if config.mask_actions else ()

    def make_network(self, spec: Spec, num_actions: int, init: Stream) -> torch.nn.Module:
        """The network of action values, (S, N, *O) -> (S, N, A). For a network of your own, override it in a subclass.

        Any module will do that `rlbench.nn.vjp` takes; see `rlbench.agents.dqn.DQN.make_network`.
        """
        return nn.network(spec, self.config.hidden, num_actions, init, layer_norm=self.config.layer_norm)

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        c = self.config
        return functional.linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        legal = extras["action_mask"] if self.masked else None  # (S, E, A)
        if explore and away(obs.device):
            numbers = self.explore.uniform(self.spec.num_envs)  # (S, E)
            (chosen,) = self._explored(self.epsilon, obs, numbers, *(() if legal is None else (legal,)))
            return chosen.clone()  # a graph's is its own
        with torch.inference_mode():
            greedy = functional.legal_q(self.q_net.forward(obs), legal).argmax(-1)  # (S, E)
        if not explore:
            return greedy
        epsilon, u = self.epsilon, self.explore.host(self.spec.num_envs)  # u: (S, E)
        exploring = u < epsilon
        if not exploring.any():
            return greedy
        any_legal = np.ones(self.num_actions, bool) if legal is None else legal.cpu().numpy()
        random = functional.nth_legal(u / epsilon, any_legal)  # u below epsilon is uniform there
        return torch.where(sent(exploring, obs.device), sent(random, obs.device), greedy)

    def explored(self, epsilon: float, obs: Tensor, u: Tensor, legal: Tensor | None = None) -> tuple[Tensor]:
        """What `act` does, as operations on a device alone: ``u`` is (S, E), ``legal`` (S, E, A)."""
        greedy = functional.legal_q(self.q_net.forward(obs), legal).argmax(-1)  # (S, E)
        if legal is None:
            random = (u / epsilon * self.num_actions).long().clamp(max=self.num_actions - 1)
        else:
            count = legal.sum(-1)
            nth = torch.minimum((u / epsilon * count).long(), count - 1)  # counted from 0
            random = (legal.cumsum(-1) > nth.unsqueeze(-1)).byte().argmax(-1)
        return (torch.where(u < epsilon, random, greedy),)

    def observe(self, transition: Transition) -> None:
        if self.masked:
            transition = transition._replace(extras={"next_legal": transition.next_extras["action_mask"]})
        self.replay.add(transition)
        self.env_steps += self.spec.num_envs

    def update(self) -> dict[str, Tensor]:
        if not self.replay.full:
            return {}
        with torch.inference_mode():  # no autograd here, and its bookkeeping is a fifth of a small operation
            metrics = self._learn()
        self.replay.clear()
        return metrics

    def _learn(self) -> dict[str, Tensor]:
        """From a full rollout to new weights."""
        c, rollout = self.config, self.replay
        if c.learning_rate_end is not None and self.spec.total_steps:
            began = self.env_steps - rollout.capacity
            self.radam.learning_rate = functional.linear_schedule(
                c.learning_rate, c.learning_rate_end, self.spec.total_steps, began
            )
        (target,) = self._returns()
        for _ in range(c.epochs):
            for part in rollout.minibatches(self.batches, self.order, target=target):
                metrics = self.learn_from(part)
        return metrics

    def returned(self) -> tuple[Tensor]:
        """`returns`, for a graph."""
        return (self.returns(),)

    def returns(self) -> Tensor:
        """(S, T, E): what the values of the rollout's steps are to become, Q(lambda) by the weights as they are.

        A time limit, as the rollout's end, bootstraps from what the step truly led to; a termination does not.
        """
        c, rollout = self.config, self.replay
        lead = rollout.reward.shape  # (S, T, E)
        next_obs = rollout.next_obs().flatten(1, 2)  # (S, T * E, *O)
        legal = rollout.extras["next_legal"].flatten(1, 2) if self.masked else None
        masks = [None] * self.batches if legal is None else legal.tensor_split(self.batches, 1)
        values = []
        for part, mask in zip(next_obs.tensor_split(self.batches, 1), masks, strict=True):  # images take much memory
            q = functional.legal_q(self.q_net.forward(part), mask)
            values.append(functional.max_value(q))
        next_value = torch.cat(values, 1).view(lead)
        ends = rollout.terminated, rollout.truncated
        return functional.lambda_return(rollout.reward, next_value, *ends, gamma=c.gamma, lambda_=c.q_lambda)

    def learn_from(self, part: Minibatch) -> dict[str, Tensor]:
        """One `gradient_step` of every seed, each leaf of ``part`` (S, B, ...), with all that goes with it."""
        self.radam.advance()
        loss, q_value, grad_norm, self._newest_q = self._stepped(part.obs, part.action, part.extras["target"])
        self.updates += 1
        metrics = {"loss": loss, "q_value": q_value, "grad_norm": grad_norm}  # (S,) each
        return {name: x.clone() for name, x in metrics.items()} if loss.is_cuda else metrics  # a graph's are its own

    def gradient_step(self, obs: Tensor, action: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """From a minibatch to new weights, operations on tensors alone: loss, mean value, norm (S,); values
        (S, B, A)."""
        q_all, pull = nn.vjp(self.q_net, obs)  # (S, B, A), and the way back from dloss/dq to the parameters
        action = action.unsqueeze(-1)  # (S, B, 1)
        q_values = q_all.gather(-1, action).squeeze(-1)  # (S, B)
        loss, slope = functional.squared_loss(q_values - target)  # (S, B) both
        upstream = torch.zeros_like(q_all).scatter_(-1, action, slope.unsqueeze(-1) / q_all.shape[1])
        pull(upstream, self.params.grads)  # of the mean over the minibatch, each seed its own
        grad_norm = functional.clip_norm_(self.params.grad, self.config.max_grad_norm)
        self.radam.apply(self.params.grad)
        return loss.mean(1), q_values.mean(1), grad_norm, q_all

    def state_dict(self) -> dict[str, Any]:
        return {
            "q_net": self.q_net.state_dict(),
            "radam": self.radam.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q_net.load_state_dict(state["q_net"])
        self.radam.load_state_dict(state["radam"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])

    def diagnostics(self) -> dict[str, Tensor]:
        epsilon = torch.full((self.spec.num_seeds,), self.epsilon)
        if self._newest_q is None:
            return {"epsilon": epsilon}
        gradients = torch.cat([grad.flatten(1) for grad in self.params.grads], 1)  # (S, P) as RAdam took it
        return {"epsilon": epsilon, "q_values": self._newest_q, "gradients": gradients}

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        q_values = self.q_net.forward(obs)  # (S, E, A)
        if self.masked and extras:
            q_values = q_values.masked_fill(~extras["action_mask"], -torch.inf)
        return {"q_values": q_values}
