"""The parameters of a stacked module as one flat tensor: an optimiser step or a soft update is then one operation."""

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

ALIGN = 64  # floats
AnyModule = TypeVar("AnyModule", bound=nn.Module)


class Flat:
    """The parameters of a stacked module as one (S, P) tensor, of which the module's own become views.

    Each parameter starts at a multiple of 64 floats and P is one too: no operation over the whole tensor then ends in
    a remainder, whose rounding could differ with S.

    Args:
        module: every parameter has the leading S axis.
        data: (S, P) memory to lie in, where it is not to be new.

    Attributes:
        data: (S, P) float32. Write to it in place only.
        grad: (S, P), zero where no parameter lies; yours to fill.
        grads: views into ``grad``, one for each parameter and of its shape.
    """

    def __init__(self, module: nn.Module, data: Tensor | None = None) -> None:
        self.params = list(module.parameters())
        first = self.params[0]
        width = sum(-(-p[0].numel() // ALIGN) * ALIGN for p in self.params)
        self.data = torch.zeros(first.shape[0], width, device=first.device) if data is None else data
        self.grad = torch.zeros_like(self.data)
        self.grads = list(_views(self.params, self.grad))
        for param, view in zip(self.params, _views(self.params, self.data), strict=True):
            view.copy_(param.detach())
            param.data = view

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


def twins(online: AnyModule) -> tuple[AnyModule, AnyModule, Flat, Flat]:
    """A copy of ``online`` to serve as its target, and both as one module, since one pass costs less than two.

    Args:
        online: of S seeds; its parameters become views of the flat tensor.

    Returns:
        The target, of S seeds; both, of 2 S, the online ones first; and online and target as `Flat`.
    """
    target, both = copy.deepcopy(online), copy.deepcopy(online)
    flat = Flat(online)
    data = flat.data.repeat(2, 1)
    seeds = len(flat.data)
    for param, view in zip(both.parameters(), _views(list(both.parameters()), data), strict=True):
        param.data = view
    return target, both, Flat(online, data[:seeds]), Flat(target, data[seeds:])
