"""From requests to answers: those that came together go through the graph together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from ..policyfile.leaves import BadValue
from ..policyfile.opened import PolicyFile
from .asked import PredictRequest
from .refused import Refused

Reply = bytes | Refused


class Computing:
    """Answers of one policy file.

    Args:
        file: opened.
    """

    def __init__(self, file: PolicyFile) -> None:
        self.file = file
        self._shown = [port.name for port in file.metadata.outputs if port.role == "shown"]
        self._action = next(port.name for port in file.metadata.outputs if port.role == "action")
        self._mask = next((port for port in file.metadata.inputs if port.role == "mask"), None)
        self._memory = [port for port in file.metadata.inputs if port.role == "memory"]

    def __call__(self, asked: Sequence[PredictRequest]) -> list[tuple[Reply, dict[str, np.ndarray]]]:
        """For each request the body of its answer, or why it has none, and what is to be remembered."""
        try:
            return self._together(asked)
        except BadValue as e:
            if len(asked) == 1:
                return [(Refused(422, str(e)), {})]
        refused = [self._refusal(one) for one in asked]  # somebody's does not fit: whose?
        fine = iter(self._together([one for one, why in zip(asked, refused, strict=True) if why is None] or asked[:0]))
        return [next(fine) if why is None else (why, {}) for why in refused]

    def _refusal(self, asked: PredictRequest) -> Refused | None:
        try:
            self._inputs([asked])
        except BadValue as e:
            return Refused(422, str(e))
        return None

    def _inputs(self, asked: Sequence[PredictRequest]) -> dict[str, np.ndarray]:
        observations = [obs for one in asked for obs in one.observations]
        masks, memory = None, None
        if self._mask and any(one.masks is not None for one in asked):
            every = np.ones(self._mask.shape, bool).tolist()
            masks = [mask for one in asked for mask in one.masks or [every] * len(one.observations)]
        if self._memory and any(one.memory is not None for one in asked):
            memory = {
                port.name: np.concatenate([
                    np.zeros((len(one.observations), *port.shape), port.dtype)
                    if one.memory is None else one.memory[port.name] for one in asked
                ])
                for port in self._memory
            }  # fmt: skip
        place = None if len(asked) == 1 and asked[0].one else "observations"
        return self.file.inputs(observations, masks, memory, place=place)

    def _together(self, asked: Sequence[PredictRequest]) -> list[tuple[Reply, dict[str, np.ndarray]]]:
        if not asked:
            return []
        outputs = self.file(self._inputs(asked))
        actions: Any = outputs[self._action]
        if actions.dtype.kind in "iu":
            actions = actions.tolist()
        remembered = self.file.remembered(outputs) if self._memory else {}
        made: list[tuple[Reply, dict[str, np.ndarray]]] = []
        at = 0
        for one in asked:
            end = at + len(one.observations)
            where: Any = at if one.one else slice(at, end)
            answer = {
                "action" if one.one else "actions": actions[where],
                "values": {name: outputs[name][where] for name in self._shown},
                "digest": self.file.digest,
            }
            memory = {name: array[at:end] for name, array in remembered.items()}
            if one.session is not None:
                answer["session"] = one.session
            elif memory:
                answer["memory"] = {name: array[where] for name, array in remembered.items()}
            made.append((orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), memory))
            at = end
        return made
