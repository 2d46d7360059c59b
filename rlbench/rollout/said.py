"""What environments say besides their observations, as tensors: what `stepper` hears, held still, and on a device."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..border.extras import MASK, NUMPY
from ..cuda.feed import send
from ..types import NO_EXTRAS, Extras, Spec
from .array_pool import Pages
from .episodes import Episodes


class Standing(NamedTuple):
    """What was said at one time, name -> (S, E, ...): in the host's memory, and on the device. Never written to."""

    here: Extras = NO_EXTRAS
    there: Extras = NO_EXTRAS


class Said:
    """What S x E copies said last; nothing, where the agent wants nothing or they say nothing of it.

    Args:
        spec: what is said, S, E and the device.

    Attributes:
        standing: what that is.
    """

    def __init__(self, spec: Spec) -> None:
        lead = (spec.num_seeds, spec.num_envs)
        self._device, self._masked = spec.device, MASK in spec.extras and bool(spec.num_actions)
        self.standing = Standing()
        self._pages = {
            name: Pages(lead, form.shape, NUMPY[form.dtype], spec.device) for name, form in spec.extras.items()
        }

    def __bool__(self) -> bool:
        return bool(self._pages)

    def hear(self, said: Mapping[str, np.ndarray]) -> None:
        """Take in what all n copies say now, name -> (n, ...)."""
        here = {}
        for name, array in said.items():
            page, here[name] = self._pages[name].take()
            page[:] = array
        self.standing = Standing(here, {name: send(tensor, self._device) for name, tensor in here.items()})

    def check(self, episodes: Episodes) -> None:
        """Raises EnvError where a copy that is to act next may do nothing."""
        if self._masked:
            episodes.check_masks(episodes.copies.said[MASK])
