"""Adam and RAdam on one flat parameter tensor per network: a step is a handful of operations, whatever S is."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from .cuda.graphs import compiling
from .nn import kernels
from .nn.flat import ALIGN


class _Moments(ABC):
    """Two running moments of the gradient, weight decay, and rates of each column's own: what optimisers here share.

    Every row of ``params`` is a learner of its own: nothing is shared between rows but the step count. Operations are
    element by element, so a row's result does not depend on how many rows there are.

    Args:
        params: (S, P) float32, updated in place: `rlbench.nn.Flat.data`.
        learning_rate: step size; may be reassigned between steps.
        betas: decay rates of the first and second moment.
        epsilon: added to the root of the second moment.
        weight_decay: the share of the weights that a step of size 1 takes off them, apart from what the gradient does
            (Loshchilov & Hutter 2019, arXiv:1711.05101: AdamW). One number, or (P,) with one for each column.
        rates: (P,), the share of ``learning_rate`` by which each column moves, weight decay included; 0: not at all.
            None: every one by all of it. `rlbench.nn.Flat.columns` makes such a tensor.
    """

    def __init__(
        self,
        params: Tensor,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        *,
        weight_decay: float | Tensor = 0.0,
        rates: Tensor | None = None,
    ) -> None:
        self.params = params
        self.learning_rate = learning_rate
        self.betas = betas
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.rates = rates
        self.steps = 0
        self.first = torch.zeros_like(params)
        self.second = torch.zeros_like(params)
        self._decays = isinstance(weight_decay, Tensor) or weight_decay != 0
        # On a card the step size lies there, too: a graph of `apply` takes what it finds there, not what it was. So
        # does what is compiled.
        there = params.is_cuda or compiling()
        self._rate = torch.zeros((), device=params.device) if there else None
        self._numbers = [torch.zeros((), device=params.device) for _ in range(2)]  # likewise, what `_count` finds

    def step(self, grad: Tensor) -> None:
        """One update with ``grad`` (S, P)."""
        self.advance()
        self.apply(grad)

    def advance(self) -> None:
        """Count a step. The half of `step` that is the host's."""
        self.steps += 1
        if self._rate is not None:
            self._rate.fill_(self.learning_rate)
        self._count()

    def apply(self, grad: Tensor) -> None:
        """The other half of `step`: operations on tensors alone, the same ones every time."""
        rate = self.learning_rate if self._rate is None else self._rate
        before = self.params if self.rates is None else self.params.clone()
        if self._decays:
            self.params.mul_(1 - rate * self.weight_decay)
        self._move(grad, rate)
        if self.rates is not None:  # the whole step is as long as the step size says: a share of it is that share's
            torch.lerp(before, self.params, self.rates, out=self.params)

    @abstractmethod
    def _count(self) -> None:
        """Prepare what depends on the number of this step."""

    @abstractmethod
    def _move(self, grad: Tensor, rate: float | Tensor) -> None:
        """Bring the moments and the weights up to date."""

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])


class Adam(_Moments):
    """Adam (Kingma & Ba 2015, algorithm 1, arXiv:1412.6980), in the form `torch.optim.Adam` computes.

    With ``weight_decay`` it is AdamW.
    """

    def _count(self) -> None:
        self._numbers[0].fill_(self.steps)  # the step count, as the fused kernel wants it

    def _move(self, grad: Tensor, rate: float | Tensor) -> None:
        # One pass over memory, a quarter of the time of the same in single operations. But what is left after the last
        # whole vector is rounded otherwise, and where that lies depends on S if P is no multiple of a vector's length.
        whole = self.params.is_cuda or self.params.shape[1] % ALIGN == 0
        step = kernels.adam_step if whole else kernels.adam_step_in_parts
        if torch.compiler.is_compiling():
            step = kernels.adam_step_to_compile
        step(
            self.params,
            grad,
            self.first,
            self.second,
            self._numbers[0],
            learning_rate=rate,
            betas=self.betas,
            epsilon=self.epsilon,
        )


class RAdam(_Moments):
    """Rectified Adam (Liu et al. 2020, algorithm 2, arXiv:1908.03265), in the form `torch.optim.RAdam` computes.

    While the second moment rests on too few gradients to be relied on, the step is that of the first moment alone.
    Weight decay is taken off apart from it, as with AdamW.
    """

    def _count(self) -> None:
        (beta1, beta2), t = self.betas, self.steps
        unbiased, longest = 1 - beta1**t, 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / (1 - beta2**t)  # of the simple average that the second moment amounts to
        adaptive = 0.0
        if length > 5:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            adaptive = (rectified * (1 - beta2**t)) ** 0.5 / unbiased
        self._numbers[0].fill_(adaptive)
        self._numbers[1].fill_(0.0 if adaptive else 1 / unbiased)

    def _move(self, grad: Tensor, rate: float | Tensor) -> None:
        beta1, beta2 = self.betas
        self.first.lerp_(grad, 1 - beta1)
        self.second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        adaptive, plain = self._numbers
        by = torch.div(adaptive, self.second.sqrt().add_(self.epsilon)).add_(plain)  # (S, P)
        self.params.sub_(by.mul_(self.first).mul_(rate))
