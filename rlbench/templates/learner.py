"""MyLearner: a policy gradient for one learner, without the axis of the seeds. rlbench runs one of these for each seed.

REINFORCE (Williams 1992, doi:10.1007/BF00992696) with a learned value as baseline: when an episode is over, each of its
actions becomes likelier by as much as the return that followed was better than expected.

    rlbench train --env CartPole-v1 --agent my_learner.py:MyLearner
"""

from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rlbench import nn
from rlbench.agent import AgentConfig
from rlbench.errors import UsageError
from rlbench.learner import Learner
from rlbench.optim import Adam
from rlbench.rng import Stream
from rlbench.types import Spec, Transition


class MyLearnerConfig(AgentConfig):
    """Hyper-parameters: `--set MyLearner.gamma=0.98` changes one."""

    hidden: tuple[int, ...] = Field((64,), description="widths of the hidden layers, of policy and value each")
    learning_rate: float = Field(3e-3, gt=0, description="Adam's step size")
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")


class MyLearner(Learner):
    """One policy, which learns when an episode ends. E environments run side by side: shapes begin with E."""

    Config = MyLearnerConfig

    def __init__(self, spec: Spec, config: MyLearnerConfig, rng: np.random.Generator) -> None:
        if spec.num_actions is None:  # one line for whoever asks for what cannot be
            raise UsageError("it chooses one of several actions, and those of this environment are of another kind.")
        self.config, self.rng = config, rng  # draw from rng alone: its state is saved for you
        # First weights are drawn from a stream of a seed's own. Layers of torch.nn have none: make them in the context
        # `rlbench.rng.seeded_torch(rng)`, and so draw from torch.distributions.
        init = Stream([int(rng.integers(2**31))], "init")
        # Networks of rlbench hold several seeds along a first axis; a learner is one seed: (1, N, *O) -> (1, N, A).
        self.policy = nn.network(spec, config.hidden, spec.num_actions, init)
        self.value = nn.network(spec, config.hidden, 1, init)
        self.networks = torch.nn.ModuleDict({"policy": self.policy, "value": self.value})
        self.params = nn.Flat(self.networks)  # all of their parameters as one tensor, (1, P)
        self.adam = Adam(self.params.data, config.learning_rate)
        self.under_way: list[list[tuple[Tensor, ...]]] = [[] for _ in range(spec.num_envs)]  # (obs, action, reward)
        self.ended: list[tuple[list[tuple[Tensor, ...]], bool]] = []  # episodes to learn from; whether they terminated

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:  # (E, *O) -> (E,)
        logits = self.policy(obs.unsqueeze(0)).squeeze(0)  # (E, A)
        if not explore:  # the best that is known; nothing may be drawn here
            return logits.argmax(-1)
        below = logits.double().softmax(-1).cumsum(-1)[:, :-1]  # (E, A - 1): chances of the actions up to each
        return (torch.from_numpy(self.rng.random((len(obs), 1))) >= below).sum(-1)

    def observe(self, transition: Transition) -> None:  # what came of the last act; each leaf is (E, ...)
        obs, action, reward, _, terminated, truncated = transition
        for e, episode in enumerate(self.under_way):
            episode.append((obs[e], action[e], reward[e]))
            if terminated[e] or truncated[e]:
                self.ended.append((episode, bool(terminated[e])))
                self.under_way[e] = []

    def update(self) -> dict[str, float]:  # after every step; {} where nothing is due
        metrics: dict[str, float] = {}
        for episode, terminated in self.ended:
            # A time limit is no end: nobody saw the rest of these returns. Learn from the steps before which enough of
            # the return is known: of one that is k steps before the cut, a share gamma**k lies beyond.
            left = range(len(episode), 0, -1)
            known = len(episode) if terminated else sum(self.config.gamma**k <= 0.1 for k in left)
            metrics = self.learn_from(episode, known) if known else metrics
        self.ended = []
        return metrics

    def learn_from(self, episode: list[tuple[Tensor, ...]], known: int) -> dict[str, float]:
        obs, action, reward = (torch.stack(part) for part in zip(*episode, strict=True))  # (T, ...)
        returns = torch.zeros(len(episode) + 1)
        for t in reversed(range(len(episode))):
            returns[t] = reward[t] + self.config.gamma * returns[t + 1]  # G_t = R_t+1 + gamma G_t+1
        seen, action = obs[:known].unsqueeze(0), action[:known].unsqueeze(-1)
        log_prob = self.policy(seen).squeeze(0).log_softmax(-1).gather(-1, action).squeeze(-1)  # (known,)
        better = returns[:known] - self.value(seen).flatten()  # than expected
        loss = (0.5 * better.square() - better.detach() * log_prob).mean()
        self.adam.step(self.params.gradient(loss))
        self.updates += 1  # an agent counts them itself
        return {"loss": float(loss.detach())}  # goes to updates.csv and TensorBoard

    def cut(self, where: Tensor) -> None:  # a resumed run could not go on with these episodes
        for e in where.nonzero().flatten().tolist():
            self.under_way[e] = []

    # All that shapes what comes next, so that a run that was stopped goes on as if it had not been: the episodes under
    # way too.

    def state_dict(self) -> dict[str, Any]:
        under_way = [[torch.stack(part) for part in zip(*episode, strict=True)] for episode in self.under_way]
        networks, adam = self.networks.state_dict(), self.adam.state_dict()
        return {"networks": networks, "adam": adam, "under_way": under_way, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["networks"])
        self.adam.load_state_dict(state["adam"])
        saved = [[part.clone().unbind() for part in episode] for episode in state["under_way"]]
        self.under_way = [list(zip(*parts, strict=True)) for parts in saved]
        self.updates = state["updates"]

    @torch.no_grad()
    def explain(self, obs: Tensor) -> dict[str, Tensor]:  # what `rlbench play` and `rlbench inspect` show
        chances = self.policy(obs.unsqueeze(0)).squeeze(0).softmax(-1)  # (E, A)
        return {"probabilities": chances, "value": self.value(obs.unsqueeze(0)).flatten()}
