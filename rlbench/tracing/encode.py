"""Raw observations into what an agent sees, and its actions into what an environment takes, as operations on tensors.

They do in a graph what `border.spaces` does to each observation and action by NumPy, to the last bit.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..border.spaces import ActionCodec, ObsCodec


class Encoder(nn.Module):
    """The leaves of raw observations, (B, *shape) each, to what ``codec`` stores of them, (B, *O).

    Args:
        space: what the agent sees, without what is told apart.
        codec: of that.
    """

    low: Tensor
    width: Tensor

    def __init__(self, space: spaces.Space[Any], codec: ObsCodec) -> None:
        super().__init__()
        if isinstance(space, spaces.Dict) and space is not codec.space:
            (space,) = space.spaces.values()  # one key is left: its value in its own form
        self.space, self.dtype = space, codec.dtype
        self.flattens = not isinstance(space, spaces.Box | spaces.Discrete)
        self.board = space.dtype == np.uint8 and codec.dtype != np.uint8 and len(space.shape or ()) in (2, 3)
        if self.board and isinstance(space, spaces.Box):
            low = space.low.astype(np.float64)
            self.register_buffer("low", torch.from_numpy(low))
            self.register_buffer("width", torch.from_numpy(np.maximum(space.high.astype(np.float64) - low, 1.0)))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        if self.flattens:
            parts = list(_flat(self.space, iter(inputs)))
            return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        (x,) = inputs
        if isinstance(self.space, spaces.Discrete):
            return _numbers(x) - int(self.space.start) if self.space.start else _numbers(x)
        if self.board:
            return ((x.double() - self.low) / self.width).float()
        return x if self.dtype == np.uint8 else x.float()


def _flat(space: spaces.Space[Any], inputs: Iterator[Tensor]) -> Iterator[Tensor]:
    """Each leaf as (B, n) float32, in Gymnasium's order: indices one-hot, the rest as it is."""
    if isinstance(space, spaces.Dict):
        for inner in space.spaces.values():
            yield from _flat(inner, inputs)
    elif isinstance(space, spaces.Tuple):
        for inner in space.spaces:
            yield from _flat(inner, inputs)
    elif isinstance(space, spaces.Discrete):
        yield _one_hot(next(inputs), int(space.n), int(space.start))
    elif isinstance(space, spaces.MultiDiscrete):
        x = next(inputs).flatten(1)
        sizes, starts = space.nvec.ravel().tolist(), np.asarray(space.start).ravel().tolist()
        for i, (n, start) in enumerate(zip(sizes, starts, strict=True)):
            yield _one_hot(x[:, i], n, start)
    else:
        x = next(inputs).float()
        yield x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)


def _one_hot(x: Tensor, n: int, start: int) -> Tensor:
    places = torch.arange(start, start + n)
    return (_numbers(x).unsqueeze(-1) == places).float()


def _numbers(x: Tensor) -> Tensor:
    return x if x.dtype == torch.int64 else x.long()


class Decoder(nn.Module):
    """Actions as an agent gives them, (B, ...), to what the environment takes, in its dtype and shape."""

    starts: Tensor

    def __init__(self, codec: ActionCodec) -> None:
        super().__init__()
        self.codec = codec
        if codec.sizes is not None:
            self.register_buffer("starts", torch.tensor(codec.starts))

    def forward(self, action: Tensor) -> Tensor:
        codec = self.codec
        dtype = _torch_dtype(codec.dtype)
        if codec.discrete:
            return (action + codec.start if codec.start else action).to(dtype)
        if codec.sizes is not None:
            action = action + self.starts if any(codec.starts) else action
        elif codec.dtype.kind != "f":
            action = action.double().round()  # half to even, as NumPy has it
        if action.shape[1:] != codec.shape:
            action = action.reshape(action.shape[0], *codec.shape)
        return action.to(dtype)


def _torch_dtype(dtype: Any) -> torch.dtype:
    """torch's name of a NumPy dtype."""
    found: torch.dtype = getattr(torch, str(dtype))
    return found
