"""The parameters of a stacked module as one flat tensor: an optimiser step or a soft update is then one operation."""

from collections.abc import Sequence

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
    """

    def __init__(self, module: nn.Module) -> None:
        self.params = list(module.parameters())
        first = self.params[0]
        self._sizes = [p[0].numel() for p in self.params]
        self._widths = [-(-size // ALIGN) * ALIGN for size in self._sizes]
        self.data = torch.zeros(first.shape[0], sum(self._widths), device=first.device)
        self._pads = [
            self.data.new_zeros(first.shape[0], w - n) for n, w in zip(self._sizes, self._widths, strict=True)
        ]
        at = 0
        for param, size, width in zip(self.params, self._sizes, self._widths, strict=True):
            view = self.data[:, at : at + size].view(param.shape)
            view.copy_(param.detach())
            param.data = view
            at += width

    def gradient(self, loss: Tensor) -> Tensor:
        """(S, P) gradient of the scalar ``loss``, by autograd. Sum it over seeds: then each row is that seed's own."""
        return self.pack(torch.autograd.grad(loss, self.params))

    def pack(self, grads: Sequence[Tensor]) -> Tensor:
        """(S, P) from the gradients of each parameter, in their order."""
        pieces = []
        for grad, pad in zip(grads, self._pads, strict=True):
            pieces.append(grad.flatten(1))
            if pad.shape[1]:
                pieces.append(pad)
        return torch.cat(pieces, 1)
