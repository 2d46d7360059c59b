"""Distributions of actions over (S, E): what a policy's numbers mean, drawn from and scored.

Each is made of the numbers that a network gave, and has ``sample(stream)``, ``log_prob``, ``entropy()`` and ``mode``.
Those that are scored again after they were drawn from have ``pull`` as well, the derivatives of both by hand, for
agents that learn without autograd. The operations are such that a seed has the same bits alone and among others, in
gradients too, which torch's own distributions do not promise. Shapes are (S, N, ...) throughout; N is E where one acts
and B where one learns.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .functional import softplus
from .nn import kernels
from .rng import Stream

PullDraw = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_LOG_ROOT = 0.5 * math.log(2 * math.pi)  # of the normal's density
_ILLEGAL = -1e8  # a logit
_NODES = 65  # where an expectation over a normal is looked at
_REACH = 6.0  # deviations to either side


class Categorical:
    """One of A choices, by their logits.

    Args:
        logits: (S, N, A).
        mask: (S, N, A) bool, True where a choice is legal, one at least in every row. What is not has no chance and no
            gradient (Huang & Ontañón 2022, arXiv:2006.14171).

    Attributes:
        logits: (S, N, A); -1e8 of what the mask leaves out, whose chance is then 0. Minus infinity would make gradients
            NaN, as would the largest number there is times a coefficient.
    """

    def __init__(self, logits: Tensor, mask: Tensor | None = None) -> None:
        self.logits = logits if mask is None else logits.masked_fill(~mask, _ILLEGAL)
        self._log_probs: Tensor | None = None  # who only draws needs none

    @property
    def log_probs(self) -> Tensor:
        """(S, N, A)."""
        known = self._log_probs
        if known is None or (torch.is_grad_enabled() and known.requires_grad != self.logits.requires_grad):
            known = self._log_probs = self.logits.log_softmax(-1)
        return known

    @property
    def probabilities(self) -> Tensor:
        """(S, N, A), with sum 1."""
        return self.logits.softmax(-1)

    @property
    def mode(self) -> Tensor:
        """(S, N) int64, the likeliest; of several, the first."""
        return self.logits.argmax(-1)

    @torch.no_grad()
    def sample(self, stream: Stream) -> Tensor:
        """(S, N) int64, from the next N numbers of each seed."""
        return stream.categorical(self.probabilities)

    def log_prob(self, action: Tensor) -> Tensor:
        """Of ``action``, (S, N) int64 -> (S, N)."""
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """(S, N), in nats."""
        return -(self.probabilities * self.log_probs).sum(-1)

    def pull(self, action: Tensor, at_log_prob: Tensor, at_entropy: float = 0.0) -> tuple[Tensor]:
        """Pull gradients back to what this was made of (a vector-Jacobian product).

        With p the probabilities and H the entropy: dH / d log p_i = -p_i (log p_i + 1), and from there to the logits
        as through any log-softmax.

        Args:
            action: (S, N) int64, legal ones.
            at_log_prob: (S, N), the gradient at ``log_prob(action)``.
            at_entropy: the gradient at `entropy`, the same in every row.

        Returns:
            The gradient at the logits, (S, N, A); 0 of what the mask leaves out.
        """
        log_probs = self.log_probs
        at_log_probs = torch.zeros_like(log_probs).scatter_(-1, action.unsqueeze(-1), at_log_prob.unsqueeze(-1))
        if at_entropy:
            at_log_probs -= (log_probs + 1).mul_(log_probs.exp()).mul_(at_entropy)
        at_logits = kernels.log_softmax_back(at_log_probs, log_probs)
        return (at_logits,)


class MultiCategorical:
    """Several choices at once, none of which knows of another, as `Spec.action_sizes` says.

    Args:
        logits: (S, N, A), those of all choices side by side; A is the sum of ``sizes``.
        sizes: how many there are to choose from, K numbers.
        mask: (S, N, A) bool, as for `Categorical`: one at least in every part of a row.

    Attributes:
        parts: K of `Categorical`, one for each choice.
    """

    def __init__(self, logits: Tensor, sizes: Sequence[int], mask: Tensor | None = None) -> None:
        masks = [None] * len(sizes) if mask is None else mask.split(list(sizes), -1)
        pairs = zip(logits.split(list(sizes), -1), masks, strict=True)
        self.parts = [Categorical(own, legal) for own, legal in pairs]

    @property
    def mode(self) -> Tensor:
        """(S, N, K) int64, the likeliest."""
        return torch.stack([part.mode for part in self.parts], -1)

    def sample(self, stream: Stream) -> Tensor:
        """(S, N, K) int64, from the next N numbers of each seed for the first choice, N for the second, and so on."""
        return torch.stack([part.sample(stream) for part in self.parts], -1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Of ``action``, (S, N, K) int64 -> (S, N)."""
        pairs = zip(self.parts, action.unbind(-1), strict=True)
        return _total(torch.stack([part.log_prob(own) for part, own in pairs], -1))

    def entropy(self) -> Tensor:
        """(S, N), in nats."""
        return _total(torch.stack([part.entropy() for part in self.parts], -1))

    def pull(self, action: Tensor, at_log_prob: Tensor, at_entropy: float = 0.0) -> tuple[Tensor]:
        """The gradient at the logits, (S, N, A), as `Categorical.pull`; ``action`` is (S, N, K)."""
        pairs = zip(self.parts, action.unbind(-1), strict=True)
        return (torch.cat([part.pull(own, at_log_prob, at_entropy)[0] for part, own in pairs], -1),)


class DiagonalNormal:
    """A normal distribution of every number of an action, none of which knows of another.

    Args:
        mean: (S, N, *action_shape).
        log_std: of that shape, or one that it broadcasts from: (S, 1, *action_shape) for the same in every state.
    """

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean, self.log_std = mean, log_std.expand_as(mean)

    @property
    def mode(self) -> Tensor:
        """(S, N, *action_shape)."""
        return self.mean

    def sample(self, stream: Stream) -> Tensor:
        """(S, N, *action_shape); gradients go through it to mean and deviation ("reparameterised")."""
        noise = stream.normal(*self.mean.shape[1:])
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, action: Tensor) -> Tensor:
        """The log-density at ``action``, (S, N, *action_shape) -> (S, N)."""
        z = (action - self.mean) * (-self.log_std).exp()
        return _total(-0.5 * z.square() - self.log_std - _LOG_ROOT)

    def entropy(self) -> Tensor:
        """(S, N), in nats; may be below 0."""
        return _total(self.log_std + (0.5 + _LOG_ROOT))

    def pull(self, action: Tensor, at_log_prob: Tensor, at_entropy: float = 0.0) -> tuple[Tensor, Tensor]:
        """Pull gradients back to what this was made of (a vector-Jacobian product).

        With z = (a - mean) / std: d log p(a) / d mean = z / std, d log p(a) / d log_std = z**2 - 1, and
        dH / d log_std = 1.

        Args:
            action: (S, N, *action_shape).
            at_log_prob: (S, N), the gradient at ``log_prob(action)``.
            at_entropy: the gradient at `entropy`, the same in every row.

        Returns:
            The gradients at the mean and at the logarithm of the deviation, both (S, N, *action_shape): of one
            deviation for every state take the sum over N.
        """
        each = at_log_prob.view(*at_log_prob.shape, *[1] * (self.mean.dim() - 2))
        scale = (-self.log_std).exp()
        z = (action - self.mean) * scale
        at_log_std = (z.square() - 1).mul_(each)
        return z.mul_(scale).mul_(each), at_log_std.add_(at_entropy) if at_entropy else at_log_std


class SquashedNormal:
    """tanh of a normal distribution, stretched to an action space's bounds (Haarnoja et al. 2018, arXiv:1801.01290).

    An action at a bound does not tell what was drawn, and near one hardly: so everything here is about what was drawn,
    *before* the squashing, called ``raw``. `action` makes the action of it; keep ``raw`` to score it again later.

    Args:
        mean: (S, N, *action_shape), before the squashing.
        log_std: as for `DiagonalNormal`.
        low: (*action_shape), finite: ``spec.action_low``; -1 if left out.
        high: ``spec.action_high``; 1 if left out.
    """

    def __init__(self, mean: Tensor, log_std: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> None:
        self.normal = DiagonalNormal(mean, log_std)
        self._bounds: tuple[Tensor, Tensor] | None = None  # None: -1 and 1, which cost nothing
        self._half: Tensor | None = None
        if low is not None or high is not None:
            low = mean.new_tensor(-1.0) if low is None else low
            high = mean.new_tensor(1.0) if high is None else high
            self._bounds, self._half = (low, high), 0.5 * (high - low)

    @property
    def mode(self) -> Tensor:
        """(S, N, *action_shape), raw: the normal's own, which the action of half of all draws lies below."""
        return self.normal.mean

    def sample(self, stream: Stream) -> Tensor:
        """(S, N, *action_shape), raw; gradients go through it, and through `action`."""
        return self.normal.sample(stream)

    def action(self, raw: Tensor) -> Tensor:
        """What is drawn as an action: (S, N, *action_shape) between the bounds, these included."""
        return self._stretched(torch.tanh(raw))

    def _stretched(self, squashed: Tensor) -> Tensor:
        """From -1..1 to the bounds."""
        if self._bounds is None or self._half is None:
            return squashed
        low, high = self._bounds
        return (low + (squashed + 1) * self._half).clamp(low, high)

    def log_prob(self, raw: Tensor) -> Tensor:
        """The log-density of the action that ``raw`` becomes: (S, N, *action_shape) -> (S, N)."""
        return self.normal.log_prob(raw) - _total(self._log_slope(raw))

    def vjp(self, noise: Tensor) -> tuple[Tensor, Tensor, PullDraw]:
        """The action that standard normal ``noise`` draws, its log-density, and the way back, without autograd.

        With u = mean + std * noise and y = tanh(u), the log-density has the derivative 2 y by u, and -1 by log_std
        where u stays as it is; the action has half the width of the bounds times 1 - y**2 by u.

        Args:
            noise: (S, N, *action_shape), such as ``stream.normal(N, *action_shape)``.

        Returns:
            The action, (S, N, *action_shape), its log-density, (S, N), and a function of the gradients at both that
            gives those at ``mean`` and ``log_std``.
        """
        spread = self.normal.log_std.exp() * noise
        raw = self.normal.mean + spread
        squashed = torch.tanh(raw)
        density = noise.square().mul_(-0.5).sub_(self.normal.log_std).sub_(_LOG_ROOT).sub_(self._log_slope(raw))

        def pull(at_action: Tensor, at_log_prob: Tensor) -> tuple[Tensor, Tensor]:
            each = at_log_prob.view(*at_log_prob.shape, *[1] * (noise.dim() - 2))  # the same for all its numbers
            at_squashed = at_action if self._half is None else at_action * self._half
            at_raw = torch.addcmul(at_squashed, at_squashed * squashed, squashed, value=-1)
            at_raw.addcmul_(squashed, each, value=2)
            return at_raw, at_raw * spread - each

        return self._stretched(squashed), _total(density), pull

    def entropy(self) -> Tensor:
        """(S, N), in nats: the normal's, and the mean of the log-slope, summed over 65 points of the normal.

        Right to 0.001 for deviations up to e**2; no formula is known.
        """
        raw, weight = self._nodes()
        slope = (_log_slope_of_tanh(raw) * weight).sum(-1)
        return self.normal.entropy() + _total(slope if self._half is None else slope + self._half.log())

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the action, each (S, N, *action_shape), summed over the same points: right to a
        thousandth of the way between the bounds."""
        raw, weight = self._nodes()
        squashed = torch.tanh(raw)
        mean = (squashed * weight).sum(-1)
        deviation = ((squashed - mean.unsqueeze(-1)).square() * weight).sum(-1).sqrt()
        return self._stretched(mean), deviation if self._half is None else deviation * self._half

    def _nodes(self) -> tuple[Tensor, Tensor]:
        """(S, N, *action_shape, 65) points of the normal, and (65,) what each weighs."""
        z = torch.linspace(-_REACH, _REACH, _NODES, device=self.normal.mean.device)
        weight = torch.exp(-0.5 * z.square())
        mean, std = self.normal.mean.unsqueeze(-1), self.normal.log_std.exp().unsqueeze(-1)
        return mean + std * z, weight / weight.sum()

    def _log_slope(self, raw: Tensor) -> Tensor:
        slope = _log_slope_of_tanh(raw)
        return slope if self._half is None else slope + self._half.log()


def _log_slope_of_tanh(x: Tensor) -> Tensor:
    """log(1 - tanh(x)**2) as it does not round to log(0): 2 (log 2 - x - softplus(-2 x))."""
    return 2 * (math.log(2) - x - softplus(-2 * x))


def _total(x: Tensor) -> Tensor:
    """(S, N, *action_shape) -> (S, N): the sum over one action's numbers."""
    return x.flatten(2).sum(-1) if x.dim() > 2 else x
