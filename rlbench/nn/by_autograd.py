"""The way back through layers and networks that nobody differentiated by hand: autograd finds it.

`Layer` falls back to it layer by layer, `vjp` network by network, so that an agent which learns without autograd's
bookkeeping learns with any stacked module. It works under `torch.no_grad` and `torch.inference_mode`, and with
parameters that need no gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

PullAll = Callable[[Tensor, Sequence[Tensor]], None]


def vjp(module: nn.Module, x: Tensor) -> tuple[Tensor, PullAll]:
    """The output of a stacked module for ``x``, and the way back from there to its parameters.

    Where the module has a ``vjp`` of its own, as `rlbench.nn.Network` has, it is that; elsewhere autograd's.

    Args:
        module: every parameter has the leading S axis, and row s of the output depends on row s of them alone.
        x: (S, N, ...).

    Returns:
        The output, and a function of the gradient there and of one tensor for each parameter, into which it writes
        that parameter's gradient: `Flat.grads`. Call it once.
    """
    own: Callable[[Tensor], tuple[Tensor, PullAll]] | None = getattr(module, "vjp", None)
    if own is not None:
        return own(x)
    y, kept = keep(module, x)

    def pull_all(grad: Tensor, into: Sequence[Tensor]) -> None:
        pull(module, kept, grad, into, wanted=False)

    return y, pull_all


def keep(module: nn.Module, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The output of ``module`` for ``x``, and what `pull` needs."""
    with torch.inference_mode(False), torch.enable_grad(), _needed(list(module.parameters())):
        x = x.clone() if x.is_inference() else x.detach()
        if x.is_floating_point():
            x.requires_grad_()
        y = module(x)
    return y.detach(), (x, y)


def pull(
    module: nn.Module, kept: tuple[Tensor, ...], grad: Tensor, into: Sequence[Tensor], wanted: bool
) -> Tensor | None:
    """Write the gradients of the parameters to ``into``; return the one at the input where that is ``wanted``.

    Args:
        module: that of `keep`.
        kept: from `keep`.
        grad: the gradient at the output.
        into: one tensor for each parameter.
        wanted: whether to return the gradient at the input, too.
    """
    x, y = kept
    params = list(module.parameters())
    at: list[Tensor] = [*params, x] if wanted else [*params]
    if not at:
        return None
    with torch.inference_mode(False), _needed(params):
        grad = grad.clone() if grad.is_inference() else grad
        found = torch.autograd.grad(y, at, grad, allow_unused=True, materialize_grads=True)
    for place, value in zip(into, found, strict=False):  # the gradient at the input is left over
        place.copy_(value)
    return found[-1] if wanted else None


@contextmanager
def _needed(params: list[nn.Parameter]) -> Iterator[None]:
    """The parameters of a module need gradients here, whatever they do elsewhere."""
    before = [param.requires_grad for param in params]
    for param in params:
        param.requires_grad_(True)
    try:
        yield
    finally:
        for param, needed in zip(params, before, strict=True):
            param.requires_grad_(needed)
