"""Pure maths on tensors: targets, losses, schedules. One source per function; no state, no randomness."""

import numpy as np
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


def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float,
    lambda_: float,
) -> Tensor:
    """Generalised advantage estimation over T steps in a row.

    A_t = d_t + gamma * lambda * A_t+1,  d_t = r_t + gamma * V(s_t+1) - V(s_t)        (Schulman et al. 2016, eq. 16,
    arXiv:1506.02438). A termination takes V(s_t+1) for 0, a time limit does not (Pardo et al. 2018, arXiv:1712.00378);
    at both the sum ends, for A_t+1 is of another episode. With V added it is `lambda_return`.

    Args:
        reward: (S, T, E) float32.
        value: (S, T, E), of the observation of each step.
        next_value: (S, T, E), of its true next observation, also at an episode's end: `rlbench.Rollout.next_value`.
            Where an episode terminated it is not looked at.
        terminated: (S, T, E) bool.
        truncated: (S, T, E) bool.
        gamma: discount per step.
        lambda_: 0 looks one step ahead, 1 to the last one.

    Returns:
        (S, T, E).
    """
    _same_shape(reward, value, next_value, terminated, truncated)
    td_error = reward + gamma * next_value.masked_fill(terminated, 0.0) - value
    goes_on = ~(terminated | truncated)
    return _summed_backwards(td_error, goes_on * (gamma * lambda_))


def lambda_return(
    reward: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, *, gamma: float, lambda_: float
) -> Tensor:
    """Returns over T steps in a row, those of every length weighed by powers of lambda.

    G_t = r_t + gamma * ((1 - lambda) * V(s_t+1) + lambda * G_t+1)        (Sutton & Barto 2018, section 12.1; with
    max_a Q for V: Gallici et al. 2024, arXiv:2407.04811). An episode's end, and the last step, have G_t+1 = V(s_t+1),
    and a termination has 0 for both.

    Args:
        reward, next_value, terminated, truncated, gamma, lambda_: as for `gae`.

    Returns:
        (S, T, E).
    """
    _same_shape(reward, next_value, terminated, truncated)
    share = ~(terminated | truncated) * lambda_  # (S, T, E) float32: what of the future lies in G_t+1
    share[:, -1] = 0.0
    one_step = reward + gamma * (1 - share) * next_value.masked_fill(terminated, 0.0)
    return _summed_backwards(one_step, gamma * share)


def _summed_backwards(x: Tensor, decay: Tensor) -> Tensor:
    """y_t = x_t + decay_t * y_t+1 along axis 1, with nothing after the last."""
    y = torch.zeros_like(x[:, 0])
    steps = []
    for now, kept in zip(reversed(x.unbind(1)), reversed(decay.unbind(1)), strict=True):
        y = torch.addcmul(now, kept, y)
        steps.append(y)
    return torch.stack(steps[::-1], 1)


def legal_q(q: Tensor, legal: Tensor | None) -> Tensor:
    """Q-values of which those of illegal actions lie below all others, so that none of them is chosen or counted on.

    Where no action is legal, as after an episode's end, all values are 0. (Invalid actions are masked before the
    maximum; Huang & Ontanon 2020, arXiv:2006.14171, for policies.)

    Args:
        q: (..., A).
        legal: (..., A) bool; None: all are.

    Returns:
        (..., A), finite.
    """
    if legal is None:
        return q
    lowest = torch.finfo(q.dtype).min
    return q.masked_fill(~legal, lowest).masked_fill(~legal.any(-1, keepdim=True), 0.0)


def nth_legal(share: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """The legal action at a ``share`` of the way through all legal ones: of uniform shares, a uniform choice.

    Args:
        share: (...) in 0..1; what lies beyond counts as 1.
        legal: (..., A) bool; where none is legal the answer is 0.

    Returns:
        (...) int64.
    """
    if legal.all():  # by far the most common, and then there is nothing to be looked for
        return np.minimum((share * legal.shape[-1]).astype(np.int64), legal.shape[-1] - 1)
    count = legal.sum(-1)
    nth = np.clip((share * count).astype(np.int64), 0, np.maximum(count - 1, 0))  # counted from 0
    chosen: np.ndarray = (legal.cumsum(-1) > nth[..., None]).argmax(-1)
    return chosen


def nth_legal_there(share: Tensor, legal: Tensor) -> Tensor:
    """`nth_legal` of tensors, which nobody waits for: ``share`` (...) float64, ``legal`` (..., A) bool; (...) int64."""
    count = legal.sum(-1)
    nth = torch.minimum((share * count).long().clamp(min=0), (count - 1).clamp(min=0))
    return (legal.cumsum(-1) > nth.unsqueeze(-1)).to(torch.int8).argmax(-1)


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


def clipped_gain(log_ratio: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective per element, and its derivative by the log-probability of the action.

    min(r A, clip(r, 1 - c, 1 + c) A)        (Schulman et al. 2017, eq. 7, arXiv:1707.06347)

    Args:
        log_ratio: any shape, log r: the log-probability of an action now less that when it was taken.
        advantage: of that shape, A.
        clip: c, above 0.

    Returns:
        The objective, of which more is better, and its derivative: r A, or 0 where the clipped one is the smaller.
    """
    _same_shape(log_ratio, advantage)
    ratio = log_ratio.exp()
    plain, clipped = ratio * advantage, ratio.clamp(1 - clip, 1 + clip).mul_(advantage)
    return torch.minimum(plain, clipped), plain.masked_fill(plain > clipped, 0.0)


def clipped_error(value: Tensor, before: Tensor, target: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """Squared error of values that gain nothing by going further than ``clip`` from what they were, and its derivative.

    max((v - y)**2, (v' + clip(v - v', -c, c) - y)**2)        (as OpenAI baselines' ppo2 has it; Engstrom et al. 2020,
    section 3, arXiv:2005.12729)

    Args:
        value: any shape, v.
        before: of that shape, v': the same when the steps were taken.
        target: of that shape, y.
        clip: c, above 0.

    Returns:
        The loss and its derivative by ``value``, both of the same shape.
    """
    _same_shape(value, before, target)
    error, moved = value - target, value - before
    clipped = before + moved.clamp(-clip, clip) - target
    loss = torch.maximum(error.square(), clipped.square())
    return loss, (error * 2).masked_fill((moved.abs() > clip) & (clipped.abs() > error.abs()), 0.0)


def standardised(x: Tensor) -> Tensor:
    """``x``, (S, N), less the mean of each seed's N numbers, over their deviation; 0 where all are the same."""
    variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
    return (x - mean).div_(variance.sqrt_().add_(1e-8))


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
