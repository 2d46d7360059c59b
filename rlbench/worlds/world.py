"""What an environment in torch is: how episodes begin, a law, and what is seen."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ..types import Extra
from .trig import SinCos


class Starts(NamedTuple):
    """How m episodes begin."""

    state: np.ndarray  # (m, size) of the world's dtype
    draws: np.ndarray  # (m, draws) float64 in [0, 1): what chance says in their steps, one after the other


class World(ABC):
    """The law of one environment, for any number of copies, side by side along the first axis.

    It adds, subtracts, multiplies, divides, compares and chooses, element by element, and nothing else: whose result is
    laid down to the last bit (IEEE 754), so that an episode is the same on every device, among however many others.

    Attributes:
        size: k, numbers in a state.
        dtype: of a state.
        draws: random numbers that an episode takes at most, one a step; 0: its law has no chance in it.
        continuous: whether actions are (n, 1) float32, and not (n,) int64.
        exact: whether every number is Gymnasium's own, to the bit, and not to its last place.
        extras: what it says besides observations, as `Spec.extras` has it.
        device: where the law's constants lie.
    """

    size: int
    dtype: torch.dtype
    draws: int = 0
    continuous: bool = False
    exact: bool = False
    extras: Mapping[str, Extra] = MappingProxyType({})
    device: torch.device = torch.device("cpu")

    @classmethod
    def unfit(cls, env: Any) -> str:
        """What about ``env``, whose class and settings are known, this law is not for, as the end of a sentence; ""
        where it is for it."""
        return ""

    @abstractmethod
    def starts(self, seeds: np.ndarray) -> Starts:
        """What ``env.reset(seed=...)`` begins with, for each of ``seeds``, (m,) int64. On the host."""

    @abstractmethod
    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """One step of n copies. Writes to nothing that it is given, and waits for no device.

        Args:
            state: (n, size), with any strides.
            action: (n,) int64, or (n, *action_shape), as agents give it; of one that is no action, the step may be
                anything.
            draw: (n,) float64, the next random number of each episode, where the law takes any.

        Returns:
            The new state (n, size), reward (n,) float64, terminated (n,) bool. A state's rows need not lie one after
            the other in memory, and those of a reward may be one and the same number: copy them before writing.
        """

    @abstractmethod
    def obs(self, state: Tensor) -> Tensor:
        """What is seen of n copies, (n, *O) contiguous, as `Spec` has it."""

    def said(self, state: Tensor) -> dict[str, Tensor]:
        """What n copies say with what is seen: name -> (n, *shape), for each of `extras`."""
        return {}

    def example(self) -> tuple[Tensor, Tensor]:
        """A state of one copy, and an action, on the host."""
        state = torch.from_numpy(self.starts(np.zeros(1, np.int64)).state)
        return state, torch.zeros((1, 1)) if self.continuous else torch.zeros(1, dtype=torch.int64)

    def to(self, device: torch.device) -> Self:
        """The same law with its constants on ``device``."""
        found = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor | SinCos):
                setattr(found, name, value.to(device))
        found.device = device
        return found


def column(*values: float) -> Tensor:
    """(r, 1) float64: a number for each row, where a row is a number of the law and a column a copy."""
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)
