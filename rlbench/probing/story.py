"""Made-up steps that an agent is let observe, with an id in every field: what comes back of them says whose it was."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..acting import choose
from ..types import Transition
from .trial import Trial


class Put(NamedTuple):
    """One step of one env, as it was put in."""

    action: Tensor
    reward: float
    next_id: int
    terminated: bool
    truncated: bool


class Story:
    """Steps with an id in every field: what is seen says whose it is, and when it was; so does the reward.

    Args:
        trial: whose agent observes them.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial, self.spec, self.t = trial, trial.spec, 0
        self.put: dict[int, Put] = {}
        self._chance = torch.Generator().manual_seed(3)

    def ids(self, t: int) -> Tensor:
        """(S, E) int64."""
        seeds, envs = torch.arange(self.spec.num_seeds), torch.arange(self.spec.num_envs)
        return seeds[:, None] * 100_000 + envs * 10_000 + t + 1

    def shown(self, ids: Tensor) -> Tensor:
        """What is seen, (S, E, *O), of ids."""
        obs = torch.zeros(*ids.shape, *self.spec.obs_shape, dtype=self.spec.obs_dtype)
        flat = obs.view(*ids.shape, -1)
        if self.spec.obs_dtype == torch.uint8:
            for i in range(3):
                flat[..., i] = (ids // 256**i % 256).to(torch.uint8)
        else:
            flat[..., 0] = ids.float()
        return obs

    def read(self, obs: Tensor) -> list[list[int]]:
        """The ids of what is seen, (S, B, *O)."""
        flat = obs.reshape(*obs.shape[:2], -1)
        if obs.dtype == torch.uint8:
            return sum(flat[..., i].long() * 256**i for i in range(3)).tolist()
        return flat[..., 0].round().long().tolist()

    def tell(self, steps: int) -> None:
        """Let the agent observe so many steps more; it does not learn."""
        spec, agent = self.spec, self.trial.agent
        for _ in range(steps):
            ids = self.ids(self.t)
            obs = self.shown(ids)
            if not self.t:
                agent.begin(torch.ones(ids.shape, dtype=torch.bool), explore=True)
            extras = self.trial.extras(obs)
            action, said = choose(agent, obs, extras, explore=True)
            chance = torch.rand(ids.shape, generator=self._chance)
            terminated, truncated = chance < 0.15, (chance >= 0.15) & (chance < 0.3)
            next_ids = torch.where(terminated | truncated, ids + 5_000, ids + 1)
            step = Transition(
                obs, action, ids / 4, self.shown(next_ids), terminated, truncated,
                extras={**extras, **said}, next_extras=extras,
            )  # fmt: skip
            agent.observe(step)
            flags = zip(ids.flatten().tolist(), next_ids.flatten().tolist(), strict=True)
            for i, (one, following) in enumerate(flags):
                s, e = divmod(i, spec.num_envs)
                how = bool(terminated[s, e]), bool(truncated[s, e])
                self.put[one] = Put(action[s, e].clone(), one / 4, following, *how)
            if (over := terminated | truncated).any():
                agent.begin(over, explore=True)
            self.t += 1

    def window(self, first: int, n: int, gamma: float) -> tuple[float, float, int]:
        """Reward, discount and next id of an n-step window that begins with ``first``."""
        total, at = 0.0, first
        for k in range(n):
            step = self.put[at]
            total += gamma**k * step.reward
            last = step.terminated or step.truncated or k == n - 1 or step.next_id not in self.put
            if last:
                return total, gamma ** (k + 1) * (not step.terminated), step.next_id
            at = step.next_id
        raise AssertionError("unreachable")
