"""An exported policy acts in an environment: one observation at a time, as quickly as its file can answer.

Every array that the graph reads and writes is made once and used for all observations.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from .leaves import OBS, BadValue, legal, stacked
from .metadata import Box, Discrete, Metadata


class Binds(Protocol):
    """Ties a graph to arrays, by the names of its inputs and outputs; what it gives computes from those to these."""

    def __call__(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> Callable[[], object]: ...


class PolicySession:
    """One policy in one environment. Of a recurrent policy it holds what is remembered.

    It is for one thread: several need one each. Numbers beyond the bounds that a Box declares are answered, as the
    live agent does: environments give such at times. What is not finite, or of another form, is refused.

    Args:
        metadata: of the file.
        bind: of its graph.
    """

    def __init__(self, metadata: Metadata, bind: Binds) -> None:
        self._space = metadata.obs
        self._inputs = {port.name: np.zeros((1, *port.shape), port.dtype) for port in metadata.inputs}
        self._memory = [(port.of, port.name) for port in metadata.outputs if port.role == "memory"]
        used = [port for port in metadata.outputs if port.role in ("action", "memory")]
        self._outputs = {port.name: np.zeros((1, *port.shape), port.dtype) for port in used}
        self._compute = bind(self._inputs, self._outputs)
        self._masks = [port for port in metadata.inputs if port.role == "mask"]
        for port in self._masks:
            self._inputs[port.name][:] = True
        self._action, self._scalar = self._outputs[used[0].name], used[0].shape == ()
        # Of a space that is one Box, an array of its very shape and dtype goes in as it is.
        self._plain = self._inputs[OBS] if isinstance(self._space, Box) else None
        space = self._space
        # An index that is in range goes in as it is, too.
        self._least, self._most = (space.start, space.start + space.n - 1) if isinstance(space, Discrete) else (0, -1)
        like = np.empty((1, 0)) if self._plain is None else self._plain
        self._dtype, self._shape, self._whole = like.dtype, like.shape[1:], like.dtype.kind != "f"
        self._finite = np.ones(self._shape, bool)
        self._all_finite = self._finite.tobytes()  # to be compared with in a third of the time that `all` takes

    def begin(self) -> None:
        """An episode begins: a recurrent policy forgets the one before. Call it with every `env.reset`."""
        for name, _ in self._memory:
            self._inputs[name][:] = 0

    def act(self, obs: Any, mask: Any = None) -> Any:
        """The action for one observation, as `env.step` takes it.

        Args:
            obs: as the environment gave it, without a mask.
            mask: which actions are legal, where the policy takes one; None: all are.

        Raises:
            leaves.BadValue: what does not fit, and what was expected.
        """
        if (
            self._plain is not None
            and type(obs) is np.ndarray
            and obs.dtype == self._dtype
            and obs.shape == self._shape
            and (self._whole or np.isfinite(obs, self._finite).tobytes() == self._all_finite)
        ):
            self._plain[0] = obs
        elif type(obs) in (int, np.int64) and self._least <= obs <= self._most:
            self._inputs[OBS][0] = obs
        else:
            for name, array in stacked(self._space, [obs], bounded=False).items():
                self._inputs[name][:] = array
        if self._masks:
            for port in self._masks:
                self._inputs[port.name][:] = legal(port.shape, None if mask is None else [mask], 1)
        elif mask is not None:
            raise BadValue("a mask was given, and the policy takes none")
        self._compute()
        for name, given in self._memory:
            self._inputs[name][:] = self._outputs[given]
        return self._action[0] if self._scalar else self._action[0].copy()
