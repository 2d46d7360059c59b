"""SAC: an actor that is as uncertain as it may be, two critics against optimism, and a temperature that weighs both.

Soft actor-critic with a learned temperature: Haarnoja et al. 2018, arXiv:1812.05905 (the numbers of equations are
theirs). This file is the algorithm for continuous actions; what discrete ones change of it is `sac_discrete`. Switches
for n-step rewards, LayerNorm in the critics, and exploration noise that lasts (after Eberhard et al. 2023, "Pink Noise
Is All You Need", ICLR). Everything carries the seed axis S; the two critics of a seed are rows 2 s and 2 s + 1 of one
stacked network. Nothing here is left to autograd: `keep` goes through a network, `pull` and `at_action` back.
"""

import copy
import math
from typing import Any

import torch
from pydantic import Field, model_validator
from rlbench.agents.sac_discrete import WithChoices
from torch import Tensor

from rlbench import functional, nn
from rlbench.agent import Agent, AgentConfig
from rlbench.cuda.feed import away
from rlbench.cuda.graphs import Graph
from rlbench.distributions import SquashedNormal
from rlbench.errors import UsageError
from rlbench.optim import Adam
from rlbench.replay import Replay
from rlbench.rng import Stream, Streams, as_normal
from rlbench.types import NO_EXTRAS, Batch, Extras, Spec, Transition

LOG_STD = (-10.0, 2.0)  # between these lies the log of the actor's deviation


class SACConfig(AgentConfig):
    """Hyper-parameters of `SAC`. Steps are env steps per seed."""

    hidden: tuple[int, ...] = Field((256, 256), description="widths of the hidden layers of actor and critics")
    layer_norm: bool = Field(False, description="LayerNorm before each ReLU of the critics")
    learning_rate: float = Field(3e-4, gt=0, description="Adam's step size")
    critic_learning_rate: float | None = Field(None, gt=0, description="that of the critics, if it is another")
    alpha_learning_rate: float | None = Field(None, gt=0, description="that of the temperature, if it is another")
    learning_rate_end: float | None = Field(
        None, ge=0, description="if set, step sizes fall in a straight line over the whole run, learning_rate to this"
    )
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")
    n_step: int = Field(1, ge=1, description="steps of reward before bootstrapping", json_schema_extra={"off": 1})
    capacity: int = Field(100_000, ge=1, description="transitions in the replay buffer")
    batch_size: int = Field(256, ge=1, description="transitions per update")
    learning_starts: int = Field(1_000, ge=0, description="random actions up to here, updates from here on")
    train_every: int = Field(1, ge=1, description="env steps between the times when it learns")
    updates_per_train: int = Field(1, ge=1, description="updates each time")
    tau: float = Field(0.005, gt=0, le=1, description="share of the online critics in a target update")
    alpha: float = Field(1.0, gt=0, description="temperature, the worth of a nat of entropy: the first one")
    learn_alpha: bool = Field(True, description="move the temperature so that the entropy becomes target_entropy")
    target_entropy: float | None = Field(
        None,
        description="entropy that is wanted: in nats for an action scaled to -1..1, by default -1 for each of its "
        "numbers; of discrete actions a share of the most there can be, by default 0.5",
    )
    noise_correlation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="how alike the noise of two successive actions is while exploring; 0: not at all",
        json_schema_extra={"off": 0.0},
    )
    mask_actions: bool = Field(True, description="never take an action that the environment's action_mask forbids")

    @model_validator(mode="after")
    def _check(self) -> "SACConfig":
        if any(width < 1 for width in self.hidden):
            raise ValueError("hidden: every layer needs at least one unit")
        if self.capacity < self.batch_size:
            raise ValueError(f"capacity {self.capacity} is smaller than batch_size {self.batch_size}")
        return self


class SAC(Agent):
    """S soft actor-critics. See `rlbench.agent.Agent` for the arguments and methods."""

    Config = SACConfig
    wants = ("action_mask",)

    def __new__(cls, spec: Spec, config: SACConfig, streams: Streams) -> "SAC":
        if spec.num_actions is None or issubclass(cls, DiscreteSAC):
            return super().__new__(cls)
        if cls is not SAC:
            raise UsageError(f"{cls.__name__} is a SAC of continuous actions: derive it from DiscreteSAC for these")
        return super().__new__(DiscreteSAC)

    def __init__(self, spec: Spec, config: SACConfig, streams: Streams) -> None:
        if spec.action_sizes is not None:
            raise UsageError(
                f"sac takes one action, discrete or continuous; this environment wants {len(spec.action_sizes)} "
                "choices at once. Choose another --agent (`rlbench list agents`), such as ppo, or put a --wrapper "
                "around it that makes them one."
            )
        if config.capacity // spec.num_envs < config.n_step:
            raise UsageError(
                f"sac.n_step {config.n_step} does not fit into sac.capacity {config.capacity}, which holds "
                f"{config.capacity // spec.num_envs} steps of each of {spec.num_envs} envs: lower n_step, or raise "
                f"capacity to {config.n_step * spec.num_envs} or more"
            )
        self.spec, self.config = spec, config
        self.target_entropy = self.prepare(spec)
        init = streams["init"]
        self.actor = self.make_actor(spec, init).requires_grad_(False)
        self.critics = nn.side_by_side([self.make_critic(spec, init) for _ in range(2)]).requires_grad_(False)
        self.targets = copy.deepcopy(self.critics)
        first = torch.full((spec.num_seeds, 1), math.log(config.alpha), device=spec.device)
        self.online = {
            "actor": nn.Flat(self.actor),
            "critics": nn.Flat(self.critics),
            "alpha": nn.Flat(torch.nn.ParameterList([first])),
        }
        self.log_alpha = self.online["alpha"].data[:, :1]  # (S, 1)
        self.target = nn.Flat(self.targets)
        rate = config.learning_rate
        self.rates = {
            "actor": rate,
            "critics": config.critic_learning_rate or rate,
            "alpha": config.alpha_learning_rate or rate,
        }
        self.adams = {name: Adam(self.rows(flat.data), self.rates[name]) for name, flat in self.online.items()}
        self._away = away(spec.device)
        self.replay: Replay = Replay(spec, config.capacity, streams["replay"], gamma=config.gamma, n_step=config.n_step)
        self.explore, self.draws = streams["explore"], streams["draws"]
        self.env_steps = 0
        self._newest_q: Tensor | None = None  # (S, 2, B) of the newest batch, for diagnostics
        by_hand = all(getattr(net, "by_hand", False) for net in (self.actor, self.critics))
        self._act = Graph(self.acted, spec.device, possible=by_hand)
        self._step = Graph(self.gradient_step, spec.device, possible=by_hand)
        mine = self.replay.on_device and type(self).learn_from is SAC.learn_from
        self._drawn = Graph(self.drawn_step, spec.device, possible=by_hand) if mine else None

    def prepare(self, spec: Spec) -> float:
        """Look at the actions, and say what entropy is wanted."""
        low, high = spec.action_low, spec.action_high
        if low is None or high is None or not (low.isfinite() & high.isfinite()).all():
            raise UsageError(
                "sac needs bounded actions; this environment's action space reaches to infinity. Put a --wrapper "
                "around it that bounds them, or choose another --agent (`rlbench list agents`), such as ppo."
            )
        self.middle = (low.double() / 2 + high.double() / 2).float()
        self.half = (high.double() / 2 - low.double() / 2).float()  # the whole width may be too much for float32
        self.divisor = torch.where(self.half > 0, self.half, 1.0)
        self.low, self.high = low, high
        self.noise = torch.zeros(spec.num_seeds, spec.num_envs, *spec.action_shape, device=spec.device)
        wanted = self.config.target_entropy
        return -float(math.prod(spec.action_shape)) if wanted is None else wanted

    @classmethod
    def wanted(cls, config: SACConfig) -> tuple[str, ...]:
        return cls.wants if config.mask_actions else ()

    def make_actor(self, spec: Spec, init: Stream) -> torch.nn.Module:
        """The network of means and logs of deviations, (S, N, *O) -> (S, N, 2 K) for actions of K numbers.

        Any stacked module will do; what is not an `rlbench.nn.Network` is differentiated by autograd.
        """
        return nn.network(spec, self.config.hidden, 2 * math.prod(spec.action_shape), init)

    def make_critic(self, spec: Spec, init: Stream) -> nn.ActionValue:
        """One of the two networks of values, of actions scaled to -1..1: an `rlbench.nn.ActionValue`."""
        return nn.ActionValue(spec, self.config.hidden, init, layer_norm=self.config.layer_norm)

    def rows(self, x: Tensor) -> Tensor:
        """(S, ...) of (S, ...) or of (2 S, ...): a seed's own as one row."""
        return x.view(self.spec.num_seeds, -1)

    def pair(self, x: Tensor) -> Tensor:
        """(2 S, ...) -> (S, 2, ...): what the two critics of a seed gave."""
        return x.unflatten(0, (-1, 2))

    def policy(self, out: Tensor) -> SquashedNormal:
        """The distribution of actions, scaled to -1..1, that the actor's output means, (S, N, 2 K)."""
        mean, log_std = out.view(*out.shape[:2], 2, *self.spec.action_shape).unbind(2)
        return SquashedNormal(mean, log_std.clamp(*LOG_STD))

    def stretched(self, action: Tensor) -> Tensor:
        """From -1..1 to the bounds of the environment."""
        return torch.addcmul(self.middle, action, self.half).clamp(self.low, self.high)

    def scaled(self, action: Tensor) -> Tensor:
        """From the bounds of the environment to -1..1; 0 where these are one number."""
        return (action - self.middle) / self.divisor

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        if not explore:
            return self.stretched(torch.tanh(self.policy(self.actor.forward(obs)).mode))
        u = self.explore.uniform(math.prod(self.noise.shape[1:]))
        if self.env_steps < self.config.learning_starts:
            return self.stretched(torch.erf(self.stir(u) * 0.5**0.5))  # uniform between the bounds
        (action,) = self._act(obs, u)
        return action.clone() if self._away else action  # a graph's is its own

    def stir(self, u: Tensor) -> Tensor:
        """The noise of this step, in place, from uniform numbers (S, n). Standard normal at every step, however long it
        lasts: what is explored around the policy stays as wide."""
        fresh, kept = as_normal(u, *self.noise.shape[1:]), self.config.noise_correlation
        return self.noise.copy_(fresh if not kept else self.noise * kept + fresh * (1 - kept * kept) ** 0.5)

    def acted(self, obs: Tensor, u: Tensor) -> tuple[Tensor]:
        normal = self.policy(self.actor.forward(obs)).normal
        return (self.stretched(torch.tanh(normal.mean + normal.log_std.exp() * self.stir(u))),)

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)
        self.env_steps += self.spec.num_envs

    def update(self) -> dict[str, Tensor]:
        c, envs = self.config, self.spec.num_envs
        if self.env_steps <= c.learning_starts:
            return {}
        metrics: dict[str, Tensor] = {}
        due = self.env_steps // c.train_every - (self.env_steps - envs) // c.train_every  # in this vector step
        if due:
            with torch.inference_mode():  # no autograd here, and its bookkeeping is a fifth of a small operation
                for _ in range(due * c.updates_per_train):
                    metrics = self._learn()
        return metrics

    def _learn(self) -> dict[str, Tensor]:
        if self._drawn is not None:
            return self.step_on(self._drawn, self.replay.shares(self.config.batch_size), *self.numbers())
        return self.learn_from(self.replay.sample(self.config.batch_size))

    def learn_from(self, batch: Batch) -> dict[str, Tensor]:
        """One gradient step of every seed, from ``batch``, (S, B, ...)."""
        return self.step_on(self._step, *batch, *self.beside(batch, *self.numbers()))

    def step_on(self, step: Graph, *inputs: Tensor) -> dict[str, Tensor]:
        """One ``step``, with all that goes with it."""
        c = self.config
        if c.learning_rate_end is not None and self.spec.total_steps:
            end = c.learning_rate_end / c.learning_rate
            share = functional.linear_schedule(1.0, end, self.spec.total_steps, self.env_steps)
            for name, adam in self.adams.items():
                adam.learning_rate = self.rates[name] * share
        for adam in self.adams.values():
            adam.advance()
        critic_loss, actor_loss, self._newest_q, entropy, alpha = step(*inputs)
        self.updates += 1
        metrics = {"critic_loss": critic_loss, "actor_loss": actor_loss, "entropy": entropy, "alpha": alpha}  # (S,)
        metrics["q_value"] = self._newest_q.flatten(1).mean(1)
        if self._away:  # a graph's are its own
            metrics = dict(zip(metrics, torch.stack(list(metrics.values())).unbind(), strict=True))
        return metrics

    def drawn_step(self, shares: Tensor, *numbers: Tensor) -> tuple[Tensor, ...]:
        """A batch from where ``shares`` (S, B) says, and one gradient step."""
        batch = self.replay.at(shares)
        return self.gradient_step(*batch, *self.beside(batch, *numbers))

    def numbers(self) -> tuple[Tensor, ...]:
        """What chance has to say in a gradient step, (S, n) of 0 to 1."""
        return (self.draws.uniform(2 * self.config.batch_size * math.prod(self.spec.action_shape)),)

    def beside(self, batch: Batch, *numbers: Tensor) -> tuple[Tensor, ...]:
        """What a gradient step takes besides the fields of a batch: noise for the next actions, and for those now."""
        (u,) = numbers
        shape = (2, self.config.batch_size, *self.spec.action_shape)
        return as_normal(u, *shape).unbind(1)  # (S, B, *action_shape) each

    def gradient_step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        next_noise: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, ...]:
        """From a batch to new weights, operations on tensors alone.

        Returns:
            The losses of critics and actor, (S,) both, values (S, 2, B), entropy and temperature, (S,) both.
        """
        share, alpha = 1 / self.config.batch_size, self.log_alpha.exp()  # of the mean over the batch; (S, 1)

        # Critics: towards the reward and the soft value of what follows, by the targets that follow them (eq. 3 and 5).
        next_action, next_log_prob, _ = self.policy(self.actor.forward(next_obs)).vjp(next_noise)
        next_q = self.pair(self.targets.forward(twice(next_obs), twice(next_action))).amin(1)  # (S, B)
        target = functional.td_target(reward, discount, next_q - alpha * next_log_prob)
        seen = twice(obs)  # (2 S, B, *O)
        q_values, kept = self.critics.keep(seen, twice(self.scaled(action)))  # (2 S, B)
        critic_loss, slope = functional.squared_loss(q_values - twice(target))
        self.critics.pull(kept, slope * share, self.online["critics"].grads)
        self.descend("critics")

        # Actor: to the action that the lower critic likes, and to entropy (eq. 7); through the action into the critics.
        out, pull = nn.vjp(self.actor, obs)  # (S, B, 2 K), and the way back
        action, log_prob, drawn_by = self.policy(out).vjp(noise)
        by_critic, kept = self.critics.keep(seen, twice(action))
        lower, which = self.pair(by_critic).min(1, keepdim=True)  # (S, 1, B)
        at_q = torch.zeros_like(self.pair(by_critic)).scatter_(1, which, -share)
        at_action = self.pair(self.critics.at_action(kept, at_q.flatten(0, 1))).sum(1).view_as(action)
        at_mean, at_log_std = drawn_by(at_action, (alpha * share).expand_as(log_prob))
        low, high = LOG_STD
        log_std = out.view(*out.shape[:2], 2, -1)[:, :, 1].view_as(action)
        at_log_std = at_log_std * ((log_std >= low) & (log_std <= high))
        pull(torch.stack([at_mean, at_log_std], 2).view_as(out), self.online["actor"].grads)
        self.descend("actor")
        actor_loss = (alpha * log_prob - lower.squeeze(1)).mean(1)

        entropy = -log_prob.mean(1)
        self.adapt(entropy - self.target_entropy)
        return self.pair(critic_loss).sum(1).mean(1), actor_loss, self.pair(q_values), entropy, alpha.squeeze(1)

    def adapt(self, surplus: Tensor) -> None:
        """The rest of a gradient step: temperature and targets. ``surplus`` (S,) is entropy beyond what is wanted."""
        if self.config.learn_alpha:  # eq. 18, by the logarithm: a step is a share of the temperature
            self.online["alpha"].grads[0].copy_(surplus.unsqueeze(1))
            self.descend("alpha")
        self.target.data.lerp_(self.online["critics"].data, self.config.tau)

    def descend(self, name: str) -> None:
        """New weights of one part, from its gradient."""
        self.adams[name].apply(self.rows(self.online[name].grad))

    def state_dict(self) -> dict[str, Any]:
        critics = {name: self.pair(x) for name, x in self.critics.state_dict().items()}
        targets = {name: self.pair(x) for name, x in self.targets.state_dict().items()}
        return {
            "actor": self.actor.state_dict(),
            "critics": critics,
            "targets": targets,
            "log_alpha": self.log_alpha,
            "adams": {name: adam.state_dict() for name, adam in self.adams.items()},
            "noise": self.noise,
            "env_steps": self.env_steps,
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.actor.load_state_dict(state["actor"])
        for name in ("critics", "targets"):
            getattr(self, name).load_state_dict({key: x.flatten(0, 1) for key, x in state[name].items()})
        self.log_alpha.copy_(state["log_alpha"])
        for name, adam in self.adams.items():
            adam.load_state_dict(state["adams"][name])
        self.noise.copy_(state["noise"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])

    def diagnostics(self) -> dict[str, Tensor]:
        if self._newest_q is None:
            return {}
        gradients = {name: self.rows(flat.grad) for name, flat in self.online.items() if name != "alpha"}
        return {"q_values": self._newest_q, "gradients": torch.cat(list(gradients.values()), 1)}

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        policy = self.policy(self.actor.forward(obs))
        value = self.pair(self.critics.forward(twice(obs), twice(torch.tanh(policy.mode)))).amin(1)  # (S, E)
        mean, std = policy.moments()
        return {"value": value, "mean": self.stretched(mean).flatten(2), "std": (std * self.half).flatten(2)}


class DiscreteSAC(WithChoices, SAC):  # type: ignore[misc]
    """S soft actor-critics of discrete actions: what `SAC` is in such an environment."""


def twice(x: Tensor) -> Tensor:
    """(S, ...) -> (2 S, ...), each seed's for both of its critics."""
    return x.repeat_interleave(2, 0)
