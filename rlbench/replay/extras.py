"""What environments said besides their observations, kept beside the rows of a replay buffer: masks, mostly."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..types import Extras, Spec, Transition
from .arrays import Arrays


class SaidRing:
    """Of each entry of a ring (S, T, E), what was said before and after that step; nothing, where nothing is wanted.

    Args:
        spec: what is said, S, E and the device.
        length: T.
        arrays: the memory that it lies in.
    """

    def __init__(self, spec: Spec, length: int, arrays: Arrays) -> None:
        self._x = arrays
        self._arrays: dict[str, Any] = {}  # name -> (S, T, E, 2, *shape)
        for name, form in spec.extras.items():
            shape = (spec.num_seeds, length, spec.num_envs, 2, *form.shape)
            self._arrays[name] = arrays.room(shape, form.dtype)

    def __bool__(self) -> bool:
        return bool(self._arrays)

    @staticmethod
    def size(spec: Spec, length: int) -> int:
        """Bytes that it takes."""
        each = sum(math.prod(form.shape) * form.dtype.itemsize for form in spec.extras.values())
        return spec.num_seeds * length * spec.num_envs * 2 * each

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
            array[:, cursor, :, 0] = self._x.put(transition.extras[name])
            array[:, cursor, :, 1] = self._x.put(transition.next_extras[name])

    def taken(self, first: Any, last: Any) -> tuple[Extras, Extras]:
        """What was said before the entries ``first`` and after the entries ``last``, flat indices (S, B)."""
        return self._halves(2 * first), self._halves(2 * last + 1)

    def _halves(self, index: Any) -> dict[str, Tensor]:
        flat = {name: array.reshape(-1, *array.shape[4:]) for name, array in self._arrays.items()}
        return {name: self._x.given(self._x.take(array, index)) for name, array in flat.items()}

    def state_dict(self, filled: int) -> dict[str, list[Tensor]]:
        """The part of the ring that is filled, a tensor for each seed."""
        return {name: self._x.saved(array, filled) for name, array in self._arrays.items()}

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
            self._x.load(array, state[name], filled, name)
