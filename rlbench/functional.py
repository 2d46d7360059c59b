"""Pure maths on tensors: targets, losses, schedules. One source per function; no state, no randomness."""

import torch
from torch import Tensor
from torch.nn import functional as F


def td_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """Target of temporal-difference learning.

    y = r + d * v'        (Mnih et al. 2015, Methods, doi:10.1038/nature14236; v' = max_a Q(s', a; target) for DQN)

    Args:
        reward: (S, B) float32, over k steps the discounted sum of rewards.
        discount: (S, B) float32; gamma**k where the episode goes on or a time limit cut it, 0 where it terminated.
        next_value: (S, B) float32, the value of the observation k steps later.

    Returns:
        (S, B) float32.
    """
    _same_shape(reward, discount, next_value)
    return torch.addcmul(reward, discount, next_value)


def max_value(next_q: Tensor) -> Tensor:
    """Value of the greedy action, max_a Q(s', a): (S, B, A) -> (S, B). Mnih et al. 2015, doi:10.1038/nature14236."""
    return next_q.amax(-1)


def double_value(next_q_online: Tensor, next_q_target: Tensor) -> Tensor:
    """Value by the target network of the online network's greedy action.

    Q_target(s', argmax_a Q_online(s', a))        (van Hasselt et al. 2016, eq. 4, arXiv:1509.06461)

    Args:
        next_q_online: (S, B, A).
        next_q_target: (S, B, A).

    Returns:
        (S, B).
    """
    _same_shape(next_q_online, next_q_target)
    return next_q_target.gather(-1, next_q_online.argmax(-1, keepdim=True)).squeeze(-1)


def squared_loss(td_error: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error per element and its derivative: x**2 and 2 x, as `torch.nn.functional.mse_loss` has it.

    Args:
        td_error: any shape, prediction minus target.

    Returns:
        The loss and its derivative by the prediction, both of the same shape.
    """
    return td_error.square(), td_error * 2


def huber_loss(td_error: Tensor, delta: float = 1.0) -> tuple[Tensor, Tensor]:
    """Quadratic near zero and linear beyond ``delta`` (Huber 1964, doi:10.1214/aoms/1177703732), and its derivative.

    0.5 * x**2 for |x| <= delta, else delta * (|x| - 0.5 * delta). The derivative is x clipped to +-delta: the "error
    clipping" of Mnih et al. 2015.

    Args:
        td_error: any shape, prediction minus target.
        delta: where it turns linear.

    Returns:
        The loss and its derivative by the prediction, both of the same shape.
    """
    slope = td_error.clamp(-delta, delta)
    return slope * (td_error - 0.5 * slope), slope


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), any shape, written as 0.5 + 0.5 tanh(x / 2).

    A seed has the same bits alone and among others, gradients too: `torch.sigmoid` rounds the last few numbers of a
    tensor in another way than those before them, so that they depend on how many seeds lie before. Right to 6e-8 of 1;
    of a probability near 0 take the logarithm as `torch.nn.functional.logsigmoid`, which is safe.
    """
    return torch.tanh(x * 0.5) * 0.5 + 0.5


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), any shape, written as -logsigmoid(-x): a seed has the same bits alone and among others.

    `torch.nn.functional.softplus` has not, for the reason that `sigmoid` gives.
    """
    return -F.logsigmoid(-x)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), any shape (Elfwing et al. 2018, arXiv:1702.03118), as `torch.nn.functional.silu`.

    Made of `sigmoid` above, and so a seed has the same bits alone and among others.
    """
    return x * sigmoid(x)


def linear_schedule(start: float, end: float, steps: int, step: int) -> float:
    """Value on the straight line from ``start`` (step 0) to ``end`` (from ``steps`` on; at once if that is 0)."""
    if step >= steps:
        return end
    return start + (end - start) * (step / steps)


def clip_norm_(grad: Tensor, max_norm: float) -> Tensor:
    """Scale each seed's gradient in place so that its L2 norm is at most ``max_norm``; seeds do not see each other.

    Args:
        grad: (S, P) float32, changed in place.
        max_norm: the limit; 0 or less means no limit.

    Returns:
        (S,) the norms before clipping (Pascanu et al. 2013, algorithm 1, arXiv:1211.5063).
    """
    norm = torch.linalg.vector_norm(grad, dim=1)
    if max_norm > 0:
        grad.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0).unsqueeze(1))
    return norm


def _same_shape(*tensors: Tensor) -> None:
    if any(t.shape != tensors[0].shape for t in tensors):
        raise ValueError(f"expected tensors of one shape, got {[tuple(t.shape) for t in tensors]}")
