"""Running means and deviations, for observations and rewards of a size that is not known beforehand.

They move when their ``update`` is called, and never otherwise: whoever acts without learning finds them frozen. They
are modules, whose ``state_dict`` belongs in the agent's, and have nothing to be learned by gradients.
"""

import torch
from torch import Tensor, nn

from ..rng import Stream
from .layers import Layer

EPSILON = 1e-8  # added to a variance


class RunningMoments(Layer):
    """Mean and variance of all that was ever given to `update`; called, it gives what is normalised by them.

    Each seed has its own. They are kept in float64, and batches are joined to them by the formula of Chan, Golub &
    LeVeque 1983 (doi:10.1080/00031305.1983.10483115), which loses nothing to a mean that is large beside the deviation.
    As the first layer of a `Network` it sees observations before all others do. Before two values were seen it changes
    nothing but what lies beyond ``clip``.

    Args:
        shape: of one value: ``spec.obs_shape``, or () for numbers.
        init: for its seeds and its device; nothing is drawn.
        clip: what is normalised lies within +- this.

    Attributes:
        count: (S,) float64, values seen by each seed.
        mean: (S, *shape) float64.
        squares: (S, *shape) float64, the sum of squared deviations from the mean.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, shape: tuple[int, ...], init: Stream, *, clip: float = 10.0) -> None:
        super().__init__()
        self.shape, self.clip = tuple(shape), clip
        seeds = len(init.seeds)
        for name, size in (("count", ()), ("mean", self.shape), ("squares", self.shape)):
            zeros = torch.zeros(seeds, *size, dtype=torch.float64, device=init.device)
            self.register_buffer(name, zeros)

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in N values of each seed: (S, N, *shape)."""
        seeds, n = x.shape[:2]
        if not n:
            return
        rows = x.double().view(seeds, n, -1).mT.contiguous()  # (S, K, N): one value's numbers lie side by side
        mean = rows.sum(-1) / n  # (S, K)
        squares = (rows - mean.unsqueeze(-1)).square().sum(-1)
        count = self.count.view(seeds, 1)
        apart = mean - self.mean.view(seeds, -1)
        total = count + n
        self.mean += (apart * (n / total)).view_as(self.mean)
        self.squares += (squares + apart.square() * (count * (n / total))).view_as(self.squares)
        self.count += n

    @property
    def variance(self) -> Tensor:
        """(S, *shape) float64: over all values, or 1 before there are two."""
        count = self.count.view(-1, *[1] * len(self.shape))
        return torch.where(count < 2, 1.0, self.squares / count.clamp(min=1))

    def forward(self, x: Tensor) -> Tensor:
        """(S, N, *shape) -> the same as float32, less the mean, over the deviation, clipped."""
        root = (self.variance + EPSILON).sqrt().unsqueeze(1)
        return ((x - self.mean.unsqueeze(1)) / root).clamp_(-self.clip, self.clip).float()


class RewardScale(nn.Module):
    """Divides rewards by the deviation of the discounted returns that they add up to, and leaves their sign.

    As the "reward scaling" of Engstrom et al. 2020, section 3, arXiv:2005.12729.

    Args:
        num_envs: E.
        init: for its seeds and its device; nothing is drawn.
        gamma: discount per step.
        clip: what is scaled lies within +- this.

    Attributes:
        returns: (S, E) float64, the discounted sums of the rewards so far, of the episodes under way.
        moments: of all of them.
    """

    returns: Tensor

    def __init__(self, num_envs: int, init: Stream, *, gamma: float, clip: float = 10.0) -> None:
        super().__init__()
        self.gamma, self.clip = gamma, clip
        self.moments = RunningMoments((), init)
        zeros = torch.zeros(len(init.seeds), num_envs, dtype=torch.float64, device=init.device)
        self.register_buffer("returns", zeros)

    @torch.no_grad()
    def update(self, reward: Tensor, ended: Tensor) -> None:
        """Take in one step: rewards (S, E), and where an episode ended with it, (S, E) bool."""
        self.returns.mul_(self.gamma).add_(reward)
        self.moments.update(self.returns)
        self.returns.masked_fill_(ended, 0.0)

    def forward(self, reward: Tensor) -> Tensor:
        """(S, ...) -> the same as float32, over the deviation of returns, clipped."""
        root = (self.moments.variance + EPSILON).sqrt().view(-1, *[1] * (reward.dim() - 1))
        return (reward / root).clamp_(-self.clip, self.clip).float()
