"""PPO: a policy gradient that goes no further than the steps it learns from can be relied on.

Schulman et al. 2017, arXiv:1707.06347, with generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438).
Switches for what implementations add to the paper (Engstrom et al. 2020, arXiv:2005.12729): normalised advantages,
observations and rewards, clipped values, schedules; and memory, which is `ppo_memory`. For actions that are one choice,
several at once, or continuous; where an environment says what actions are legal, no other is taken. Everything carries
the seed axis S: S learners, stacked, each with its own networks, rollout and random numbers.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from rlbench.agents.ppo_memory import PPOWithMemory
from torch import Tensor

from rlbench import functional, nn
from rlbench.agent import Agent, AgentConfig
from rlbench.cuda.graphs import Graph
from rlbench.distributions import Categorical, MultiCategorical
from rlbench.errors import UsageError
from rlbench.optim import Adam
from rlbench.policies import Policy, PolicyForm
from rlbench.replay import Minibatch, Rollout
from rlbench.rng import Handed, Stream, Streams
from rlbench.types import NO_EXTRAS, Extra, Extras, Spec, Transition

WayBack = Callable[[Tensor, Sequence[Tensor]], None]  # of the gradient at an output, to those of the parameters


class PPOConfig(AgentConfig):
    """Hyper-parameters of `PPO`. Steps are env steps."""

    hidden: tuple[int, ...] = Field((64, 64), description="widths of the hidden layers, of policy and value each")
    activation: nn.Activation = Field("tanh", description="between the layers: relu, tanh or silu")
    orthogonal: bool = Field(True, description="orthogonal weights at first, small ones in the policy's last layer")
    learning_rate: float = Field(3e-4, gt=0, description="Adam's step size")
    learning_rate_end: float | None = Field(
        None, ge=0, description="if set, the step size falls to this in a straight line over the whole run"
    )
    adam_epsilon: float = Field(1e-5, gt=0, description="Adam's epsilon")
    max_grad_norm: float = Field(
        0.5, ge=0, description="per-seed gradient clipping; 0: none", json_schema_extra={"off": 0.0}
    )
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="advantages: 0 looks one step ahead, 1 to the last one")
    rollout_steps: int = Field(128, ge=1, description="steps of each env between updates")
    epochs: int = Field(10, ge=1, description="how often each step is learned from")
    batch_size: int = Field(64, ge=1, description="steps of a minibatch, at most: a rollout is dealt out evenly")
    clip: float = Field(0.2, gt=0, description="how far the ratio of an action's chances may go from 1")
    clip_end: float | None = Field(
        None, gt=0, description="if set, the clip falls to this in a straight line over the whole run"
    )
    value_clip: float = Field(
        0.0, ge=0, description="how far a value may go from what it was; 0: anywhere", json_schema_extra={"off": 0.0}
    )
    value_weight: float = Field(0.5, ge=0, description="weight of the values' squared error")
    entropy_weight: float = Field(
        0.0, ge=0, description="weight of the policy's entropy", json_schema_extra={"off": 0.0}
    )
    normalise_advantage: bool = Field(True, description="by mean and deviation of each minibatch")
    normalise_obs: bool = Field(False, description="by running mean and deviation; pixels and indices stay as they are")
    normalise_rewards: bool = Field(False, description="by the running deviation of discounted returns")
    log_std: float = Field(
        0.0,
        description="log of the deviation of continuous actions at first; their bounds count as -1 and 1",
    )
    memory: Literal["none", "gru"] = Field("none", description="what policy and value remember an episode by")
    memory_size: int = Field(64, ge=1, description="numbers that each remembers")
    sequence_length: int = Field(16, ge=1, description="with memory: steps in a row that are learned from together")
    mask_actions: bool = Field(True, description="never take an action that the environment's action_mask forbids")

    @model_validator(mode="after")
    def _check(self) -> "PPOConfig":
        if any(width < 1 for width in self.hidden):
            raise ValueError("hidden: every layer needs at least one unit")
        if self.normalise_advantage and self.batch_size < 2:
            raise ValueError("batch_size: advantages are normalised over 2 steps or more; or normalise_advantage=false")
        if self.memory == "none":
            return self
        if not self.hidden:
            raise ValueError("hidden: memory takes at least one layer before it")
        if self.rollout_steps % self.sequence_length:
            raise ValueError(
                f"rollout_steps {self.rollout_steps} is no multiple of sequence_length {self.sequence_length}"
            )
        if self.batch_size < self.sequence_length:
            raise ValueError(f"batch_size {self.batch_size} holds no sequence of {self.sequence_length} steps")
        return self


KEPT = ("log_prob", "value", "advantage", "target")  # of each step of a rollout


class GradientStep(NamedTuple):
    """What a gradient step saw, (S, B) but for the norm, (S,), and what the policy was made of."""

    log_ratio: Tensor
    gain: Tensor
    error: Tensor
    grad_norm: Tensor
    made_of: tuple[
        Tensor, Tensor | None, Tensor | None
    ]  # its network's numbers, (S, B, n), what was legal, and its log_std


class PPO(Agent):
    """S policies and S values. See `rlbench.agent.Agent` for the arguments and methods."""

    Config = PPOConfig
    run_defaults: ClassVar[Mapping[str, Any]] = {"num_envs": 8}
    wants = ("action_mask",)

    def __new__(cls, spec: Spec, config: PPOConfig, streams: Streams) -> "PPO":
        if config.memory == "none":
            return super().__new__(cls)
        if cls is not PPO and not issubclass(cls, RecurrentPPO):
            raise UsageError(f"{cls.__name__} is a PPO without memory: derive it from RecurrentPPO to give it one")
        return super().__new__(RecurrentPPO if cls is PPO else cls)

    def __init__(self, spec: Spec, config: PPOConfig, streams: Streams) -> None:
        self.spec, self.config = spec, config
        self.form = PolicyForm(spec)
        self.chosen = self.form.chosen  # and not continuous
        self.masked = config.mask_actions and "action_mask" in spec.extras and self.chosen
        self._check_fit()
        self.draws, self.order, init = streams["explore"], streams["replay"], streams["init"]
        self.policy_net = self.make_policy(spec, self.form.numbers, init).requires_grad_(False)
        self.value_net = self.make_value(spec, init).requires_grad_(False)
        start = torch.full((spec.num_seeds, 1, *spec.action_shape), config.log_std, device=spec.device)
        self.log_std = torch.nn.ParameterList([] if self.chosen else [start]).requires_grad_(False)
        parts = torch.nn.ModuleList([self.policy_net, self.value_net, self.log_std])
        self.params = nn.Flat(parts)  # all of them as one tensor, (S, P)
        self.adam = Adam(self.params.data, config.learning_rate, epsilon=config.adam_epsilon)
        ends = [sum(1 for _ in part.parameters()) for part in parts[:2]]
        self._own = slice(0, ends[0]), slice(ends[0], sum(ends))  # of the parameters: the policy's, the value's

        self.normalises = config.normalise_obs and spec.obs_dtype == torch.float32
        self.seen = nn.RunningMoments(spec.obs_shape if self.normalises else (), init)
        self.scale = nn.RewardScale(spec.num_envs, init, gamma=config.gamma)
        self.replay: Rollout = Rollout(spec, config.rollout_steps, self.kept())
        self.batches = -(-self.replay.capacity // config.batch_size)  # of an epoch
        self.env_steps = 0
        # what a module of somebody else's does, no graph may hold
        by_hand = all(getattr(net, "by_hand", False) for net in (self.policy_net, self.value_net))
        self._drawn, self._stepped, self._scaled, self._seen = (
            Graph(function, spec.device, possible=by_hand)
            for function in (self.drawn, self.gradient_step, self.took_in, self.moved)
        )
        self._prepared = Graph(self.prepared, spec.device, possible=by_hand and self.replay.apart)

    def kept(self) -> dict[str, Extra]:
        """What a rollout keeps of each step besides the usual."""
        drawn = {} if self.chosen else {"drawn": Extra(self.spec.action_shape, torch.float32)}
        return {**drawn, **({"action_mask": self.spec.extras["action_mask"]} if self.masked else {})}

    def _check_fit(self) -> None:
        """Raises UsageError where the hyper-parameters do not fit the environment."""
        c, spec = self.config, self.spec
        steps = c.rollout_steps * spec.num_envs
        if c.batch_size > steps:
            lower = "" if steps == 1 and c.normalise_advantage else f"lower it to {steps} or less, or "
            unit = spec.num_envs if c.memory == "none" else spec.num_envs * c.sequence_length  # steps that go together
            enough = -(-c.batch_size // unit) * (unit // spec.num_envs)
            raise UsageError(
                f"ppo.batch_size {c.batch_size} is more than a rollout of {steps} steps, ppo.rollout_steps "
                f"{c.rollout_steps} x num_envs {spec.num_envs}: {lower}raise ppo.rollout_steps to {enough}"
            )
        if c.normalise_advantage and steps // -(-steps // c.batch_size) < 2:
            raise UsageError(
                f"ppo.batch_size {c.batch_size} deals a rollout of {steps} steps out in minibatches of which some are "
                "one step, whose advantage cannot be normalised: raise it, or --set ppo.normalise_advantage=false"
            )
        if self.masked:
            found, due = spec.extras["action_mask"], self.form.numbers
            if found.dtype != torch.bool or found.shape != (due,):
                raise UsageError(
                    f"ppo takes an action_mask with one entry for each of {due} choices, side by side; this "
                    f"environment's is {tuple(found.shape)} of {str(found.dtype).removeprefix('torch.')}. "
                    "To do without: --set ppo.mask_actions=false"
                )

    @classmethod
    def wanted(cls, config: PPOConfig) -> tuple[str, ...]:
        return cls.wants if config.mask_actions else ()

    def make_policy(self, spec: Spec, numbers: int, init: Stream) -> torch.nn.Module:
        """The network of what a policy is made of, (S, N, *O) -> (S, N, numbers): logits, or means.

        For a network of your own, override it in a subclass. Any module will do that `rlbench.nn.vjp` takes.
        """
        return self._network(spec, numbers, init, 0.01 if self.config.orthogonal else 1.0)

    def make_value(self, spec: Spec, init: Stream) -> torch.nn.Module:
        """The network of values, (S, N, *O) -> (S, N, 1), as `make_policy`."""
        return self._network(spec, 1, init, 1.0)

    def _network(self, spec: Spec, n_out: int, init: Stream, head_gain: float) -> nn.Network:
        c = self.config
        return nn.network(
            spec, c.hidden, n_out, init, activation=c.activation, orthogonal=c.orthogonal, head_gain=head_gain
        )

    def policy(self, numbers: Tensor, legal: Tensor | None = None) -> Policy:
        """What the policy's network says, (S, N, numbers), as chances; ``legal`` is (S, N, A)."""
        log_std = None if self.chosen else self.log_std[0].clone()  # a policy stays what it was while the weights move
        return self.form.policy(numbers, legal, log_std)

    def value(self, obs: Tensor) -> Tensor:
        """Of observations as the networks see them, (S, N, *O) -> (S, N)."""
        return self.value_net.forward(obs).squeeze(-1)

    def normalised(self, obs: Tensor) -> Tensor:
        return self.seen(obs) if self.normalises else obs

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor | tuple[Tensor, Extras]:
        legal = self._legal(extras)
        if not explore:
            return self.form.action(self.policy(self.policy_net.forward(self.normalised(obs)), legal).mode)
        return self.acted(*self._drawn(obs, self.numbers_to_draw_by(obs), *(() if legal is None else (legal,))))

    def numbers_to_draw_by(self, obs: Tensor) -> Tensor:
        """(S, n), for one action for every observation: there may be more of them than envs to learn from."""
        return self.draws.uniform(obs.shape[1] * math.prod(self.spec.action_shape))

    def drawn(self, obs: Tensor, u: Tensor, legal: Tensor | None = None) -> tuple[Tensor, ...]:
        """An action for every observation, and what was drawn, if that is another thing, by the numbers ``u``, (S, n):
        operations on tensors alone."""
        return self.sampled(self.policy_net.forward(self.normalised(obs)), u, legal)

    def sampled(self, numbers: Tensor, u: Tensor, legal: Tensor | None) -> tuple[Tensor, ...]:
        """Likewise, of what the policy's network says, (S, E, numbers)."""
        policy = self.policy(numbers, legal)
        drawn = policy.sample(Handed(u))
        action = self.form.action(drawn)
        return (action,) if self.chosen else (action, drawn)

    def acted(self, action: Tensor, drawn: Tensor | None = None) -> Tensor | tuple[Tensor, Extras]:
        """What `act` returns of what was drawn."""
        if action.is_cuda:  # a graph's is its own
            action = action.clone()
        return action if drawn is None else (action, {"drawn": drawn})

    def _legal(self, extras: Extras) -> Tensor | None:
        return extras.get("action_mask") if self.masked else None

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)
        self.env_steps += self.spec.num_envs
        if self.config.normalise_rewards:
            self._scaled(transition.reward, transition.terminated, transition.truncated)

    def took_in(self, reward: Tensor, terminated: Tensor, truncated: Tensor) -> tuple[()]:
        """A step's rewards, (S, E), are among those that rewards are normalised by."""
        self.scale.update(reward, terminated | truncated)
        return ()

    def cut(self, where: Tensor) -> None:
        super().cut(where)
        self.scale.returns.masked_fill_(where.to(self.spec.device), 0.0)

    def update(self) -> dict[str, Tensor]:
        if not self.replay.full:
            return {}
        with torch.inference_mode():  # no autograd here, and its bookkeeping is a fifth of a small operation
            metrics = self._learn()
        self.replay.clear()
        return metrics

    def _learn(self) -> dict[str, Tensor]:
        """From a full rollout to new weights."""
        c = self.config
        obs, *kept = self._prepared()
        named = dict(zip(KEPT, kept, strict=True))
        self.adam.learning_rate = self._scheduled(c.learning_rate, c.learning_rate_end)
        clip = self._scheduled(c.clip, c.clip_end)
        for _ in range(c.epochs):
            for part in self.minibatches(obs, named):
                learned = self.learn_from(part, clip)
        if self.normalises:  # now, since within a rollout the numbers must mean the same throughout
            self._seen()
        return self._metrics(learned, clip)

    def moved(self) -> tuple[()]:
        """The rollout's observations are among those that observations are normalised by."""
        self.seen.update(self.replay.obs.flatten(1, 2))
        return ()

    def prepared(self) -> tuple[Tensor, ...]:
        """What is learned from: the observations of a full rollout as the networks see them, and `KEPT`, (S, T, E)
        each."""
        c, rollout = self.config, self.replay
        lead = rollout.reward.shape  # (S, T, E)
        obs = self.normalised(rollout.obs.flatten(1, 2)).view(*lead, *self.spec.obs_shape)
        log_prob, value, next_value = self.judged(obs)  # by the weights that the steps were taken with
        reward = self.scale(rollout.reward) if c.normalise_rewards else rollout.reward
        ends = rollout.terminated, rollout.truncated
        advantage = functional.gae(reward, value, next_value, *ends, gamma=c.gamma, lambda_=c.gae_lambda)
        kept = {"log_prob": log_prob, "value": value, "advantage": advantage, "target": advantage + value}
        return obs, *(kept[name] for name in KEPT)

    def judged(self, obs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of the actions of a full rollout, values, and those of what followed; (S, T, E) each.

        In parts of the size of a minibatch: images take many times their memory on the way. What followed a step is
        the next one, but for an episode's end: `Rollout.next_value`.

        Args:
            obs: (S, T, E, *O), as the networks see them.
        """
        rollout = self.replay
        given: dict[str, Tensor] = {"obs": obs, "action": rollout.action, **rollout.extras}
        columns = {name: x.flatten(1, 2).tensor_split(self.batches, 1) for name, x in given.items()}
        log_probs, values = [], []
        for i in range(self.batches):
            part = {name: x[i] for name, x in columns.items()}
            policy = self.policy(self.policy_net.forward(part["obs"]), self._legal(part))
            log_probs.append(policy.log_prob(part.get("drawn", part["action"])))
            values.append(self.value(part["obs"]))
        log_prob, value = (torch.cat(parts, 1).view(rollout.reward.shape) for parts in (log_probs, values))
        return (
            log_prob,
            value,
            rollout.next_value(lambda final: self.value(self.normalised(final)), value, self.batches),
        )

    def minibatches(self, obs: Tensor, kept: dict[str, Tensor]) -> Iterator[Minibatch]:
        """All steps once, dealt out anew."""
        return self.replay.minibatches(self.batches, self.order, obs, **kept)

    def vjp(self, net: torch.nn.Module, part: Minibatch) -> tuple[Tensor, WayBack]:
        """What ``net`` says of a minibatch, (S, B, n), and the way back from there to its parameters."""
        return nn.vjp(net, part.obs)

    def _scheduled(self, start: float, end: float | None) -> float:
        """What a schedule says for the rollout at hand: the first one has ``start``."""
        if end is None or not self.spec.total_steps:
            return start
        began = self.env_steps - self.replay.capacity
        return functional.linear_schedule(start, end, self.spec.total_steps, began)

    def learn_from(self, part: Minibatch, clip: float) -> GradientStep:
        """One `gradient_step` of every seed, each leaf of ``part`` (S, B, ...), with all that goes with it."""
        self.adam.advance()
        self._names = tuple(part.extras)  # the same ones every time
        log_ratio, gain, error, grad_norm, *made_of = self._stepped(clip, part.obs, part.action, *part.extras.values())
        self.updates += 1
        numbers, *rest = made_of
        legal = rest.pop(0) if self.masked else None
        return GradientStep(log_ratio, gain, error, grad_norm, (numbers, legal, rest[0] if rest else None))

    def gradient_step(self, clip: float, obs: Tensor, acted: Tensor, *extras: Tensor) -> tuple[Tensor, ...]:
        """From a minibatch to new weights, operations on tensors alone: what `GradientStep` has."""
        c, kept = self.config, dict(zip(self._names, extras, strict=True))
        part = Minibatch(obs, acted, kept)
        action, count = kept.get("drawn", part.action), kept["advantage"].shape[1]
        advantage = functional.standardised(kept["advantage"]) if c.normalise_advantage else kept["advantage"]

        numbers, pull_policy = self.vjp(self.policy_net, part)  # (S, B, numbers)
        policy = self.policy(numbers, self._legal(kept))
        log_ratio = policy.log_prob(action) - kept["log_prob"]  # (S, B), as all that follows
        gain, slope = functional.clipped_gain(log_ratio, advantage, clip)
        at_numbers, *at_log_std = policy.pull(action, slope * (-1 / count), -c.entropy_weight / count)

        value, pull_value = self.vjp(self.value_net, part)  # (S, B, 1)
        error, value_slope = self._value_loss(value.squeeze(-1), kept["value"], kept["target"])

        grads = self.params.grads  # of the mean over the minibatch, each seed its own
        pull_policy(at_numbers.reshape(numbers.shape), grads[self._own[0]])
        pull_value(value_slope.unsqueeze(-1) * (c.value_weight / count), grads[self._own[1]])
        for at in at_log_std:
            torch.sum(at, 1, keepdim=True, out=grads[-1])
        grad_norm = functional.clip_norm_(self.params.grad, c.max_grad_norm)
        self.adam.apply(self.params.grad)
        legal = (kept["action_mask"],) if self.masked else ()
        log_std = () if isinstance(policy, Categorical | MultiCategorical) else (policy.log_std,)
        return log_ratio, gain, error, grad_norm, numbers, *legal, *log_std

    def _value_loss(self, value: Tensor, before: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.value_clip:
            return functional.clipped_error(value, before, target, self.config.value_clip)
        return functional.squared_loss(value - target)

    def _metrics(self, learned: GradientStep, clip: float) -> dict[str, Tensor]:
        """What there is to say of a gradient step, (S,) each."""
        c, log_ratio = self.config, learned.log_ratio
        entropy = self.form.policy(*learned.made_of).entropy().mean(1)
        ratio, error = log_ratio.exp(), learned.error.mean(1)
        return {
            "loss": c.value_weight * error - learned.gain.mean(1) - c.entropy_weight * entropy,
            "value_error": error,
            "entropy": entropy,
            "kl": (ratio - 1 - log_ratio).mean(1),  # an estimate that is never below 0 (joschu.net/blog/kl-approx.html)
            "clipped": ((ratio - 1).abs() > clip).float().mean(1),  # the share of the steps
            "grad_norm": learned.grad_norm.clone(),  # a graph's is its own
        }

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in self._parts}
        return {**parts, "env_steps": self.env_steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._parts:
            getattr(self, name).load_state_dict(state[name])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])

    @property
    def _parts(self) -> tuple[str, ...]:
        """What has a state of its own."""
        return ("policy_net", "value_net", "log_std", "adam", "seen", "scale")

    def diagnostics(self) -> dict[str, Tensor]:
        shown = {} if self.chosen else {"std": self.log_std[0].exp().flatten(1).mean(1)}
        if self.updates:
            shown["gradients"] = torch.cat([grad.flatten(1) for grad in self.params.grads], 1)  # (S, P)
        return shown

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        obs = self.normalised(obs)
        return self.explained(self.policy_net.forward(obs), self.value(obs), extras)

    def explained(self, numbers: Tensor, value: Tensor, extras: Extras) -> dict[str, Tensor]:
        """For people to look at: the policy of ``numbers``, (S, E, numbers), and the values, (S, E)."""
        return {"value": value, **self.form.shown(self.policy(numbers, self._legal(extras)))}


class RecurrentPPO(PPOWithMemory, PPO):  # type: ignore[misc]
    """S policies and values with memory: what `PPO` is where its config says so."""
