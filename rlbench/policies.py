"""What the numbers of a policy's network mean in a space of actions: which distribution, and what is done of a draw."""

import math

import torch
from torch import Tensor

from .distributions import Categorical, DiagonalNormal, MultiCategorical
from .types import Spec

Policy = Categorical | MultiCategorical | DiagonalNormal


class PolicyForm:
    """The form of policies in the space of actions that a spec describes.

    Of continuous actions a draw of -1 is the lower bound and 1 the upper, and what lies beyond is done as the bound.
    Where an action has a bound on one side, or none, it is what was drawn.

    Args:
        spec: the actions.

    Attributes:
        numbers: how many a network gives: a logit for each choice, all choices side by side, or a mean for each number.
        chosen: whether actions are choices, and not continuous.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.chosen = spec.action_dtype == torch.int64
        self.numbers: int = spec.num_actions or sum(spec.action_sizes or ()) or math.prod(spec.action_shape)
        self._middle, self._reach = _units(spec)

    def policy(self, numbers: Tensor, legal: Tensor | None = None, log_std: Tensor | None = None) -> Policy:
        """What a network gave, as chances.

        Args:
            numbers: (S, N, numbers).
            legal: (S, N, numbers) bool, of choices: which may be made; None: all.
            log_std: of continuous actions, for `rlbench.distributions.DiagonalNormal`.
        """
        if self.spec.num_actions is not None:
            return Categorical(numbers, legal)
        if self.spec.action_sizes is not None:
            return MultiCategorical(numbers, self.spec.action_sizes, legal)
        assert log_std is not None
        return DiagonalNormal(numbers.view(*numbers.shape[:2], *self.spec.action_shape), log_std)

    def action(self, drawn: Tensor) -> Tensor:
        """What is done of a draw, (S, N, *action_shape)."""
        if self.chosen:
            return drawn
        return (self._middle + drawn * self._reach).clamp(self.spec.action_low, self.spec.action_high)

    def shown(self, policy: Policy) -> dict[str, Tensor]:
        """A policy as `Agent.explain` gives it, in units of the actions."""
        if isinstance(policy, Categorical):
            return {"probabilities": policy.probabilities}
        if isinstance(policy, MultiCategorical):
            return {}
        lead = policy.mean.shape[:2]
        mean, std = self._middle + policy.mean * self._reach, policy.log_std.exp() * self._reach
        return {"mean": mean.reshape(*lead, -1), "std": std.reshape(*lead, -1)}


def _units(spec: Spec) -> tuple[Tensor | float, Tensor | float]:
    """What a draw of 0 is as a continuous action, and how far 1 is from there."""
    if spec.action_low is None or spec.action_high is None:
        return 0.0, 1.0
    low, high = spec.action_low.double(), spec.action_high.double()  # float32 may not hold the width
    bounded = low.isfinite() & high.isfinite()
    middle, reach = torch.where(bounded, (low + high) / 2, 0.0), torch.where(bounded, (high - low) / 2, 1.0)
    return middle.float(), reach.float()
