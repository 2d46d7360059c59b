"""REINFORCE: make more likely what was followed by more reward than expected. The shortest honest policy gradient.

Williams 1992, doi:10.1007/BF00992696; with the return from each step on, and with a value as baseline, it is that of
Sutton & Barto 2018, sections 13.3 and 13.4. Written for one learner, without the axis of the seeds.
"""

from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rlbench import nn
from rlbench.agent import AgentConfig
from rlbench.errors import UsageError
from rlbench.functional import clip_norm_
from rlbench.learner import Learner
from rlbench.optim import Adam
from rlbench.rng import Stream
from rlbench.types import Spec, Transition

OneStep = tuple[Tensor, Tensor, Tensor]  # obs, (*O), action and reward, without an axis


class ReinforceConfig(AgentConfig):
    """Hyper-parameters of `Reinforce`."""

    hidden: tuple[int, ...] = Field((64,), description="widths of the hidden layers, of policy and baseline each")
    learning_rate: float = Field(3e-3, gt=0, description="Adam's step size")
    max_grad_norm: float = Field(0.0, ge=0, description="gradient clipping; 0: none")
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")
    baseline: bool = Field(True, description="measure returns against a value that is learned of each observation")
    unknown: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="of an episode that a time limit cut, steps are learned from up to which at most this share of the "
        "return lies beyond the cut, gamma to the power of the steps that are left",
    )


class Reinforce(Learner):
    """One policy, which learns when an episode ends. See `rlbench.learner.Learner` for the methods."""

    Config = ReinforceConfig

    def __init__(self, spec: Spec, config: ReinforceConfig, rng: np.random.Generator) -> None:
        if spec.num_actions is None:
            raise UsageError(
                "reinforce chooses one of several actions; those of this environment are of another kind. Choose "
                "another --agent (`rlbench list agents`), such as ppo."
            )
        self.config, self.rng = config, rng
        init = Stream([int(rng.integers(2**31))], "init")
        self.policy = nn.network(spec, config.hidden, spec.num_actions, init)  # (1, N, *O) -> (1, N, A)
        self.value = nn.network(spec, config.hidden, 1, init) if config.baseline else None  # (1, N, *O) -> (1, N, 1)
        self.networks = torch.nn.ModuleList([net for net in (self.policy, self.value) if net is not None])
        self.params = nn.Flat(self.networks)  # all of their parameters as one tensor, (1, P)
        self.adam = Adam(self.params.data, config.learning_rate)
        self.under_way: list[list[OneStep]] = [[] for _ in range(spec.num_envs)]
        self.ended: list[tuple[list[OneStep], bool]] = []  # and whether they terminated

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        logits = self.policy(obs.unsqueeze(0)).squeeze(0)  # (E, A)
        if not explore:
            return logits.argmax(-1)
        below = logits.double().softmax(-1).cumsum(-1)[:, :-1]  # (E, A - 1): chances of the actions up to each
        return (torch.from_numpy(self.rng.random((len(obs), 1))) >= below).sum(-1)

    def observe(self, transition: Transition) -> None:
        obs, action, reward, _, terminated, truncated = transition
        for e, episode in enumerate(self.under_way):
            episode.append((obs[e], action[e], reward[e]))
            if terminated[e] or truncated[e]:
                self.ended.append((episode, bool(terminated[e])))
                self.under_way[e] = []

    def update(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for episode, terminated in self.ended:
            if known := len(episode) if terminated else self.known(episode):
                metrics = self.learn_from(episode, known)
        self.ended = []
        return metrics

    def known(self, episode: list[OneStep]) -> int:
        """How many steps of an episode that a time limit cut have returns that are known well enough.

        What would have followed is not 0, as after a termination, and nobody saw it. Of the return of a step with k
        left a share gamma**k lies there: too much of the last ones, and so these are not learned from.
        """
        gamma, most = self.config.gamma, self.config.unknown
        return sum(gamma**left <= most for left in range(1, len(episode) + 1))

    def learn_from(self, episode: list[OneStep], known: int) -> dict[str, float]:
        """One gradient step from the first ``known`` of T steps; of their mean, so that one step size suits all T."""
        obs, action, reward = (torch.stack(part) for part in zip(*episode, strict=True))  # (T, ...)
        returns, g = [], 0.0
        for r in reversed(reward.tolist()):
            g = r + self.config.gamma * g  # G_t = R_t+1 + gamma G_t+1
            returns.append(g)
        target = torch.tensor(returns[::-1])[:known]  # (known,), as all that follows
        seen = obs[:known].unsqueeze(0)
        log_prob = self.policy(seen).squeeze(0).log_softmax(-1).gather(-1, action[:known].unsqueeze(-1)).squeeze(-1)
        value = torch.zeros(known) if self.value is None else self.value(seen).flatten()
        error = target - value
        loss = (error.square() * 0.5 - error.detach() * log_prob).mean()
        grad = self.params.gradient(loss)  # (1, P)
        grad_norm = clip_norm_(grad, self.config.max_grad_norm)
        self.adam.step(grad)
        self.updates += 1
        squared_error = error.detach().square().mean()
        return {"loss": float(loss.detach()), "error": float(squared_error), "grad_norm": float(grad_norm)}

    def cut(self, where: Tensor) -> None:
        """The rest of these episodes is not known: forget them."""
        for e in where.nonzero().flatten().tolist():
            self.under_way[e] = []

    def state_dict(self) -> dict[str, Any]:
        under_way = [[torch.stack(part) for part in zip(*episode, strict=True)] for episode in self.under_way]
        state = {"networks": self.networks.state_dict(), "adam": self.adam.state_dict(), "under_way": under_way}
        return {**state, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["networks"])
        self.adam.load_state_dict(state["adam"])
        saved = [[part.clone().unbind() for part in episode] for episode in state["under_way"]]
        self.under_way = [list(zip(*parts, strict=True)) for parts in saved]
        self.updates = state["updates"]

    @torch.no_grad()
    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        shown = {"probabilities": self.policy(obs.unsqueeze(0)).squeeze(0).softmax(-1)}  # (E, A)
        return shown if self.value is None else {**shown, "value": self.value(obs.unsqueeze(0)).flatten()}
