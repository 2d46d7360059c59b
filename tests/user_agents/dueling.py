"""Dueling networks for DQN (Wang et al. 2016, arXiv:1511.06581): a network of one's own in an agent of rlbench's."""

import torch
from rlbench.agents.dqn import DQN
from torch import Tensor

from rlbench import Spec, nn
from rlbench.rng import Stream


class DuelingNetwork(torch.nn.Module):
    """Q = V + A - mean A, on one trunk: stacked layers, and between them whatever torch has."""

    def __init__(self, spec: Spec, hidden: tuple[int, ...], num_actions: int, init: Stream) -> None:
        super().__init__()
        self.trunk = nn.network(spec, hidden[:-1], hidden[-1], init)  # one hidden layer or more
        self.value, self.advantage = nn.Linear(hidden[-1], 1, init), nn.Linear(hidden[-1], num_actions, init)

    def forward(self, obs: Tensor) -> Tensor:  # (S, N, *O) -> (S, N, A)
        features = self.trunk(obs).relu()
        advantage = self.advantage(features)
        return self.value(features) + advantage - advantage.mean(-1, keepdim=True)


class Dueling(DQN):
    def make_network(self, spec: Spec, num_actions: int, init: Stream) -> torch.nn.Module:
        return DuelingNetwork(spec, self.config.hidden, num_actions, init)
