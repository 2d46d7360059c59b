"""The parameters of a stacked module as one flat tensor: an optimiser step or a soft update is then one operation."""

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
        data: (S, P) float32. Write to it in place only.
        grad: (S, P), zero where no parameter lies; yours to fill.
        grads: views into ``grad``, one for each parameter and of its shape.
    """

    def __init__(self, module: nn.Module) -> None:
        self.params = list(module.parameters())
        first = self.params[0]
        sizes = [p[0].numel() for p in self.params]
        widths = [-(-size // ALIGN) * ALIGN for size in sizes]
        self.data = torch.zeros(first.shape[0], sum(widths), device=first.device)
        self.grad = torch.zeros_like(self.data)
        self.grads: list[Tensor] = []
        at = 0
        for param, size, width in zip(self.params, sizes, widths, strict=True):
            view = self.data[:, at : at + size].view(param.shape)
            view.copy_(param.detach())
            param.data = view
            self.grads.append(self.grad[:, at : at + size].view(param.shape))
            at += width

    def gradient(self, loss: Tensor) -> Tensor:
        """(S, P) gradient of the scalar ``loss``, by autograd. Sum it over seeds: then each row is that seed's own."""
        for into, grad in zip(self.grads, torch.autograd.grad(loss, self.params), strict=True):
            into.copy_(grad)
        return self.grad.clone()
