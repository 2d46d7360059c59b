"""Operations of torch that agents are made of, and what takes the place of those that do not keep width.

Width is a property of operations too. Where torch works on several numbers at once and on the last few of a tensor one
by one, and rounds these in another way, what comes out for a seed depends on how many seeds lie before it; a batch
whose size is a multiple of 16 hides that. Which operations these are depends on torch and on the CPU: `strays` finds
out, `rlbench list operations` prints what it found, and a test holds those that are called safe here.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import functional
from .products import affine, product
from .strays import Function


class Operation(NamedTuple):
    """Something that torch computes, as authors write it.

    Attributes:
        name: as it stands in code.
        function: it, of a tensor (S, N, M) that it fills its operands from; it keeps the S axis.
        instead: "" where it is safe, else what is.
        substitute: ``instead`` as a function, equal to ``function`` but for rounding.
    """

    name: str
    function: Function
    instead: str = ""
    substitute: Function | None = None


def _positive(x: Tensor) -> Tensor:
    return x.abs() + 0.1


def _fraction(x: Tensor) -> Tensor:
    """Between -0.9 and 0.9."""
    return torch.tanh(x) * 0.9


def _column(x: Tensor) -> Tensor:
    """(S, M, 1), out of ``x`` (S, N, M)."""
    return x[:, :1].mT * 0.5 + 1


def _matrix(x: Tensor) -> Tensor:
    """(S, M, 2), out of ``x`` (S, N, M)."""
    return torch.cat((_column(x), 1 - _column(x)), 2)


def _variance(x: Tensor) -> Tensor:
    return (x - x.mean(1, keepdim=True)).square().sum(1) / (x.shape[1] - 1)


def _pairs(x: Tensor) -> Tensor:
    """Two rows at least, so that they differ from their mean."""
    return torch.cat((x, x.flip(1) * 0.5 + 1), 1)


def _bce(x: Tensor) -> Tensor:
    return functional.softplus(x) - x * 0.3


def _mish(x: Tensor) -> Tensor:
    return x * torch.tanh(functional.softplus(x))


def _gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _elu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))


def _attention(x: Tensor) -> Tensor:
    weights = torch.softmax(product(x, (x * 0.5).mT) / x.shape[2] ** 0.5, -1)
    return product(weights, x + 1)


def _stepped(make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]) -> Function:
    """Three steps of an optimiser, from weights ``x``."""

    def stepped(x: Tensor) -> Tensor:
        param = torch.nn.Parameter(x.detach().clone())
        optimiser = make([param])
        for i in range(3):
            param.grad = torch.cos(3 * param.detach() + i)
            optimiser.step()
        return x + (param.detach() - x.detach())

    return stepped


OPERATIONS: tuple[Operation, ...] = (
    # Activations, and what distributions are made of.
    Operation("torch.relu(x)", torch.relu),
    Operation("F.leaky_relu(x)", F.leaky_relu),
    Operation("torch.tanh(x)", torch.tanh),
    Operation("F.logsigmoid(x)", F.logsigmoid),
    Operation("F.softsign(x)", F.softsign),
    Operation("F.hardtanh(x)", F.hardtanh),
    Operation("F.hardswish(x)", F.hardswish),
    Operation("F.softmax(x, -1)", lambda x: F.softmax(x, -1)),
    Operation("F.log_softmax(x, -1)", lambda x: F.log_softmax(x, -1)),
    Operation("torch.logsumexp(x, -1)", lambda x: torch.logsumexp(x, -1)),
    Operation("F.layer_norm(x, shape)", lambda x: F.layer_norm(x, x.shape[-1:])),
    Operation("F.normalize(x, dim=-1)", lambda x: F.normalize(x, dim=-1)),
    Operation("F.rms_norm(x, shape)", lambda x: F.rms_norm(x, x.shape[-1:])),
    Operation("F.mse_loss(x, y)", lambda x: F.mse_loss(x, x * 0.5 + 1, reduction="none")),
    Operation("F.smooth_l1_loss(x, y)", lambda x: F.smooth_l1_loss(x, x * 0.5 + 1, reduction="none")),
    Operation(
        "Normal(x, y).log_prob(z)",
        lambda x: torch.distributions.Normal(x, _positive(x)).log_prob(x.detach() * 0.5),
    ),
    # Arithmetic and elementary functions.
    Operation("x * y + z", lambda x: x * (x + 1) + x),
    Operation("x / y", lambda x: x / _positive(x)),
    Operation("torch.addcmul(x, y, z)", lambda x: torch.addcmul(x, x + 1, x)),
    Operation("torch.addcdiv(x, y, z)", lambda x: torch.addcdiv(x, x + 1, _positive(x))),
    Operation("torch.lerp(x, y, 0.3)", lambda x: torch.lerp(x, x * 0.2 + 1, 0.3)),
    Operation("x ** 2, x ** 3", lambda x: x**2 + x**3),
    Operation("torch.exp(x)", torch.exp),
    Operation("torch.expm1(x)", torch.expm1),
    Operation("torch.log(x)", lambda x: torch.log(_positive(x))),
    Operation("torch.log1p(x)", lambda x: torch.log1p(x.abs())),
    Operation("torch.sqrt(x)", lambda x: torch.sqrt(_positive(x))),
    Operation("torch.rsqrt(x)", lambda x: torch.rsqrt(_positive(x))),
    Operation("torch.sin(x), torch.cos(x)", lambda x: torch.sin(x) + torch.cos(x)),
    Operation("torch.erf(x)", torch.erf),
    Operation("torch.erfinv(x)", lambda x: torch.erfinv(_fraction(x))),
    Operation("torch.lgamma(x)", lambda x: torch.lgamma(_positive(x))),
    Operation("torch.clamp(x, -1, 1)", lambda x: torch.clamp(x, -1, 1)),
    Operation("torch.minimum(x, y)", lambda x: torch.minimum(x, x * 0.5 + 1)),
    Operation("torch.where(c, x, y)", lambda x: torch.where(x > 0, x, x * 0.5)),
    # Over an axis.
    Operation("x.sum(1)", lambda x: x.sum(1)),
    Operation("x.sum(-1)", lambda x: x.sum(-1)),
    Operation("x.mean(1)", lambda x: x.mean(1)),
    Operation("x.flatten(1).mean(1)", lambda x: x.flatten(1).mean(1)),
    Operation("x.double().mean(1)", lambda x: x.double().mean(1)),
    Operation("x.amax(-1)", lambda x: x.amax(-1)),
    Operation("x.var(1)", lambda x: _pairs(x).var(1)),
    Operation("torch.var_mean(x, 1, correction=0)", lambda x: torch.add(*torch.var_mean(_pairs(x), 1, correction=0))),
    Operation("x.cumsum(1), x.cumprod(1)", lambda x: x.cumsum(1) + x.cumprod(1)),
    Operation("x.quantile(0.3, 1)", lambda x: x.quantile(0.3, 1)),
    Operation("x.prod(-1)", lambda x: x.prod(-1)),
    Operation("torch.linalg.vector_norm(x, dim=1)", lambda x: torch.linalg.vector_norm(x, dim=1)),
    Operation("x.sort(1), x.argsort(1)", lambda x: x.sort(1).values + x.gather(1, x.argsort(1))),
    Operation("nn.Linear", lambda x: affine(x, _matrix(x), _column(x)[:, :1])),
    Operation("torch.optim.Adam(weights)", _stepped(lambda weights: torch.optim.Adam(weights, 0.01))),
    Operation("torch.optim.RMSprop(weights)", _stepped(lambda weights: torch.optim.RMSprop(weights, 0.01))),
    # Those that fail somewhere, and what takes their place.
    Operation("torch.sigmoid(x)", torch.sigmoid, "functional.sigmoid(x)", functional.sigmoid),
    Operation("F.softplus(x)", F.softplus, "functional.softplus(x)", functional.softplus),
    Operation("F.silu(x)", F.silu, "functional.silu(x)", functional.silu),
    Operation("F.elu(x)", F.elu, "torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))", _elu),
    Operation(
        "F.selu(x)",
        F.selu,
        "1.0507 * torch.where(x > 0, x, 1.67326 * torch.expm1(x.clamp(max=0)))",
        lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * torch.expm1(x.clamp(max=0))),
    ),
    Operation("F.mish(x)", F.mish, "x * torch.tanh(functional.softplus(x))", _mish),
    Operation(
        "F.gelu(x)",
        F.gelu,
        "x * (0.5 + 0.5 * torch.erf(x * 0.5**0.5))",
        lambda x: x * (0.5 + 0.5 * torch.erf(x * 0.5**0.5)),
    ),
    Operation(
        "F.gelu(x, approximate='tanh')",
        lambda x: F.gelu(x, approximate="tanh"),
        "0.5 * x * (1 + torch.tanh(0.797885 * (x + 0.044715 * x * x * x)))",
        _gelu,
    ),
    Operation(
        "F.binary_cross_entropy_with_logits(x, y)",
        lambda x: F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.3), reduction="none"),
        "functional.softplus(x) - x * y",
        _bce,
    ),
    Operation(
        "torch.logaddexp(x, y)",
        lambda x: torch.logaddexp(x, x * 0.3 + 1),
        "torch.maximum(x, y) + functional.softplus(-(x - y).abs())",
        lambda x: torch.maximum(x, x * 0.3 + 1) + functional.softplus(-(x - (x * 0.3 + 1)).abs()),
    ),
    Operation(
        "torch.atanh(x)",
        lambda x: torch.atanh(_fraction(x)),
        "0.5 * (torch.log1p(x) - torch.log1p(-x))",
        lambda x: 0.5 * (torch.log1p(_fraction(x)) - torch.log1p(-_fraction(x))),
    ),
    Operation(
        "x ** 1.5",
        lambda x: _positive(x) ** 1.5,
        "torch.exp(1.5 * torch.log(x))",
        lambda x: torch.exp(1.5 * torch.log(_positive(x))),
    ),
    Operation("torch.exp2(x)", torch.exp2, "torch.exp(x * math.log(2))", lambda x: torch.exp(x * math.log(2))),
    Operation(
        "torch.sinh(x)",
        torch.sinh,
        "0.5 * (torch.exp(x) - torch.exp(-x))",
        lambda x: 0.5 * (torch.exp(x) - torch.exp(-x)),
    ),
    Operation(
        "torch.cosh(x)",
        torch.cosh,
        "0.5 * (torch.exp(x) + torch.exp(-x))",
        lambda x: 0.5 * (torch.exp(x) + torch.exp(-x)),
    ),
    Operation(
        "torch.atan2(y, x)",
        lambda x: torch.atan2(x, _positive(x)),
        "torch.atan(y / x), by quadrant",
        lambda x: torch.atan(x / _positive(x)),
    ),
    Operation(
        "x.double().var(1)",
        lambda x: _pairs(x).double().var(1),
        "(x - x.mean(1, keepdim=True)).square().sum(1) / (N - 1)",
        lambda x: _variance(_pairs(x).double()),
    ),
    Operation(
        "torch.bmm(x, column)",
        lambda x: torch.bmm(x, _column(x)),
        "nn.product(x, column)",
        lambda x: product(x, _column(x)),
    ),
    Operation(
        "torch.einsum('snm,sm->sn', x, y)",
        lambda x: torch.einsum("snm,sm->sn", x, _column(x).squeeze(2)),
        "nn.product(x, y.unsqueeze(2)).squeeze(2)",
        lambda x: product(x, _column(x)).squeeze(2),
    ),
    Operation(
        "F.scaled_dot_product_attention(q, k, v)",
        lambda x: F.scaled_dot_product_attention(x, x * 0.5, x + 1),
        "nn.product(torch.softmax(nn.product(q, k.mT) / M**0.5, -1), v)",
        _attention,
    ),
    Operation(
        "torch.optim.Adam(weights, fused=True)",
        _stepped(lambda weights: torch.optim.Adam(weights, 0.01, fused=True)),
        "rlbench.optim.Adam, or without fused",
        _stepped(lambda weights: torch.optim.Adam(weights, 0.01)),
    ),
)
