"""The parameters of a stacked module as one flat tensor: an optimiser step or a soft update is then one operation."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

ALIGN = 64  # floats


class Flat:
    """The parameters of a stacked module as one (S, P) tensor, of which the module's own become views.

    Each parameter starts at a multiple of 64 floats and P is one too: no operation over the whole tensor then ends in
    a remainder, whose rounding could differ with S.

    Args:
        module: every parameter has the leading S axis.

    Attributes:
        names: of the parameters, as ``module.named_parameters()`` has them.
        data: (S, P) float32. Write to it in place only.
        grad: (S, P), zero where no parameter lies; yours to fill.
        grads: views into ``grad``, one for each parameter and of its shape.
    """

    def __init__(self, module: nn.Module) -> None:
        named = dict(module.named_parameters())
        self.names, self.params = list(named), list(named.values())
        first = self.params[0]
        width = sum(-(-p[0].numel() // ALIGN) * ALIGN for p in self.params)
        self.data = torch.zeros(first.shape[0], width, device=first.device)
        self.grad = torch.zeros_like(self.data)
        self.grads = list(_views(self.params, self.grad))
        for param, view in zip(self.params, _views(self.params, self.data), strict=True):
            view.copy_(param.detach())
            param.data = view

    def columns(self, value: Callable[[str, nn.Parameter], float]) -> Tensor:
        """(P,) float32: for each column what ``value`` says of the parameter there, by its name and by itself.

        Step sizes and weight decay of groups of parameters, for `rlbench.optim`: ``columns(lambda name, p: 0.1 if
        name.startswith("value.") else 1.0)``. Where no parameter lies it is 0.
        """
        flat = torch.zeros(1, self.data.shape[1], device=self.data.device)
        for name, param, view in zip(self.names, self.params, _views(self.params, flat), strict=True):
            view.fill_(value(name, param))
        return flat[0]

    def gradient(self, loss: Tensor) -> Tensor:
        """(S, P) gradient of the scalar ``loss``, by autograd. Sum it over seeds: then each row is that seed's own."""
        for into, grad in zip(self.grads, torch.autograd.grad(loss, self.params), strict=True):
            into.copy_(grad)
        return self.grad.clone()


def _views(params: list[nn.Parameter], flat: Tensor) -> Iterator[Tensor]:
    """``flat`` (S, P) cut into what belongs to each parameter, in its shape but for S."""
    at = 0
    for param in params:
        size = param[0].numel()
        yield flat[:, at : at + size].view(-1, *param.shape[1:])
        at += -(-size // ALIGN) * ALIGN
