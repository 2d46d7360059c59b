"""Q-learning: the value of the best policy, whatever policy the experience comes from.

Watkins & Dayan 1992, doi:10.1007/BF00992698; Sutton & Barto 2018, section 6.5. Written for one learner, without the
axis of the seeds: rlbench runs one of these for each seed. Table, exploration and hyper-parameters are `tabular`'s.
"""

import torch
from rlbench.agents.tabular import Tabular, TabularConfig
from torch import Tensor

from rlbench.types import NO_EXTRAS, Extras


class QLearningConfig(TabularConfig):
    """Hyper-parameters of `QLearning`: those of every agent with a table."""


class QLearning(Tabular):
    """One Q-learner. See `rlbench.learner.Learner` for the methods."""

    Config = QLearningConfig

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        choose = self.epsilon_greedy if explore else self.greedy
        return torch.tensor([choose(*each) for each in zip(obs.tolist(), self.legal(extras, len(obs)), strict=True)])

    def update(self) -> dict[str, float]:
        """Q(S, A) <- Q(S, A) + alpha [R + gamma max_a Q(S', a) - Q(S, A)], of one env after the other.

        Nothing follows a termination. A time limit is none: S' is where the episode was cut, and its value counts.
        """
        q, alpha, gamma = self.q, self.alpha, self.config.gamma
        errors = []
        for s, a, r, s_next, terminated, _, legal in self.steps():
            future = 0.0 if terminated else q[s_next, self.greedy(s_next, legal)]
            td_error = r + gamma * future - q[s, a]
            q[s, a] += alpha * td_error
            errors.append(abs(td_error))
            self.updates += 1
        return {"td_error": sum(errors) / len(errors)}
