"""The description of the service, by OpenAPI 3.1, with the observation space of the policy that is served."""

import math
from typing import Any

import numpy as np

from ..policyfile.metadata import Box, Dict, Leaf, Metadata, Port, Space, Tuple
from .asked import LONGEST_ID, RequestForm
from .policy import sample

Schema = dict[str, Any]
MOST_APART = 64  # numbers whose bounds are written down one by one


def space_schema(space: Space) -> Schema:
    """The JSON of one value of a space."""
    if isinstance(space, Dict):
        return {
            "type": "object",
            "properties": {key: space_schema(inner) for key, inner in space.spaces.items()},
            "required": list(space.spaces),
            "additionalProperties": False,
        }
    if isinstance(space, Tuple):
        return _row([space_schema(inner) for inner in space.spaces])
    low, high = space.limits
    whole = not isinstance(space, Box) or np.dtype(space.dtype).kind != "f"
    if np.ndim(low) == 0 and np.ndim(high) == 0:
        return _nested(_number(whole, float(low), float(high)), space.shape)
    lows, highs = np.broadcast_to(low, space.shape), np.broadcast_to(high, space.shape)
    if len(space.shape) == 1 and math.prod(space.shape) <= MOST_APART:
        return _row([_number(whole, float(a), float(b)) for a, b in zip(lows, highs, strict=True)])
    return _nested(_number(whole, float(lows.min()), float(highs.max())), space.shape)


def _number(whole: bool, low: float, high: float) -> Schema:
    if whole:
        return {"type": "integer", "minimum": math.ceil(low), "maximum": math.floor(high)}
    return {"type": "number", "minimum": low, "maximum": high}


def _nested(inner: Schema, shape: tuple[int, ...]) -> Schema:
    for size in reversed(shape):
        inner = {"type": "array", "items": inner, "minItems": size, "maxItems": size}
    return inner


def _row(parts: list[Schema]) -> Schema:
    return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts), "maxItems": len(parts)}


def _port(port: Port, space: Space | None = None) -> Schema:
    """What a graph gives; what is not finite is null."""
    if port.role == "action" and isinstance(space, Leaf):
        return space_schema(space)
    return _nested({"type": ["number", "null"]}, port.shape)


def _list_of(inner: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": inner, "minItems": 1} | ({"maxItems": most} if most else {})


def _if_any(inner: Schema, description: str) -> Schema:
    return {"anyOf": [inner, {"type": "null"}], "description": description}


def asked_schema(form: RequestForm) -> Schema:
    """The body of POST /predict."""
    metadata, obs = form.metadata, space_schema(form.metadata.obs)
    one: Schema = {"obs": obs}
    many: Schema = {"observations": _list_of(obs, form.most)}
    if form.masked:
        port = next(port for port in metadata.inputs if port.role == "mask")
        mask = _nested({"type": "boolean"}, port.shape)
        told = "Which actions are legal, at least one; without it, all are."
        one["action_mask"] = _if_any(mask, told)
        many["action_masks"] = _if_any(_list_of(mask, form.most), told)
    if form.memory:
        told = "What the last answer gave as memory; without it, an episode begins."
        each = {name: space_schema(box) for name, box in form.memory.items()}
        one["memory"] = _if_any(_object(each, list(each)), told)
        lists = {name: _list_of(inner, form.most) for name, inner in each.items()}
        apart = _list_of(_object(each, list(each)), form.most)
        several = (
            "As an answer to several has it, or a list of what answers to one each gave; without it, episodes begin."
        )
        many["memory"] = _if_any({"anyOf": [_object(lists, list(lists)), apart]}, several)
    one["begin"] = {"type": "boolean", "default": False, "description": "Whether an episode begins."}
    if form.memory and form.sessions:
        name = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}
        one["session"] = _if_any(name, "Keeps the memory here, under this name, which no other client uses.")
    return {"oneOf": [_object(one, ["obs"]), _object(many, ["observations"])]}


def answer_schema(form: RequestForm) -> Schema:
    """The body of an answer."""
    metadata = form.metadata
    action = _port(metadata.outputs[0], metadata.action)
    shown = {port.name: _port(port) for port in metadata.outputs if port.role == "shown"}
    digest = {"type": "string", "description": "SHA-256 of the policy file that answered."}
    memory = {port.of: _port(port) for port in metadata.outputs if port.role == "memory"}
    more: Schema = {"session": {"type": "string"}} if memory else {}

    def answer(key: str, several: bool) -> Schema:
        def each(inner: Schema) -> Schema:
            return _list_of(inner) if several else inner

        values = _object({name: each(inner) for name, inner in shown.items()}, list(shown))
        parts: Schema = {key: each(action), "values": values, "digest": digest, **more}
        if memory:
            parts["memory"] = _object({name: each(inner) for name, inner in memory.items()}, list(memory))
        return _object(parts, [key, "values", "digest"])

    return {"oneOf": [answer("action", False), answer("actions", True)]}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def predict_path(form: RequestForm, refused: Schema) -> Schema:
    """POST /predict, for the document; ``refused`` is what a request that is not answered gets."""
    told = {
        400: "no JSON", 404: "an unknown session", 408: "it did not arrive in time", 413: "too large",
        415: "not application/json", 422: "it does not fit: what was expected, and what came", 503: "too much to do",
    }  # fmt: skip
    example = {"obs": sample(form.metadata.obs)} if _small(form.metadata) else None
    content: Schema = {"schema": asked_schema(form)} | ({"example": example} if example else {})
    answers = {"200": {"description": "answered", "content": {"application/json": {"schema": answer_schema(form)}}}}
    errors = {str(c): {"description": t, "content": {"application/json": {"schema": refused}}} for c, t in told.items()}
    return {
        "post": {
            "summary": "The policy's action for one observation, or for each of several",
            "operationId": "predict",
            "requestBody": {"required": True, "content": {"application/json": content}},
            "responses": answers | errors,
        }
    }


def _small(metadata: Metadata) -> bool:
    return sum(math.prod(port.shape) for port in metadata.inputs) <= 1000
