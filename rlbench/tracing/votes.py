"""What several seeds do together: the action that most of them would take, or the mean of what each would."""

import math

import torch
from torch import Tensor, nn

from ..border.spaces import ActionCodec
from ..trained.load import Trained


class Vote(nn.Module):
    """The actions of S seeds, (S, B, ...) as agents give them, to one, (B, ...).

    Of indices that of the majority, of each index of several by itself. Where several have the most votes, the one that
    the seed at ``best`` chose if it is among them, else the lowest. Of continuous actions the mean.
    """

    def __init__(self, codec: ActionCodec, best: int) -> None:
        super().__init__()
        self.counts, self.best = codec.counts, best
        self.sizes = (codec.n,) if codec.sizes is None else codec.sizes

    def forward(self, actions: Tensor) -> Tensor:
        if not self.counts:
            return actions.mean(0)
        kinds = torch.arange(max(self.sizes))
        votes = (actions.unsqueeze(-1) == kinds).long()  # (S, B, ..., n)
        return (2 * votes.sum(0) + votes[self.best]).argmax(-1)


def best_seed(trained: Trained) -> int:
    """The position of the seed with the best evaluation during training; of several the first."""
    returns = [trained.best_returns.get(seed, -math.inf) for seed in trained.seeds]
    return max(range(len(returns)), key=lambda s: returns[s])
