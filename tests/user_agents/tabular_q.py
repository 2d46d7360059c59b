"""Q-learning with a table, for environments whose observations and actions are numbered.

Watkins & Dayan 1992, doi:10.1007/BF00992698. Written for one learner: rlbench runs one of these per seed.
"""

from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rlbench import AgentConfig, Learner, RlbenchError, Spec, Transition
from rlbench.functional import linear_schedule


class TabularQConfig(AgentConfig):
    learning_rate: float = Field(0.1, gt=0, le=1)
    gamma: float = Field(0.99, ge=0, le=1)
    initial_value: float = Field(0.0, description="of every action; high values have all of them tried")
    epsilon_end: float = Field(0.1, ge=0, le=1, description="share of random actions at last")
    epsilon_steps: int = Field(5_000, ge=0, description="env steps over which it falls from 1 in a straight line")


class TabularQ(Learner):
    """One table of values, (observations, actions)."""

    Config = TabularQConfig

    def __init__(self, spec: Spec, config: TabularQConfig, rng: np.random.Generator) -> None:
        if spec.num_obs is None or spec.num_actions is None:
            raise RlbenchError("TabularQ needs a Discrete observation space and a Discrete action space.")
        self.config, self.rng = config, rng
        self.q = torch.full((spec.num_obs, spec.num_actions), config.initial_value)
        self.env_steps = 0

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        greedy = self.q[obs].argmax(-1)  # (E,)
        if not explore:
            return greedy
        epsilon = linear_schedule(1.0, self.config.epsilon_end, self.config.epsilon_steps, self.env_steps)
        random = torch.from_numpy(self.rng.integers(self.q.shape[1], size=len(obs)))
        return torch.where(torch.from_numpy(self.rng.random(len(obs))) < epsilon, random, greedy)

    def observe(self, transition: Transition) -> None:
        self.newest = transition
        self.env_steps += len(transition.obs)

    def update(self) -> dict[str, float]:
        for obs, action, reward, next_obs, terminated, _ in zip(*self.newest, strict=True):  # one env after the other
            target = reward + self.config.gamma * self.q[next_obs].max() * ~terminated
            error = target - self.q[obs, action]
            self.q[obs, action] += self.config.learning_rate * error
            self.updates += 1
        return {"td_error": float(error)}

    def state_dict(self) -> dict[str, Any]:
        return {"q": self.q, "env_steps": self.env_steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q.copy_(state["q"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
