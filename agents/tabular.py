"""What agents with a table of values share: the table, the epsilon-greedy choice from it, and their hyper-parameters.

Sutton & Barto 2018, "Reinforcement Learning: An Introduction", chapter 6. `q_learning` and `sarsa` stand on it. All of
it is for one learner, with numbers and a NumPy array: rlbench runs one of these for every seed.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rlbench.agent import AgentConfig
from rlbench.errors import UsageError
from rlbench.functional import linear_schedule
from rlbench.learner import Learner
from rlbench.types import NO_EXTRAS, Extras, Spec, Transition


class TabularConfig(AgentConfig):
    """Hyper-parameters of agents with a table. Steps are env steps per seed."""

    learning_rate: float = Field(0.1, gt=0, le=1, description="share of the TD error that a value moves by: alpha")
    learning_rate_end: float | None = Field(
        None, ge=0, le=1, description="if set, the share falls to this in a straight line over the whole run"
    )
    gamma: float = Field(0.99, ge=0, le=1, description="discount per step")
    initial_value: float = Field(
        0.0, description="every value at first; above what can be reached, all actions are tried (section 2.6)"
    )
    epsilon_start: float = Field(1.0, ge=0, le=1, description="share of random actions at first")
    epsilon_end: float = Field(0.1, ge=0, le=1, description="share of random actions at last")
    epsilon_steps: int = Field(10_000, ge=0, description="steps over which epsilon falls in a straight line")


class TabularStep(NamedTuple):
    """One step of one env."""

    obs: int
    action: int
    reward: float
    next_obs: int
    terminated: bool  # nothing follows
    truncated: bool  # a time limit cut the episode, whose value goes on
    legal: np.ndarray | None  # (A,) bool, of next_obs


class Tabular(Learner):
    """One learner with a table of action values; what it learns from a step is for `update` to say.

    Attributes:
        q: (observations, A) float64, the table.
        newest: what there is to learn from, (E,) each.
    """

    newest: Transition

    Config = TabularConfig
    wants = ("action_mask",)

    def __init__(self, spec: Spec, config: TabularConfig, rng: np.random.Generator) -> None:
        name = type(self).Config.__module__.rpartition(".")[2]
        if spec.num_obs is None or spec.num_actions is None:
            what = "observations" if spec.num_obs is None else "actions"
            raise UsageError(
                f"{name} has a table of values, for numbered observations and actions; the {what} of this environment "
                "are no single number of a Discrete space. Choose another --agent (`rlbench list agents`), such as ppo."
            )
        self.spec, self.config, self.rng = spec, config, rng
        self.q = np.full((spec.num_obs, spec.num_actions), config.initial_value)
        self.masked = "action_mask" in spec.extras
        self.env_steps = 0

    @property
    def alpha(self) -> float:
        """Share of the TD error that a value moves by now."""
        c = self.config
        if c.learning_rate_end is None or not self.spec.total_steps:
            return c.learning_rate
        return linear_schedule(c.learning_rate, c.learning_rate_end, self.spec.total_steps, self.env_steps)

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        c = self.config
        return linear_schedule(c.epsilon_start, c.epsilon_end, c.epsilon_steps, self.env_steps)

    def greedy(self, obs: int, legal: np.ndarray | None = None) -> int:
        """The action of the highest value, of those in ``legal``, (A,) bool; the first one where several have it."""
        q = self.q[obs]  # (A,)
        return int((q if legal is None else np.where(legal, q, -np.inf)).argmax())

    def epsilon_greedy(self, obs: int, legal: np.ndarray | None = None) -> int:
        """Any action, each as likely, in a share `epsilon` of cases, else the greedy one."""
        if self.rng.random() >= self.epsilon:
            return self.greedy(obs, legal)
        actions = range(self.q.shape[1]) if legal is None else legal.nonzero()[0]
        return int(actions[int(self.rng.random() * len(actions))])

    def legal(self, extras: Extras, envs: int) -> Sequence[np.ndarray | None]:
        """What is legal in each of ``envs`` envs, (A,) bool; None where the environment does not say."""
        return list(extras["action_mask"].numpy()) if self.masked else [None] * envs

    def observe(self, transition: Transition) -> None:
        self.newest = transition
        self.env_steps += self.spec.num_envs

    def steps(self) -> Iterator[TabularStep]:
        """The newest step of each env, one env after the other."""
        legal = self.legal(self.newest.next_extras, self.spec.num_envs)
        return map(TabularStep, *(leaf.tolist() for leaf in self.newest), legal)

    def state_dict(self) -> dict[str, Any]:
        return {"q": torch.from_numpy(self.q), "env_steps": self.env_steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q[:] = state["q"].numpy()
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])

    def diagnostics(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "q_values": torch.from_numpy(self.q.copy())}

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        q = torch.from_numpy(self.q[obs.numpy()])  # (E, A) float64
        if self.masked and extras:
            q = q.masked_fill(~extras["action_mask"], -torch.inf)
        return {"q_values": q.float()}
