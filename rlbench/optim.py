"""Adam on one flat parameter tensor per network: the whole step is a handful of operations, whatever S is."""

import math
from typing import Any

import torch
from torch import Tensor


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

    def step(self, grad: Tensor) -> None:
        """One update with ``grad`` (S, P)."""
        self.steps += 1
        beta1, beta2 = self.betas
        self.first.lerp_(grad, 1 - beta1)
        self.second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        correction1 = 1 - beta1**self.steps
        correction2 = math.sqrt(1 - beta2**self.steps)
        denominator = self.second.sqrt().div_(correction2).add_(self.epsilon)
        self.params.addcdiv_(self.first, denominator, value=-self.learning_rate / correction1)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])
