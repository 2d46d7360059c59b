"""Operations that torch has under names it does not promise to keep, each with the same in public operations beside it.

The private ones are one pass over memory where the public ones are several; those that write to what they are given are
named by their overload, for looking it up costs more than a small operation. Where torch no longer has one, the public
ones take its place: the same to rounding, not to the bit.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def adam_step(
    params: Tensor,
    grad: Tensor,
    first: Tensor,
    second: Tensor,
    count: Tensor,
    *,
    learning_rate: float | Tensor,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """One step of Adam in place; all of one shape, but ``count``, the number of this step as a tensor of no axis.

    The step size may be such a tensor as well, on a card.
    """
    beta1, beta2 = betas
    fused: Callable[..., Any] = torch._fused_adam_
    fused(
        [params],
        [grad],
        [first],
        [second],
        [],
        [count],
        lr=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=epsilon,
        weight_decay=0.0,
        amsgrad=False,
        maximize=False,
    )


def adam_step_in_parts(
    params: Tensor,
    grad: Tensor,
    first: Tensor,
    second: Tensor,
    count: Tensor,
    *,
    learning_rate: float | Tensor,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """`adam_step`, as algorithm 1 of Kingma & Ba 2015 has it, with the epsilon outside the corrected root."""
    steps, rate, (beta1, beta2) = float(count), float(learning_rate), betas
    first.lerp_(grad, 1 - beta1)
    second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = second.sqrt().div_((1 - beta2**steps) ** 0.5).add_(epsilon)
    params.addcdiv_(first, root, value=-rate / (1 - beta1**steps))


def adam_step_to_compile(
    params: Tensor,
    grad: Tensor,
    first: Tensor,
    second: Tensor,
    count: Tensor,
    *,
    learning_rate: float | Tensor,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """`adam_step` in operations that a compiler makes one of, none of which asks for a number."""
    beta1, beta2 = betas
    first.lerp_(grad, 1 - beta1)
    second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = second.sqrt() / (1 - beta2**count).sqrt() + epsilon
    params.sub_(learning_rate / (1 - beta1**count) * first / root)


def relu_back(grad: Tensor, y: Tensor) -> Tensor:
    """The gradient below a ReLU that gave ``y``; any shape."""
    below: Tensor = torch.ops.aten.threshold_backward(grad, y, 0)
    return below


def relu_back_in_parts(grad: Tensor, y: Tensor) -> Tensor:
    """`relu_back`: what is negative zero there may be positive here."""
    return torch.where(y > 0, grad, 0.0)


def relu_back_over(grad: Tensor, y: Tensor) -> Tensor:
    """`relu_back`, written to ``grad``."""
    below: Tensor = torch.ops.aten.threshold_backward.grad_input(grad, y, 0, grad_input=grad)
    return below


def relu_back_over_in_parts(grad: Tensor, y: Tensor) -> Tensor:
    """`relu_back_over`."""
    return grad.masked_fill_(y <= 0, 0.0)


def tanh_back(grad: Tensor, y: Tensor) -> Tensor:
    """The gradient below a hyperbolic tangent that gave ``y``; any shape."""
    below: Tensor = torch.ops.aten.tanh_backward(grad, y)
    return below


def tanh_back_in_parts(grad: Tensor, y: Tensor) -> Tensor:
    """`tanh_back`."""
    return grad * (1 - y * y)


def tanh_back_over(grad: Tensor, y: Tensor) -> Tensor:
    """`tanh_back`, written to ``grad``."""
    below: Tensor = torch.ops.aten.tanh_backward.grad_input(grad, y, grad_input=grad)
    return below


def tanh_back_over_in_parts(grad: Tensor, y: Tensor) -> Tensor:
    """`tanh_back_over`."""
    return grad.mul_(1 - y * y)


def log_softmax_back(grad: Tensor, y: Tensor) -> Tensor:
    """The gradient below a log-softmax over the last axis that gave ``y``; any shape."""
    below: Tensor = torch.ops.aten._log_softmax_backward_data(grad, y, -1, y.dtype)
    return below


def log_softmax_back_in_parts(grad: Tensor, y: Tensor) -> Tensor:
    """`log_softmax_back`."""
    return grad - y.exp() * grad.sum(-1, keepdim=True)


def layer_norm(x: Tensor, epsilon: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    """``x`` normalised over its last axis, the mean, and one over the deviation, both with a last axis of 1."""
    normed, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], None, None, epsilon)
    return normed, mean, rstd


def layer_norm_in_parts(x: Tensor, epsilon: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    """`layer_norm`."""
    mean = x.mean(-1, keepdim=True)
    rstd = (x - mean).square().mean(-1, keepdim=True).add(epsilon).rsqrt()
    return torch.layer_norm(x, x.shape[-1:], eps=epsilon), mean, rstd


def layer_norm_back(grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """The gradient below `layer_norm`, of the gradient at the normalised numbers."""
    below: Tensor = torch.ops.aten.native_layer_norm_backward(
        grad, x, x.shape[-1:], mean, rstd, None, None, (True, False, False)
    )[0]
    return below


def layer_norm_back_in_parts(grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """`layer_norm_back` (Ba et al. 2016, arXiv:1607.06450, section 3, differentiated)."""
    normed = (x - mean) * rstd
    along = (grad * normed).mean(-1, keepdim=True)
    return rstd * (grad - grad.mean(-1, keepdim=True) - normed * along)


def _has(name: str) -> bool:
    """Whether torch has something of this dotted name."""
    place: Any = torch
    for part in name.split("."):
        place = getattr(place, part, None)  # torch.ops.aten raises AttributeError for what it lacks
    return place is not None


if not _has("_fused_adam_"):
    adam_step = adam_step_in_parts
if not _has("ops.aten.threshold_backward.grad_input"):
    relu_back, relu_back_over = relu_back_in_parts, relu_back_over_in_parts
if not _has("ops.aten.tanh_backward.grad_input"):
    tanh_back, tanh_back_over = tanh_back_in_parts, tanh_back_over_in_parts
if not _has("ops.aten._log_softmax_backward_data"):
    log_softmax_back = log_softmax_back_in_parts
if not (_has("native_layer_norm") and _has("ops.aten.native_layer_norm_backward")):
    layer_norm, layer_norm_back = layer_norm_in_parts, layer_norm_back_in_parts
