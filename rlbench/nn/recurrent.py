"""Recurrent layers of S seeds: one step at a time, forward and back, so that an agent unrolls them as it likes.

Like the layers of `layers`, row s depends on parameters of row s alone, to the last bit. What a cell remembers is the
agent's to keep: it is handed in and comes back.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .. import functional
from ..rng import Stream
from . import kernels
from .layers import Linear, uniform
from .networks import Network
from .products import affine, product

Pull = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, Tensor]]
PullSequence = Callable[[Tensor, Sequence[Tensor]], Tensor]


class GRUCell(nn.Module):
    """S gated recurrent units, with the gates of `torch.nn.GRUCell` (Cho et al. 2014, arXiv:1406.1078).

    r = sigmoid(x W_r + b_r + h U_r + c_r),  z = sigmoid(x W_z + b_z + h U_z + c_z)
    n = tanh(x W_n + b_n + r * (h U_n + c_n)),  h' = (1 - z) * n + z * h

    All numbers are uniform in +-1/sqrt(size) at first. Parameters are looked up once: write into them in place.

    Args:
        n_in: I, size of the input.
        size: H, size of what is remembered.
        init: random numbers for the parameters.

    Attributes:
        weight: (S, I, 3 H): W_r, W_z and W_n side by side.
        recurrent: (S, H, 3 H): U_r, U_z and U_n.
        bias: (S, 1, 3 H): b_r, b_z and b_n.
        recurrent_bias: (S, 1, 3 H): c_r, c_z and c_n.
    """

    def __init__(self, n_in: int, size: int, init: Stream) -> None:
        super().__init__()
        seeds, bound = len(init.seeds), 1 / math.sqrt(size)
        self.size = size
        self.weight = nn.Parameter(uniform(init, bound, n_in * 3 * size).view(seeds, n_in, 3 * size))
        self.recurrent = nn.Parameter(uniform(init, bound, size * 3 * size).view(seeds, size, 3 * size))
        self.bias = nn.Parameter(uniform(init, bound, 3 * size).view(seeds, 1, 3 * size))
        self.recurrent_bias = nn.Parameter(uniform(init, bound, 3 * size).view(seeds, 1, 3 * size))
        self._all = (self.weight, self.recurrent, self.bias, self.recurrent_bias)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """One step of N rows per seed.

        Args:
            x: (S, N, I).
            h: (S, N, H), what was remembered; zeros where an episode begins.

        Returns:
            (S, N, H), what is remembered now, which is the output as well.
        """
        return self._step(x, h)[0]

    def vjp(self, x: Tensor, h: Tensor) -> tuple[Tensor, Pull]:
        """`forward`, and the way back: ``pull(upstream, grads)`` returns the gradients at ``x`` and at ``h``.

        ``upstream`` is the gradient at what `forward` returns. The gradients of the parameters are *added* to
        ``grads``, one tensor for each parameter in their order, since through time there are many to one parameter:
        `Flat.grads`, with `Flat.grad` set to zero before the first. Back through time, the gradient at ``h`` is a part
        of the upstream of the step before. Call both under `torch.no_grad`, or of parameters that need no gradient, or
        autograd keeps its books as well.
        """
        new, (reset, update, candidate, remembered) = self._step(x, h)

        def pull(upstream: Tensor, grads: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            weight, recurrent, _, _ = self._all
            at_candidate = kernels.tanh_back(upstream * (1 - update), candidate)  # (S, N, H), as all of these
            at_update = upstream * (h - candidate) * update * (1 - update)
            at_reset = at_candidate * remembered * reset * (1 - reset)
            of_input = torch.cat((at_reset, at_update, at_candidate), -1)  # (S, N, 3 H)
            of_memory = torch.cat((at_reset, at_update, at_candidate * reset), -1)
            grads[0].add_(product(x.mT, of_input))
            grads[1].add_(product(h.mT, of_memory))
            grads[2].add_(of_input.sum(1, keepdim=True))
            grads[3].add_(of_memory.sum(1, keepdim=True))
            return product(of_input, weight.mT), product(of_memory, recurrent.mT) + upstream * update

        return new, pull

    def _step(self, x: Tensor, h: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        weight, recurrent, bias, recurrent_bias = self._all
        both = 2 * self.size
        of_input = affine(x, weight, bias)  # (S, N, 3 H)
        of_memory = affine(h, recurrent, recurrent_bias)
        gates = functional.sigmoid(of_input[..., :both] + of_memory[..., :both])
        reset, update = gates.chunk(2, -1)  # (S, N, H)
        remembered = of_memory[..., both:]
        candidate = torch.tanh(of_input[..., both:] + reset * remembered)
        return candidate + update * (h - candidate), (reset, update, candidate, remembered)

    def unroll(self, x: Tensor, h: Tensor, fresh: Tensor | None = None) -> tuple[Tensor, "PullSequence"]:
        """L steps one after the other, with one product for all inputs, and the way back through time.

        Args:
            x: (S, L, N, I).
            h: (S, N, H), what was remembered before the first step.
            fresh: (S, L, N) bool: what was remembered is forgotten before this step; None: nowhere.

        Returns:
            (S, L, N, H), what is remembered after each step, and ``pull(upstream, grads)``: of the gradient there,
            (S, L, N, H), the one at ``x``. It *writes* the gradients of the parameters to ``grads``. Call both under
            `torch.no_grad`, or of parameters that need no gradient.
        """
        seeds, length, rows, _ = x.shape
        size, both = self.size, 2 * self.size
        weight, recurrent, bias, recurrent_bias = self._all
        flat = x.reshape(seeds, length * rows, -1)
        inputs = affine(flat, weight, bias).view(seeds, length, rows, 3 * size)
        kept = None if fresh is None else (~fresh).unsqueeze(-1).to(x.dtype)  # (S, L, N, 1)
        entering, gates, candidates, remembered, out = (
            x.new_empty((seeds, length, rows, width)) for width in (size, both, size, size, size)
        )
        for t in range(length):
            if kept is not None:
                h = h * kept[:, t]
            entering[:, t] = h
            of_memory = affine(h, recurrent, recurrent_bias)  # (S, N, 3 H)
            gate = functional.sigmoid(inputs[:, t, :, :both] + of_memory[..., :both])
            reset, update = gate.chunk(2, -1)
            candidate = torch.tanh(inputs[:, t, :, both:] + reset * of_memory[..., both:])
            h = candidate + update * (h - candidate)
            gates[:, t], candidates[:, t], remembered[:, t], out[:, t] = gate, candidate, of_memory[..., both:], h

        def pull(upstream: Tensor, grads: Sequence[Tensor]) -> Tensor:
            reset, update = gates.chunk(2, -1)  # (S, L, N, H), as all that follows, but for the last axis
            new = 1 - update
            slope = kernels.tanh_back(new, candidates)  # of what is remembered, by the candidate's argument
            of_update = (entering - candidates) * update * new
            of_reset = remembered * reset * (1 - reset)
            of_input = x.new_empty((seeds, length, rows, 3 * size))
            of_memory = torch.empty_like(of_input)
            back = torch.zeros_like(out[:, 0])
            for t in range(length - 1, -1, -1):
                grad = upstream[:, t] + back
                at_candidate = grad * slope[:, t]
                at = torch.cat((at_candidate * of_reset[:, t], grad * of_update[:, t], at_candidate), -1)
                of_input[:, t] = at
                at = torch.cat((at[..., :both], at_candidate * reset[:, t]), -1)
                of_memory[:, t] = at
                back = product(at, recurrent.mT) + grad * update[:, t]
                if kept is not None:
                    back = back * kept[:, t]
            of_input, of_memory = (of.view(seeds, length * rows, -1) for of in (of_input, of_memory))
            grads[0].copy_(product(flat.mT, of_input))
            grads[1].copy_(product(entering.view(seeds, length * rows, -1).mT, of_memory))
            torch.sum(of_input, 1, keepdim=True, out=grads[2])
            torch.sum(of_memory, 1, keepdim=True, out=grads[3])
            return product(of_input, weight.mT).view(x.shape)

        return out, pull


class Remembering(nn.Module):
    """S networks with memory: layers, a `GRUCell`, and a linear head on what it remembers.

    Args:
        body: (S, N, *O) -> (S, N, I); a ReLU follows.
        cell: takes what comes of that.
        n_out: A, numbers that come out.
        init: random numbers for the head.
    """

    def __init__(self, body: Network, cell: GRUCell, n_out: int, init: Stream) -> None:
        super().__init__()
        self.body, self.cell, self.head = body, cell, Linear(cell.size, n_out, init)
        self._split = len(list(body.parameters()))

    @property
    def by_hand(self) -> bool:
        """Whether `vjp` goes without autograd all the way, as `Network.by_hand`."""
        return self.body.by_hand

    def forward(self, obs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: (S, N, *O) and what was remembered, (S, N, H), to (S, N, A) and what is remembered now."""
        h = self.cell.forward(torch.relu(self.body.forward(obs)), h)
        return self.head.forward(h), h

    def unroll(self, obs: Tensor, h: Tensor, fresh: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(S, L, N, *O) step by step, to (S, L, N, A) and what is remembered after each, (S, L, N, H)."""
        out, hidden, _ = self._unroll(obs, h, fresh)
        return out, hidden

    def vjp(
        self, obs: Tensor, h: Tensor, fresh: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Callable[[Tensor, Sequence[Tensor]], None]]:
        """`unroll`, and the way back: of the gradient at (S, L, N, A), those of the parameters, as `Network.vjp`."""
        return self._unroll(obs, h, fresh)

    def _unroll(
        self, obs: Tensor, h: Tensor, fresh: Tensor | None
    ) -> tuple[Tensor, Tensor, Callable[[Tensor, Sequence[Tensor]], None]]:
        lead = obs.shape[:3]
        before, pull_body = self.body.vjp(obs.flatten(1, 2))  # (S, L * N, I)
        features = torch.relu(before)
        hidden, pull_cell = self.cell.unroll(features.view(*lead, -1), h, fresh)
        out, kept = self.head.keep(hidden.flatten(1, 2))

        def pull_all(grad: Tensor, into: Sequence[Tensor]) -> None:
            n = self._split
            at_hidden = self.head.pull(kept, grad.flatten(1, 2), into[n + 4 :], True)
            assert at_hidden is not None
            at_features = pull_cell(at_hidden.view(hidden.shape), into[n : n + 4]).view(features.shape)
            pull_body(at_features * (before > 0), into[:n])

        return out.view(*lead, -1), hidden, pull_all
