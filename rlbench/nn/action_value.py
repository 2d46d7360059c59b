"""A network of two inputs: what continuous actions are worth, of an observation and of an action."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..rng import Stream
from ..types import Spec
from .networks import Network, Way, mlp, trunk


class ActionValue(nn.Module):
    """Values of actions: (S, N, *O) and (S, N, *action_shape) -> (S, N).

    The action enters beside the vector that a `trunk` makes of the observation; an `mlp` follows. Like a layer, it can
    be differentiated without autograd, by its parameters and by the action.

    Args:
        spec: what is observed, and what an action looks like.
        hidden: widths of the hidden layers.
        init: random numbers for the weights.
        layer_norm: LayerNorm before each activation of the `mlp`.
    """

    def __init__(self, spec: Spec, hidden: Sequence[int], init: Stream, *, layer_norm: bool = False) -> None:
        super().__init__()
        layers, self.features = trunk(spec, init)
        self.trunk = Network(layers)
        self.body = Network(mlp(self.features + math.prod(spec.action_shape), hidden, 1, init, layer_norm=layer_norm))
        self._sees = len(list(self.trunk.parameters()))  # how many of the parameters are the trunk's: the first ones

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        return self.body.forward(_beside(self.trunk.forward(obs), action)).squeeze(-1)

    @property
    def by_hand(self) -> bool:
        """As `Network.by_hand`."""
        return self.trunk.by_hand and self.body.by_hand

    def keep(self, obs: Tensor, action: Tensor) -> tuple[Tensor, tuple[Way, Way]]:
        """The values, and what `pull` and `at_action` need."""
        seen, below = self.trunk.keep(obs)
        value, above = self.body.keep(_beside(seen, action))
        return value.squeeze(-1), (below, above)

    def pull(self, kept: tuple[Way, Way], grad: Tensor, into: Sequence[Tensor]) -> None:
        """Write the gradients of the parameters to ``into``, one tensor each (`Flat.grads`), from the one at the
        values, (S, N)."""
        below, above = kept
        at_input = self.body.pull(above, grad.unsqueeze(-1), into[self._sees :], self._sees > 0)
        if at_input is not None:
            self.trunk.pull(below, at_input[..., : self.features].contiguous(), into[: self._sees], False)

    def at_action(self, kept: tuple[Way, Way], grad: Tensor) -> Tensor:
        """The gradient at the action, (S, N, n) for its n numbers, from the one at the values, (S, N)."""
        return self.body.below(kept[1], grad.unsqueeze(-1))[..., self.features :]


def _beside(seen: Tensor, action: Tensor) -> Tensor:
    return torch.cat([seen, action.reshape(*action.shape[:2], -1)], -1)
