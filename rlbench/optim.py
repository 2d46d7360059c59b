"""Adam on one flat parameter tensor per network: the whole step is a handful of operations, whatever S is."""

from typing import Any

import torch
from torch import Tensor

from .nn import kernels


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1, arXiv:1412.6980), in the form `torch.optim.Adam` computes.

    Every row of ``params`` is a learner of its own: nothing is shared between rows but the step count. Operations are
    element by element, so a row's result does not depend on how many rows there are.

    Args:
        params: (S, P) float32, updated in place.
        learning_rate: step size; may be reassigned between steps.
        betas: decay rates of the first and second moment.
        epsilon: added to the root of the second moment.
    """

    def __init__(
        self, params: Tensor, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
    ) -> None:
        self.params = params
        self.learning_rate = learning_rate
        self.betas = betas
        self.epsilon = epsilon
        self.steps = 0
        self.first = torch.zeros_like(params)
        self.second = torch.zeros_like(params)
        self._count = torch.zeros((), device=params.device)  # the step count, as the fused kernel wants it
        # On a card the step size lies there, too: a graph of `apply` takes what it finds there, not what it was.
        self._rate = torch.zeros((), device=params.device) if params.is_cuda else None

    def step(self, grad: Tensor) -> None:
        """One update with ``grad`` (S, P)."""
        self.advance()
        self.apply(grad)

    def advance(self) -> None:
        """Count a step. The half of `step` that is the host's."""
        self.steps += 1
        self._count.fill_(self.steps)
        if self._rate is not None:
            self._rate.fill_(self.learning_rate)

    def apply(self, grad: Tensor) -> None:
        """The other half of `step`: operations on tensors alone, the same ones every time."""
        kernels.adam_step(  # one pass over memory: a quarter of the time of the same in single operations
            self.params,
            grad,
            self.first,
            self.second,
            self._count,
            learning_rate=self.learning_rate if self._rate is None else self._rate,
            betas=self.betas,
            epsilon=self.epsilon,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])
