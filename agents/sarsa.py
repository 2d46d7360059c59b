"""Sarsa: the value of the policy that is followed, exploration and all.

Rummery & Niranjan 1994, CUED/F-INFENG/TR 166; Sutton & Barto 2018, section 6.4. Written for one learner, without the
axis of the seeds: rlbench runs one of these for each seed. Table, exploration and hyper-parameters are `tabular`'s.
"""

from typing import Any

import numpy as np
import torch
from rlbench.agents.tabular import Tabular, TabularConfig
from torch import Tensor

from rlbench.types import NO_EXTRAS, Extras, Spec

NONE = -1  # in place of an action: none was chosen yet


class SarsaConfig(TabularConfig):
    """Hyper-parameters of `Sarsa`: those of every agent with a table."""


class Sarsa(Tabular):
    """One Sarsa learner. See `rlbench.learner.Learner` for the methods.

    Attributes:
        chosen: the action that each env takes next, E of them: what was learned from is what is done. `NONE` where an
            episode begins.
    """

    Config = SarsaConfig

    def __init__(self, spec: Spec, config: SarsaConfig, rng: np.random.Generator) -> None:
        super().__init__(spec, config, rng)
        self.chosen = [NONE] * spec.num_envs

    def begin(self, started: Tensor, *, explore: bool) -> None:
        if explore:
            for e in started.nonzero().flatten().tolist():
                self.chosen[e] = NONE

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        each = zip(obs.tolist(), self.legal(extras, len(obs)), strict=True)
        if not explore:
            return torch.tensor([self.greedy(s, legal) for s, legal in each])
        return torch.tensor(
            [a if a != NONE else self.epsilon_greedy(*now) for a, now in zip(self.chosen, each, strict=True)]
        )

    def update(self) -> dict[str, float]:
        """Choose A' at S', then Q(S, A) <- Q(S, A) + alpha [R + gamma Q(S', A') - Q(S, A)], of one env after the other.

        Nothing follows a termination. A time limit is none: S' is where the episode was cut, and the value there of
        what would have been done counts, though it is not done.
        """
        q, alpha, gamma = self.q, self.alpha, self.config.gamma
        errors = []
        for e, (s, a, r, s_next, terminated, truncated, legal) in enumerate(self.steps()):
            a_next = NONE if terminated else self.epsilon_greedy(s_next, legal)
            future = 0.0 if terminated else q[s_next, a_next]
            td_error = r + gamma * future - q[s, a]
            q[s, a] += alpha * td_error
            errors.append(abs(td_error))
            self.chosen[e] = NONE if truncated else a_next
            self.updates += 1
        return {"td_error": sum(errors) / len(errors)}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "chosen": torch.tensor(self.chosen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.chosen = state["chosen"].tolist()
