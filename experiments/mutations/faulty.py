"""Parts with a mistake, for agents whose own parts rule it out: buffers, mostly. Edits import them."""

import numpy as np
import torch
from torch import Tensor

from rlbench import functional
from rlbench.replay import Replay
from rlbench.types import Batch, Transition


class Crossing(Replay):
    """Windows of several steps reach beyond a time limit into the next episode."""

    def add(self, transition: Transition) -> None:
        super().add(transition._replace(truncated=torch.zeros_like(transition.truncated)))


class Lending(Replay):
    """A batch is a part of the buffer's own memory."""

    def sample(self, batch_size: int) -> Batch:
        steps = min(self._filled, max(1, batch_size // self.spec.num_envs))
        first = int(self.stream.host(1)[0, 0] * (self._filled - steps + 1))
        seeds, a = self.spec.num_seeds, self._action_width
        rows = self._rows[:, first : first + steps].reshape(seeds, -1, self._rows.shape[-1])
        index = np.zeros(rows.shape[:2], np.int64)
        discount = self.gamma - self.gamma * rows[..., a + 1]
        return self._batch(rows, rows, index, index, rows[..., a], discount)


class Late(Replay):
    """Takes what is seen next for what an episode ended with: the next one's first observation."""

    _waiting: Transition | None = None

    def add(self, transition: Transition) -> None:
        waiting, self._waiting = self._waiting, transition
        if waiting is not None:
            super().add(waiting._replace(next_obs=transition.obs))


class Mangled(Replay):
    """Rewards lie beside the step after theirs."""

    _reward: Tensor | None = None

    def add(self, transition: Transition) -> None:
        reward, self._reward = self._reward, transition.reward.clone()
        super().add(transition._replace(reward=transition.reward if reward is None else reward))


def unmasked_gae(
    reward: Tensor, value: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, **how: float
) -> Tensor:
    """Advantages that run on into the next episode."""
    td_error = reward + how["gamma"] * next_value.masked_fill(terminated, 0.0) - value
    none = torch.zeros_like(terminated)
    return functional.gae(td_error, torch.zeros_like(value), torch.zeros_like(value), none, none, **how)


def unmasked_return(reward: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, **how: float) -> Tensor:
    """Returns that run on into the next episode."""
    none = torch.zeros_like(terminated)
    return functional.lambda_return(reward, next_value.masked_fill(terminated, 0.0), none, none, **how)
