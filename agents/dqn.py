"""DQN: Q-learning with a neural network, a replay buffer and a target network.

Mnih et al. 2015, doi:10.1038/nature14236. Switches for Double DQN (van Hasselt et al. 2016, arXiv:1509.06461), n-step
returns (Sutton & Barto 2018, section 7.1), soft target updates (Lillicrap et al. 2016, arXiv:1509.02971), LayerNorm,
and memory, which is `dqn_memory`. Where an environment says what actions are legal, no other is taken or counted on.
Everything carries the seed axis S: S learners, stacked, each with its own networks, buffer and random numbers.
"""

import copy
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from rlbench.agents.dqn_memory import WithMemory
from torch import Tensor

from rlbench import functional, nn
from rlbench.agent import Agent, AgentConfig
from rlbench.cuda.feed import away, sent
from rlbench.cuda.graphs import Graph
from rlbench.errors import UsageError
from rlbench.optim import Adam
from rlbench.replay import Replay
from rlbench.rng import Stream, Streams
from rlbench.types import NO_EXTRAS, Batch, Extras, Spec, Transition


class DQNConfig(AgentConfig):
    """Hyper-parameters of `DQN`. Steps are env steps per seed."""

    hidden: tuple[int, ...] = Field((64, 64), description="widths of the hidden layers")
    layer_norm: bool = Field(False, description="LayerNorm before each ReLU")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size")
    learning_rate_end: float | None = Field(
        None, ge=0, description="if set, the step size falls to this in a straight line over the whole run"
    )
    adam_epsilon: float = Field(1e-8, gt=0, description="Adam's epsilon")
    max_grad_norm: float = Field(
        10.0, ge=0, description="per-seed gradient clipping; 0: none", json_schema_extra={"off": 0.0}
    )
    loss: Literal["squared", "huber"] = Field("huber", description="loss of the TD error")
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")
    n_step: int = Field(1, ge=1, description="steps of reward before bootstrapping", json_schema_extra={"off": 1})
    double: bool = Field(False, description="Double DQN: choose the next action with the online network")
    capacity: int = Field(50_000, ge=1, description="transitions in the replay buffer")
    batch_size: int = Field(64, ge=1, description="transitions per update; with memory, sequences")
    learning_starts: int = Field(1_000, ge=0, description="first update once more steps than this were taken")
    train_every: int = Field(1, ge=1, description="env steps per update")
    tau: float = Field(0.005, gt=0, le=1, description="share of the online weights in a target update")
    target_update_every: int = Field(1, ge=1, description="updates between target updates; with tau 1: hard updates")
    memory: Literal["none", "gru"] = Field("none", description="what the agent remembers an episode by")
    memory_size: int = Field(64, ge=1, description="numbers that are remembered")
    sequence_length: int = Field(20, ge=1, description="with memory: steps of each sequence that are learned from")
    burn_in: int = Field(10, ge=0, description="with memory: steps before these, which only bring it up to date")
    mask_actions: bool = Field(True, description="never take an action that the environment's action_mask forbids")
    epsilon_start: float = Field(1.0, ge=0, le=1, description="share of random actions at first")
    epsilon_end: float = Field(0.05, ge=0, le=1, description="share of random actions at last")
    epsilon_steps: int = Field(10_000, ge=0, description="steps over which epsilon falls in a straight line")
    epsilon_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="if set, epsilon is multiplied by this per episode instead",
        json_schema_extra={"off": 0.0},
    )

    @model_validator(mode="after")
    def _check(self) -> "DQNConfig":
        if any(width < 1 for width in self.hidden):
            raise ValueError("hidden: every layer needs at least one unit")
        if self.capacity < self.batch_size:
            raise ValueError(f"capacity {self.capacity} is smaller than batch_size {self.batch_size}")
        if self.memory != "none" and not self.hidden:
            raise ValueError("hidden: memory takes at least one layer before it")
        return self


class DQN(Agent):
    """S deep Q-learners. See `rlbench.agent.Agent` for the arguments and methods."""

    Config = DQNConfig
    wants = ("action_mask",)

    def __new__(cls, spec: Spec, config: DQNConfig, streams: Streams) -> "DQN":
        if config.memory == "none":
            return super().__new__(cls)
        if cls is not DQN and not issubclass(cls, RecurrentDQN):
            raise UsageError(f"{cls.__name__} is a DQN without memory: derive it from RecurrentDQN to give it one")
        return super().__new__(RecurrentDQN if cls is DQN else cls)

    def __init__(self, spec: Spec, config: DQNConfig, streams: Streams) -> None:
        if spec.action_sizes is not None:
            raise UsageError(
                f"dqn chooses one of several actions; this environment takes {len(spec.action_sizes)} choices at once, "
                f"of {', '.join(map(str, spec.action_sizes[:8]))}{', ...' if spec.action_sizes[8:] else ''}. Choose "
                "another --agent (`rlbench list agents`), such as ppo, or put a --wrapper around it that makes them "
                "one."
            )
        if spec.num_actions is None:
            raise UsageError(
                f"dqn needs discrete actions; this environment takes {spec.action_shape} continuous ones. "
                "Choose another --agent (`rlbench list agents`), such as ppo or sac, or an environment with a Discrete "
                "action space."
            )
        if config.capacity // spec.num_envs < config.n_step:
            raise UsageError(
                f"dqn.n_step {config.n_step} does not fit into dqn.capacity {config.capacity}, which holds "
                f"{config.capacity // spec.num_envs} steps of each of {spec.num_envs} envs: lower n_step, or raise "
                f"capacity to {config.n_step * spec.num_envs} or more"
            )
        self.spec, self.config = spec, config
        self.q_net = self.make_network(spec, spec.num_actions, streams["init"]).requires_grad_(False)
        self.target_net = copy.deepcopy(self.q_net)
        self.online, self.target = nn.Flat(self.q_net), nn.Flat(self.target_net)
        self.adam = Adam(self.online.data, config.learning_rate, epsilon=config.adam_epsilon)
        self.replay: Replay = self.make_replay(spec, streams["replay"])
        self.loss: Callable[[Tensor], tuple[Tensor, Tensor]] = (
            functional.squared_loss if config.loss == "squared" else functional.huber_loss
        )
        self.explore = streams["explore"]
        self.num_actions = spec.num_actions
        self.masked = config.mask_actions and "action_mask" in spec.extras
        self.env_steps = 0
        self.episodes = torch.zeros(spec.num_seeds, 1, dtype=torch.int64, device=spec.device)
        self._epsilon: np.ndarray | None = None  # kept while no episode ends
        self._newest_q: Tensor | None = None  # (S, B, A) of the newest batch, for diagnostics
        by_hand = getattr(self.q_net, "by_hand", False)  # what a module of somebody else's does, no graph may hold
        self._away = away(spec.device)
        self._act = Graph(self.chosen if self._away else self.greedy, spec.device, possible=by_hand)
        self._step = Graph(self.gradient_step, spec.device, possible=by_hand)
        self._drawn = Graph(self.drawn_step, spec.device, possible=by_hand) if self._draws() else None
        self._shares: Tensor | None = None  # on a device: epsilon after each number of episodes, float64

    @classmethod
    def wanted(cls, config: DQNConfig) -> tuple[str, ...]:
        return cls.wants if config.mask_actions else ()

    def make_network(self, spec: Spec, num_actions: int, init: Stream) -> torch.nn.Module:
        """The network of action values, (S, N, *O) -> (S, N, A). For a network of your own, override it in a subclass.

        Any module will do whose parameters have the leading S axis, and whose row s depends on row s of them alone. An
        `rlbench.nn.Network` is differentiated by hand, any other by autograd, as are layers that have nothing but
        ``forward``: see `rlbench.nn.vjp`.

        Args:
            spec: what is observed; ``self.config`` has the hyper-parameters.
            num_actions: A.
            init: the random numbers for its weights, one sequence per seed.
        """
        return nn.network(spec, self.config.hidden, num_actions, init, layer_norm=self.config.layer_norm)

    def make_replay(self, spec: Spec, stream: Stream) -> Replay:
        """Where experience is kept; ``stream`` draws from it."""
        c = self.config
        return Replay(spec, c.capacity, stream, gamma=c.gamma, n_step=c.n_step)

    def _draws(self) -> bool:
        """Whether a gradient step draws its own batch: where the buffer lies on the device, and both are as here."""
        mine = type(self.replay).sample is Replay.sample if isinstance(self.replay, Replay) else False
        return mine and self.replay.on_device and type(self).learn_from is DQN.learn_from

    def epsilon(self) -> float | np.ndarray:
        """Share of random actions now: one number, or (S, 1) where it falls with each seed's own episodes."""
        c = self.config
        if c.epsilon_decay:
            if self._epsilon is None:
                shares = [self._share_after(n) for n in self.episodes.flatten().tolist()]
                self._epsilon = np.array(shares)[:, None]
            return self._epsilon
        return self._share_now()

    def epsilon_there(self) -> float | Tensor:
        """`epsilon` for a graph, which nobody waits for: a tensor where it is (S, 1)."""
        if not self.config.epsilon_decay:
            return self._share_now()
        most = self.env_steps  # no seed has had more episodes
        known = 0 if self._shares is None else len(self._shares)
        if self._shares is None or (known <= most and self._share_after(known - 1) > self._least):
            shares = np.array([self._share_after(n) for n in range(2 * most + 1024)])
            self._shares = sent(shares, self.spec.device)
        return self._shares[self.episodes.clamp(max=len(self._shares) - 1)]

    @property
    def _least(self) -> float:
        return max(self.config.epsilon_end, 2.0**-53)

    def _share_after(self, episodes: int) -> float:
        """One by one: the last bit of an array's power depends on how many seeds stand in it."""
        return max(self.config.epsilon_start * self.config.epsilon_decay**episodes, self._least)

    def _share_now(self) -> float:
        c = self.config
        return functional.linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor | tuple[Tensor, Extras]:
        legal: tuple[Tensor, ...] = (extras["action_mask"],) if self.masked else ()  # (S, E, A)
        if explore and self._away:
            (action,) = self._act(obs, self.explore.uniform(self.spec.num_envs), self.epsilon_there(), *legal)
            return action.clone()  # a graph's is its own
        (greedy,) = self._act(obs, *legal) if explore else self.greedy(obs, *legal)
        return self.explored(greedy, *legal) if explore else greedy

    def chosen(
        self, obs: Tensor, u: Tensor, epsilon: float | Tensor, legal: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """`greedy` and `explored`, operations on tensors alone; ``u`` is (S, E)."""
        return (self.mixed(*self.greedy(obs, legal), u, epsilon, legal),)

    def mixed(self, greedy: Tensor, u: Tensor, epsilon: float | Tensor, legal: Tensor | None = None) -> Tensor:
        """`explored` as operations on tensors: the same actions of the same numbers ``u``, (S, E)."""
        if not isinstance(epsilon, Tensor):  # a device divides by a number of Python's otherwise than NumPy
            epsilon = u.new_full((), epsilon)
        if legal is not None:
            random = functional.nth_legal_there(u / epsilon, legal)
        else:
            random = (u * (u.new_full((), self.num_actions) / epsilon)).long().clamp(0, self.num_actions - 1)
        return torch.where(u < epsilon, random, greedy)

    def explored(self, greedy: Tensor, legal: Tensor | None = None) -> Tensor:
        """Epsilon-greedy: ``greedy``, (S, E), but for a random share of them; ``legal`` is (S, E, A)."""
        epsilon = self.epsilon()
        u = self.explore.host(self.spec.num_envs)  # (S, E)
        exploring = u < epsilon
        if not exploring.any():
            return greedy
        if legal is not None:
            random = functional.nth_legal(u / epsilon, legal.cpu().numpy())
        else:
            random = (u * (self.num_actions / epsilon)).astype(np.int64)  # u below epsilon is uniform there too
            np.minimum(random, self.num_actions - 1, out=random)
        return torch.where(torch.from_numpy(exploring), torch.from_numpy(random), greedy)

    def greedy(self, obs: Tensor, legal: Tensor | None = None) -> tuple[Tensor]:
        return (functional.legal_q(self.q_net.forward(obs), legal).argmax(-1),)  # (S, E)

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)
        self.env_steps += self.spec.num_envs
        if self.config.epsilon_decay:
            done = transition.terminated | transition.truncated  # (S, E)
            if self._away or done.any():  # nobody waits to know
                self.episodes += done.sum(1, keepdim=True)
                self._epsilon = None

    def update(self) -> dict[str, Tensor]:
        every, envs = self.config.train_every, self.spec.num_envs
        if self.env_steps <= self.config.learning_starts:
            return {}
        metrics: dict[str, Tensor] = {}
        due = self.env_steps // every - (self.env_steps - envs) // every  # in this vector step
        if due:
            with torch.inference_mode():  # no autograd here, and its bookkeeping is a fifth of a small operation
                for _ in range(due):
                    metrics = self._learn()
        return metrics

    def _learn(self) -> dict[str, Tensor]:
        if self._drawn is not None:
            return self.step_on(self.replay.shares(self.config.batch_size), by=self._drawn)
        return self.learn_from(self.replay.sample(self.config.batch_size))

    def learn_from(self, batch: Batch) -> dict[str, Tensor]:
        """One gradient step of every seed, from ``batch``, (S, B, ...)."""
        legal = (batch.next_extras["action_mask"],) if self.masked else ()  # (S, B, A)
        return self.step_on(*batch, *legal)

    def step_on(self, *inputs: Tensor, by: Graph | None = None) -> dict[str, Tensor]:
        """One `gradient_step`, or what ``by`` makes of it, with all that goes with it."""
        c = self.config
        if c.learning_rate_end is not None and self.spec.total_steps:
            self.adam.learning_rate = functional.linear_schedule(
                c.learning_rate, c.learning_rate_end, self.spec.total_steps, self.env_steps
            )
        self.adam.advance()
        *metrics, self._newest_q = (by or self._step)(*inputs)
        self.updates += 1
        if (by is None or c.target_update_every > 1) and self.updates % c.target_update_every == 0:
            self.target.data.lerp_(self.online.data, c.tau)  # tau 1: a copy
        if self._away:
            metrics = list(torch.stack(metrics).unbind())  # a graph's are its own
        return dict(zip(("loss", "q_value", "grad_norm"), metrics, strict=True))  # (S,) each

    def drawn_step(self, shares: Tensor) -> tuple[Tensor, ...]:
        """A batch from where ``shares`` (S, B) says, one gradient step, and the target update that follows each."""
        batch = self.replay.at(shares)
        return self.followed(self.gradient_step(*batch, *((batch.next_extras["action_mask"],) if self.masked else ())))

    def followed(self, made: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What a gradient step gave, after the target update, if every step has one."""
        if self.config.target_update_every == 1:
            self.target.data.lerp_(self.online.data, self.config.tau)
        return made

    def gradient_step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        legal: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """From a batch to new weights, operations on tensors alone: loss, mean value, norm (S,); values (S, B, A).

        ``legal`` is (S, B, A), the actions that ``next_obs`` allows.
        """
        c = self.config
        next_q = functional.legal_q(self.target_net.forward(next_obs), legal)  # (S, B, A)
        if c.double:
            online_q = functional.legal_q(self.q_net.forward(next_obs), legal)
            next_value = functional.double_value(online_q, next_q)  # (S, B)
        else:
            next_value = functional.max_value(next_q)
        target = functional.td_target(reward, discount, next_value)  # (S, B)

        q_all, pull = nn.vjp(self.q_net, obs)  # (S, B, A), and the way back from dloss/dq to the parameters
        action = action.unsqueeze(-1)  # (S, B, 1)
        q_values = q_all.gather(-1, action).squeeze(-1)  # (S, B)
        loss, slope = self.loss(q_values - target)  # (S, B) both: the loss and its derivative
        upstream = torch.zeros_like(q_all).scatter_(-1, action, slope.unsqueeze(-1) / c.batch_size)
        pull(upstream, self.online.grads)  # of the mean over the batch, each seed its own
        return loss.mean(1), q_values.mean(1), self.descend(), q_all

    def descend(self) -> Tensor:
        """New weights from the gradient in ``online.grad``, (S, P); its norm as it was, (S,)."""
        grad_norm = functional.clip_norm_(self.online.grad, self.config.max_grad_norm)
        self.adam.apply(self.online.grad)
        return grad_norm

    def state_dict(self) -> dict[str, Any]:
        return {
            "q_net": self.q_net.state_dict(),
            "target_net": self.target_net.state_dict(),
            "adam": self.adam.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
            "episodes": self.episodes,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q_net.load_state_dict(state["q_net"])
        self.target_net.load_state_dict(state["target_net"])
        self.adam.load_state_dict(state["adam"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
        self.episodes.copy_(state["episodes"])
        self._epsilon = None

    def diagnostics(self) -> dict[str, Tensor]:
        epsilon = torch.as_tensor(self.epsilon(), dtype=torch.float32).flatten().expand(self.spec.num_seeds)
        if self._newest_q is None:
            return {"epsilon": epsilon}
        gradients = torch.cat([grad.flatten(1) for grad in self.online.grads], 1)  # (S, P) as Adam took it
        return {"epsilon": epsilon, "q_values": self._newest_q, "gradients": gradients}

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        return self.explained(self.q_net.forward(obs), extras)

    def explained(self, q_values: Tensor, extras: Extras) -> dict[str, Tensor]:
        """``q_values``, (S, E, A), for people to look at; illegal actions have none."""
        if self.masked and extras:
            q_values = q_values.masked_fill(~extras["action_mask"], -torch.inf)
        return {"q_values": q_values}


class RecurrentDQN(WithMemory, DQN):  # type: ignore[misc]
    """S deep Q-learners with memory: what `DQN` is where its config says so."""
