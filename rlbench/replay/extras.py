"""What environments said besides their observations, kept beside the rows of a replay buffer: masks, mostly."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cuda.feed import sent
from ..types import Extras, Spec, Transition


class SaidRing:
    """Of each entry of a ring (S, T, E), what was said before and after that step; nothing, where nothing is wanted.

    Args:
        spec: what is said, S, E and the device.
        length: T.
    """

    def __init__(self, spec: Spec, length: int) -> None:
        self.device, self._length = spec.device, length
        self._arrays: dict[str, np.ndarray] = {}  # name -> (S, T, E, 2, *shape)
        for name, form in spec.extras.items():
            kind = torch.empty(0, dtype=form.dtype).numpy().dtype
            self._arrays[name] = np.zeros((spec.num_seeds, length, spec.num_envs, 2, *form.shape), kind)

    def __bool__(self) -> bool:
        return bool(self._arrays)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays.values())

    def write(self, cursor: int, transition: Transition) -> None:
        """Keep what ``transition`` carries as entry ``cursor`` of the ring.

        Raises:
            ValueError: it does not carry all of that.
        """
        for name, array in self._arrays.items():
            if name not in transition.extras or name not in transition.next_extras:
                raise ValueError(
                    f"the transition has no {name!r} in its extras and next_extras, which the environment says: "
                    "transition._replace(reward=...) keeps them, Transition(..., extras=, next_extras=) takes them"
                )
            array[:, cursor, :, 0] = transition.extras[name].cpu().numpy()
            array[:, cursor, :, 1] = transition.next_extras[name].cpu().numpy()

    def taken(self, first: np.ndarray, last: np.ndarray) -> tuple[Extras, Extras]:
        """What was said before the entries ``first`` and after the entries ``last``, flat indices (S, B)."""
        return self._halves(first, 0), self._halves(last, 1)

    def _halves(self, index: np.ndarray, half: int) -> dict[str, Tensor]:
        flat = {name: array.reshape(-1, 2, *array.shape[4:]) for name, array in self._arrays.items()}
        return {name: sent(array[index, half], self.device) for name, array in flat.items()}

    def state_dict(self, filled: int) -> dict[str, list[Tensor]]:
        """The part of the ring that is filled, a tensor for each seed."""
        return {name: [torch.from_numpy(ring[:filled]) for ring in array] for name, array in self._arrays.items()}

    def load_state_dict(self, state: Mapping[str, Any], filled: int) -> None:
        """Take over what `state_dict` gave. Earlier versions kept nothing: all was legal then.

        Raises:
            ValueError: it is not what this ring keeps.
        """
        if not state:
            for array in self._arrays.values():
                array[:, :filled] = 1
            return
        if state.keys() != self._arrays.keys():
            kept, ours = (", ".join(names) or "nothing" for names in (state, self._arrays))
            raise ValueError(f"saved replay with {kept} besides observations, where {ours} is told")
        for name, array in self._arrays.items():
            for ring, tensor in zip(array, state[name], strict=True):
                if tuple(tensor.shape) != ring[:filled].shape:
                    raise ValueError(f"saved replay's {name} of shape {tuple(tensor.shape)} does not fit this buffer's")
                ring[:filled] = tensor.cpu().numpy()
