"""MyValue: a Q-learner with a neural network, a replay buffer and a target network, for all seeds at once.

DQN (Mnih et al. 2015, doi:10.1038/nature14236) with the double estimate (van Hasselt et al. 2016, arXiv:1509.06461).
S learners train side by side, each with its own network, buffer and random numbers: tensors have the axis S in front.

    rlbench train --env CartPole-v1 --agent my_value.py:MyValue
"""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from rlbench import functional, nn
from rlbench.agent import Agent, AgentConfig
from rlbench.errors import UsageError
from rlbench.optim import Adam
from rlbench.replay import Replay
from rlbench.rng import Streams
from rlbench.types import Spec, Transition


class MyValueConfig(AgentConfig):
    """Hyper-parameters: `--set MyValue.gamma=0.98` changes one. Steps are env steps of a seed."""

    hidden: tuple[int, ...] = Field((64, 64), description="widths of the hidden layers")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size")
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")
    n_step: int = Field(3, ge=1, description="steps of reward before bootstrapping")
    capacity: int = Field(50_000, ge=1, description="transitions in the replay buffer")
    batch_size: int = Field(64, ge=1, description="transitions per update")
    learning_starts: int = Field(1_000, ge=0, description="no update before so many steps")
    train_every: int = Field(2, ge=1, description="steps per update")
    tau: float = Field(0.05, gt=0, le=1, description="share of the online weights in a target update")
    epsilon_end: float = Field(0.05, ge=0, le=1, description="share of random actions at last; at first it is 1")
    epsilon_steps: int = Field(5_000, ge=0, description="steps over which it falls in a straight line")


class MyValue(Agent):
    """S Q-learners. E environments of each run side by side: tensors begin with (S, E)."""

    Config = MyValueConfig
    run_defaults: ClassVar[Mapping[str, Any]] = {"num_envs": 4}  # what it runs by where nobody says otherwise

    def __init__(self, spec: Spec, config: MyValueConfig, streams: Streams) -> None:
        if spec.num_actions is None:  # one line for whoever asks for what cannot be
            raise UsageError("it chooses one of several actions, and those of this environment are of another kind.")
        self.spec, self.config, self.num_actions = spec, config, spec.num_actions
        self.explore = streams["explore"]  # random numbers come from the streams alone: one sequence for each seed
        # Stacked networks, (S, N, *O) -> (S, N, A). LayerNorm keeps values from running away.
        self.q_net = nn.network(spec, config.hidden, spec.num_actions, streams["init"], layer_norm=True)
        self.target_net = copy.deepcopy(self.q_net).requires_grad_(False)
        # The parameters of a network as one tensor (S, P): an optimiser's step or a soft update is one operation.
        self.online, self.target = nn.Flat(self.q_net), nn.Flat(self.target_net)
        self.adam = Adam(self.online.data, config.learning_rate)
        # Called `replay`, it is saved beside the checkpoints, and a resumed run has it again.
        gamma, n_step = config.gamma, config.n_step
        self.replay: Replay = Replay(spec, config.capacity, streams["replay"], gamma=gamma, n_step=n_step)
        self.env_steps = 0

    @property
    def epsilon(self) -> float:
        c = self.config
        return functional.linear_schedule(1.0, c.epsilon_end, c.epsilon_steps, self.env_steps)

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:  # (S, E, *O) -> (S, E)
        greedy = self.q_net(obs).argmax(-1)
        if not explore:  # the best that is known; nothing may be drawn here
            return greedy
        n = obs.shape[1]
        random = self.explore.integers(n, self.num_actions)  # (S, E), as the next: a coin for each env and seed
        return torch.where(self.explore.uniform(n) < self.epsilon, random, greedy)

    def observe(self, transition: Transition) -> None:  # what came of the last act; each leaf is (S, E, ...)
        self.replay.add(transition)
        self.env_steps += self.spec.num_envs

    def update(self) -> dict[str, Tensor]:  # after every step; {} where nothing is due
        every, metrics = self.config.train_every, dict[str, Tensor]()
        if self.env_steps > self.config.learning_starts:
            for _ in range(self.env_steps // every - (self.env_steps - self.spec.num_envs) // every):
                metrics = self.learn()
        return metrics

    def learn(self) -> dict[str, Tensor]:
        batch = self.replay.sample(self.config.batch_size)  # each leaf is (S, B, ...)
        with torch.no_grad():
            next_value = functional.double_value(self.q_net(batch.next_obs), self.target_net(batch.next_obs))
            # discount is 0 after a termination. A time limit is none: what follows it counts.
            target = functional.td_target(batch.reward, batch.discount, next_value)  # (S, B)
        q_values = self.q_net(batch.obs).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)  # (S, B)
        loss = torch.nn.functional.smooth_l1_loss(q_values, target, reduction="none").mean(1)  # (S,)
        grad = self.online.gradient(loss.sum())  # (S, P); of the sum over seeds, so that each row is that seed's own
        grad_norm = functional.clip_norm_(grad, 10.0)  # per seed
        self.adam.step(grad)
        self.target.data.lerp_(self.online.data, self.config.tau)
        self.updates += 1  # an agent counts them itself
        return {"loss": loss.detach(), "q_value": q_values.detach().mean(1), "grad_norm": grad_norm}  # (S,) each

    # All that shapes what comes next, but for the buffer: a run that was stopped goes on as if it had not been.

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in ("q_net", "target_net", "adam")}
        return {**parts, "env_steps": self.env_steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("q_net", "target_net", "adam"):
            getattr(self, name).load_state_dict(state[name])
        self.env_steps, self.updates = state["env_steps"], state["updates"]

    def diagnostics(self) -> dict[str, Tensor]:  # recorded beside what update gives
        return {"epsilon": torch.full((self.spec.num_seeds,), self.epsilon)}

    @torch.no_grad()
    def explain(self, obs: Tensor) -> dict[str, Tensor]:  # what `rlbench play` and `rlbench inspect` show
        return {"q_values": self.q_net(obs)}
