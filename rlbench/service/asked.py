"""What a client asks by `POST /predict`: the body of a request, read and told apart, nothing computed yet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from ..policyfile.leaves import BadValue, due, kind, leaves, stacked
from ..policyfile.metadata import Box, Metadata
from .refused import Refused

LONGEST_ID = 128  # letters of a session's name
_ONE, _MANY = {"obs", "action_mask", "session", "begin", "memory"}, {"observations", "action_masks", "memory"}


@dataclass(slots=True)
class PredictRequest:
    """One request.

    Attributes:
        observations: as JSON has them, not checked yet.
        one: whether it asked for one, by "obs", and is answered by "action".
        masks: as JSON has them, one for each observation; None: everything is legal.
        memory: by the names of the memory inputs, (B, *shape) each; None: episodes begin.
        session: where what is remembered is kept; None: the client keeps it.
        begin: whether an episode of the session begins.
    """

    observations: list[Any]
    one: bool = True
    masks: list[Any] | None = None
    memory: Mapping[str, np.ndarray] | None = None
    session: str | None = None
    begin: bool = False


@dataclass(frozen=True)
class RequestForm:
    """What may be asked of a policy.

    Args:
        metadata: of its file.
        most: observations in one request.
        sessions: whether they are kept here; by one of several workers they are not.
    """

    metadata: Metadata
    most: int
    sessions: bool = True
    masked: bool = field(init=False)
    memory: dict[str, Box] = field(init=False)

    def __post_init__(self) -> None:
        ports = self.metadata.inputs
        memory = {port.name: Box(shape=port.shape, dtype=port.dtype) for port in ports if port.role == "memory"}
        object.__setattr__(self, "masked", any(port.role == "mask" for port in ports))
        object.__setattr__(self, "memory", memory)

    @property
    def _useless(self) -> set[str]:
        """Keys that are refused, or mean nothing, by what this policy does not take."""
        useless = set() if self.masked else {"action_mask", "action_masks"}
        if not self.memory:
            return useless | {"memory", "session", "begin"}
        return useless if self.sessions else useless | {"session"}

    def read(self, body: bytes) -> PredictRequest:
        """A request by its body. Raises Refused: 400 for what is no JSON, 422 for another form."""
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError as e:
            raise self._no_json(body, e) from e
        if type(content) is not dict:
            raise Refused(422, f'the body is {kind(content)} where an object with "obs" or "observations" is expected')
        if len(content) == 1 and "obs" in content:
            return PredictRequest([content["obs"]])
        one = "obs" in content
        if one == ("observations" in content):
            both = "both of them" if one else "neither"
            raise Refused(422, f'either "obs", one observation, or "observations", a list of them: here is {both}')
        if strange := content.keys() - (_ONE if one else _MANY):
            known = ", ".join(f'"{key}"' for key in sorted((_ONE if one else _MANY) - self._useless))
            beside = "obs" if one else "observations"
            raise Refused(422, f'beside "{beside}" there is {min(strange)[:40]!r}: expected is {known}')
        return self._one(content) if one else self._many(content)

    def _one(self, content: dict[str, Any]) -> PredictRequest:
        asked = PredictRequest([content["obs"]])
        if content.get("action_mask") is not None:
            asked.masks = [self._mask(content["action_mask"])]
        session, begin = content.get("session"), content.get("begin", False)
        if type(begin) is not bool:
            raise Refused(422, f'"begin" is {kind(begin)} where true or false is expected')
        if session is not None:
            self.check_session(session)
            if content.get("memory") is not None:
                raise Refused(422, '"session" keeps what is remembered here, "memory" at the client: give one of them')
            asked.session, asked.begin = session, begin
        elif content.get("memory") is not None and not begin:
            asked.memory = self._memory(content["memory"], 1, lambda value: [value])
        return asked

    def _many(self, content: dict[str, Any]) -> PredictRequest:
        observations = content["observations"]
        if type(observations) is not list or not observations:
            raise Refused(422, f'"observations" is {kind(observations)} where a list of one or more is expected')
        if len(observations) > self.most:
            raise Refused(422, f'"observations" has {len(observations):,} of them, and at most {self.most:,} are taken')
        asked = PredictRequest(observations, one=False)
        masks = content.get("action_masks")
        if masks is not None:
            if type(masks) is not list or len(masks) != len(observations):
                raise Refused(422, f'"action_masks" is {kind(masks)} where one for each observation is expected')
            asked.masks = self._mask(masks)
        memory = content.get("memory")
        if memory is not None:
            if type(memory) is list:
                memory = self._side_by_side(memory, len(observations))
            asked.memory = self._memory(memory, len(observations), lambda value: value)
        return asked

    def _mask(self, mask: Any) -> Any:
        if not self.masked:
            raise Refused(422, "this policy takes no action_mask: all its actions are always legal")
        return mask

    def check_session(self, session: Any, status: int = 422) -> None:
        """Raises Refused, with ``status`` where no session can be kept here, and 422 where it is called by no name."""
        if not self.memory:
            raise Refused(status, 'this policy remembers nothing: it needs no "session"')
        if not self.sessions:
            raise Refused(
                status,
                "several workers serve this policy, and none keeps sessions: hand back the memory of the last answer",
            )
        if type(session) is not str or not 0 < len(session) <= LONGEST_ID:
            raise Refused(422, f'"session" is {kind(session)} where a text of 1 to {LONGEST_ID} letters is expected')

    def _side_by_side(self, memories: list[Any], batch: int) -> dict[str, list[Any]]:
        """Memory that answers to one observation each gave, as an answer to several has it."""
        if self.memory and len(memories) != batch:
            raise Refused(422, f'"memory" is {kind(memories)} where one for each observation is expected')
        for i, memory in enumerate(memories):
            if self.memory and (type(memory) is not dict or memory.keys() != self.memory.keys()):
                names = ", ".join(f'"{name}"' for name in self.memory)
                raise Refused(422, f"memory[{i}] is {kind(memory)} where an object with {names} is expected")
        return {name: [memory[name] for memory in memories] for name in self.memory}

    def _memory(self, memory: Any, batch: int, listed: Any) -> dict[str, np.ndarray]:
        if not self.memory:
            raise Refused(422, 'this policy remembers nothing: it takes no "memory"')
        if type(memory) is not dict or memory.keys() != self.memory.keys():
            names = ", ".join(f'"{name}"' for name in self.memory)
            raise Refused(422, f'"memory" is {kind(memory)} where an object with {names} is expected')
        found = {}
        for name, box in self.memory.items():
            values = listed(memory[name])
            if type(values) is not list or len(values) != batch:
                raise Refused(422, f"memory.{name} is {kind(values)} where one for each observation is expected")
            try:
                found[name] = stacked(box, values, place=f"memory.{name}")["obs"]
            except BadValue as e:
                raise Refused(422, str(e)) from e
        return found

    def _no_json(self, body: bytes, e: orjson.JSONDecodeError) -> Refused:
        """Why a body cannot be read; of what many programs write for numbers that are not finite, as of a bad value."""
        if "infinity" in str(e) or b"NaN" in body or b"Infinity" in body:
            try:
                json.loads(body, parse_int=float)  # of a long one Python makes no int
            except (ValueError, RecursionError):
                pass
            else:
                first = next((leaf for _, leaf in leaves(self.metadata.obs)), None)
                wanted = f": {due(first)} expected" if first else ""
                return Refused(422, f"a number is not finite (NaN, Infinity, or beyond 1.8e308){wanted}")
        return Refused(400, f"the body is no JSON: {e}")
