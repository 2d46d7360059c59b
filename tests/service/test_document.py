"""The OpenAPI document: what it allows is what is answered, for every kind of space."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import policy_files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Served

from rlbench.policyfile.leaves import stacked
from rlbench.policyfile.metadata import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from rlbench.service.policy import sample
from rlbench.service.schema import space_schema

MAKERS = {
    "linear": policy_files.linear, "masked": policy_files.masked, "adding": policy_files.adding,
    "table": policy_files.looked_up, "pixels": policy_files.pixels, "nested": policy_files.nested,
}  # fmt: skip


def schemas(served: Served) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a request's body, and of an answer's."""
    post = served.get("/openapi.json").json()["paths"]["/predict"]["post"]
    asked = post["requestBody"]["content"]["application/json"]["schema"]
    return asked, post["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize("name", MAKERS)
def test_the_example_is_allowed_and_answered_as_the_document_says(name: str, tmp_path: Path) -> None:
    served = Served(MAKERS[name](tmp_path / "a.onnx"), tmp_path / "state")
    asked, answer = schemas(served)
    obs = sample(served.answering.file.metadata.obs)
    for content in ({"obs": obs}, {"observations": [obs] * 3}):
        jsonschema.validate(content, asked)
        jsonschema.validate(served.predict(content), answer)


VALUE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-10, 300), st.text(max_size=3),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["place", "index", "memory", "a"]), inner, max_size=2),
    ),
    max_leaves=8,
)  # fmt: skip
CLOSE = {
    "linear": st.lists(st.floats(-6, 6), min_size=4, max_size=4),
    "masked": st.lists(st.one_of(st.floats(-5, 5), st.booleans()), min_size=4, max_size=4),
    "adding": st.lists(st.one_of(st.floats(-6, 6), st.none()), min_size=4, max_size=4),
    "table": st.integers(-1, 6),
    "pixels": st.lists(st.lists(st.integers(-1, 256), min_size=3, max_size=3), min_size=2, max_size=2),
    "nested": st.fixed_dictionaries({
        "place": st.lists(st.floats(), min_size=2, max_size=2), "index": st.integers(0, 4),
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_what_the_document_allows_is_answered_and_nothing_else(name: str, tmp_path: Path) -> None:
    served = Served(MAKERS[name](tmp_path / "a.onnx"), tmp_path / "state")
    asked, answer = schemas(served)
    validator = jsonschema.Draft202012Validator(asked)

    @given(st.one_of(CLOSE[name], VALUE), st.booleans(), st.one_of(st.none(), st.lists(st.booleans(), max_size=4)))
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def agree(value: Any, one: bool, mask: list[bool] | None) -> None:
        content: dict[str, Any] = {"obs": value} if one else {"observations": value}
        if mask is not None:
            content["action_mask" if one else "action_masks"] = mask
        try:
            json.dumps(content, allow_nan=False)
        except ValueError:
            return
        reply = served.post("/predict", json=content)
        assert reply.status_code in (200, 422), reply.text
        if reply.status_code == 200:
            jsonschema.validate(reply.json(), answer)
        allowed = validator.is_valid(content)
        illegal = mask is not None and not any(mask)  # that some action is legal no schema says
        assert allowed == (reply.status_code == 200) or (allowed and illegal), (content, reply.text)

    agree()


@pytest.mark.parametrize(
    ("space", "good", "bad"),
    [
        (Discrete(n=3, start=5), [5, 7], [4, 8, 5.5, "5", True]),
        (MultiBinary(shape=(2,)), [[0, 1]], [[0, 2], [0], [0, 1, 1]]),
        (Box(shape=(2, 2), dtype="float64", low=[[0, 1], [2, None]]), [[[0, 1], [2, -9]]], [[[0, 1], [2]], [0, 1, 2]]),
        (Box(shape=(2,), dtype="int32", low=[-1, None], high=2), [[-1, -9], [2, 2]], [[-2, 0], [0, 3], [0, 0.5]]),
        (Tuple(spaces=[Discrete(n=2), Box(shape=(), dtype="float32")]), [[1, 0.5]], [[1], [2, 0.5], [1, 0.5, 1]]),
        (Dict(spaces={"a": Discrete(n=2)}), [{"a": 1}], [{}, {"a": 1, "b": 1}, {"a": 2}, 1]),
        (MultiDiscrete(shape=(2,), nvec=[2, 3], start=[0, 1]), [[1, 3]], [[1, 0], [2, 1]]),
    ],
)  # fmt: skip
def test_a_space_by_json_schema(space: Any, good: list[Any], bad: list[Any]) -> None:
    validator = jsonschema.Draft202012Validator(space_schema(space))
    assert all(validator.is_valid(value) for value in [*good, sample(space)])
    assert not any(validator.is_valid(value) for value in bad)


def test_what_cannot_be_asked_is_not_documented(tmp_path: Path) -> None:
    def paths(make: Callable[[Path], Path], name: str, **how: Any) -> set[str]:
        served = Served(make(tmp_path / f"{name}.onnx"), tmp_path / name, **how)
        document = served.get("/openapi.json").json()
        assert document["openapi"].startswith("3.1")
        return set(document["paths"])

    always = {"/predict", "/spec", "/healthz", "/metrics", "/reload"}
    assert paths(policy_files.linear, "a") == always
    assert paths(policy_files.adding, "b") == {*always, "/sessions/{session}/reset"}
    assert paths(policy_files.adding, "c", workers=2) == always


def test_the_page_is_there(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state")
    assert "swagger" in served.get("/docs").text
    said = served.get("/openapi.json").json()["info"]["description"]
    assert said == "dqn on CartPole-v1, seed 0, after 1,000 env steps."


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (Box(shape=(2,), dtype="float32", low=1.5, high=2.0), [1.5, 1.5]),
        (Box(shape=(2,), dtype="float64", low=[-1.0, 3.0], high=[1.0, None]), [0.0, 3.0]),
        (Box(shape=(), dtype="uint8", low=None, high=None), 0),
        (Box(shape=(1,), dtype="int16", low=-9.0, high=-2.0), [-2]),
        (Discrete(n=3, start=5), 5),
        (MultiDiscrete(shape=(2,), nvec=[2, 3], start=[1, -1]), [1, -1]),
        (Dict(spaces={"a": MultiBinary(shape=(2,)), "b": Tuple(spaces=[Discrete(n=2)])}), {"a": [0, 0], "b": [0]}),
    ],
)
def test_a_sample_lies_in_its_space(space: Space, value: object) -> None:
    """Also where zero does not: every file that is to be served is tried with it."""
    assert sample(space) == value
    stacked(space, [sample(space)])
