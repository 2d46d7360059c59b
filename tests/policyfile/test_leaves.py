"""Observations on their way into a policy file: each leaf its own input, and whatever does not fit said in one line."""

import json
import time

import numpy as np
import pytest

from rlbench.policyfile.leaves import BadValue, checked, leaves, obs_ports, stacked
from rlbench.policyfile.metadata import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

VECTOR = Box(shape=(2,), dtype="float32", low=[-1.5, None], high=[1.5, None])
PIXELS = Box(shape=(2, 2), dtype="uint8", low=0, high=255)
SEVERAL = MultiDiscrete(shape=(2,), nvec=[3, 2], start=[0, 5])
NESTED = Dict(
    spaces={"place": VECTOR, "more": Tuple(spaces=[Discrete(n=3, start=1), MultiBinary(shape=(2,))]), "eye": PIXELS}
)
GOOD = {"place": [0.5, 7], "more": [3, [0, 1]], "eye": [[0, 255], [1, 2]]}


def test_every_leaf_is_an_input_named_by_its_path() -> None:
    assert [name for name, _ in leaves(NESTED)] == ["obs.place", "obs.more.0", "obs.more.1", "obs.eye"]
    assert [(p.name, p.shape, p.dtype) for p in obs_ports(NESTED)] == [
        ("obs.place", (2,), "float32"), ("obs.more.0", (), "int64"), ("obs.more.1", (2,), "int8"),
        ("obs.eye", (2, 2), "uint8"),
    ]  # fmt: skip
    assert [port.name for port in obs_ports(VECTOR)] == ["obs"]


def test_a_batch_keeps_values_shapes_and_types() -> None:
    other = {"eye": np.zeros((2, 2), np.uint8), "more": (1, np.array([1, 1])), "place": np.array([-1.5, -2e9])}
    made = stacked(NESTED, [GOOD, other])
    assert {name: (x.shape, x.dtype.name) for name, x in made.items()} == {
        "obs.place": ((2, 2), "float32"), "obs.more.0": ((2,), "int64"), "obs.more.1": ((2, 2), "int8"),
        "obs.eye": ((2, 2, 2), "uint8"),
    }  # fmt: skip
    assert made["obs.place"].tolist() == [[0.5, 7.0], [-1.5, -2e9]]
    assert made["obs.more.0"].tolist() == [3, 1]
    assert made["obs.more.1"].tolist() == [[0, 1], [1, 1]]
    assert made["obs.eye"][0].tolist() == [[0, 255], [1, 2]]


@pytest.mark.parametrize(
    ("space", "value", "said"),
    [
        (VECTOR, [1.0], "obs has shape (1,) where finite numbers of shape (2,) within the bounds"),
        (VECTOR, [[1.0, 2.0]], "obs has shape (1, 2)"),
        (VECTOR, 1.0, "obs has shape ()"),
        (VECTOR, None, "obs is null where"),
        (VECTOR, "12", "obs is a text where"),
        (VECTOR, ["1", 2], "obs[0] is a text where a number is expected"),
        (VECTOR, [True, False], "obs[0] is a bool where a number is expected"),
        (VECTOR, [[1, 2], [3]], "obs has shape|rows of different lengths"),
        (
            VECTOR,
            {"a": 1},
            "obs is an object where finite numbers of shape (2,) within the bounds of the space are expected",
        ),
        (VECTOR, [1.6, 0], "obs holds 1.6 where"),
        (VECTOR, [0, float("nan")], "obs holds nan"),
        (VECTOR, [0, float("-inf")], "obs holds -inf"),
        (VECTOR, [0, 1e39], "obs holds 1e+39, which is beyond float32"),
        (VECTOR, [0, 3.402823466385289e38], "obs holds 3.402823466e+38, which is beyond float32"),
        (VECTOR, [0] * 5000, "obs holds more than 1,008 values where"),
        (VECTOR, [[[0] * 600, [[0] * 600]]], "obs holds more than 1,008 values where"),
        (VECTOR, [0, 10**400], "obs holds a number that is too large"),
        (VECTOR, [[[[[[[1, 2]]]]]]], "obs[0][0] is a list of 1"),
        (PIXELS, [[0, 256], [0, 0]], "obs holds 256 where whole numbers of shape (2, 2) from 0 to 255"),
        (PIXELS, [[0, -1], [0, 0]], "obs holds -1 where"),
        (PIXELS, [[0, 0.5], [0, 0]], "obs holds 0.5 where"),
        (Discrete(n=3, start=-1), 2, "obs holds 2 where a whole number from -1 to 1"),
        (Discrete(n=3), -1, "obs holds -1 where"),
        (Discrete(n=3), 0.5, "obs holds 0.5 where"),
        (Discrete(n=3), [1], "obs is a list of one where a whole number"),
        (Discrete(n=3), True, "obs is a bool where a whole number from 0 to 2 is expected"),
        (SEVERAL, [0, 4], "obs holds 4 where"),
        (SEVERAL, [3, 5], "obs holds 3 where"),
        (MultiBinary(shape=(2,)), [0, 2], "obs holds 2 where numbers 0 or 1"),
        (NESTED, [1], "obs is a list of 1 where an object with 'place', 'more', 'eye'"),
        (NESTED, {**GOOD, "x": 1}, "obs has 'x', which is none of"),
        (NESTED, {"place": [0, 0], "more": GOOD["more"]}, "obs lacks 'eye'"),
        (NESTED, {**GOOD, "more": [1]}, "obs.more is a list of 1 where 2 parts"),
        (NESTED, {**GOOD, "more": [0, [0, 1]]}, "obs.more[0] holds 0 where a whole number from 1 to 3"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(space: Space, value: object, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        stacked(space, [value])
    text = str(caught.value)
    assert any(text.startswith(one) or one in text for one in said.split("|"))
    assert "\n" not in text


def test_what_is_far_too_large_is_not_looked_through() -> None:
    huge = [[0] * 500_000] * 8
    began = time.process_time()
    for space in (VECTOR, PIXELS, Discrete(n=3), MultiBinary(shape=(2,))):
        with pytest.raises(BadValue, match="holds more than"):
            stacked(space, [huge])
    assert time.process_time() - began < 0.1


def test_of_several_the_one_that_is_wrong_is_named() -> None:
    with pytest.raises(BadValue, match=r"^obs\[2\]\.more\[1\] holds 7 where"):
        stacked(NESTED, [GOOD, GOOD, {**GOOD, "more": [1, [7, 0]]}])


def test_what_an_environment_gives_beyond_its_bounds_passes_if_asked() -> None:
    assert stacked(VECTOR, [[2.0, 0.0]], bounded=False)["obs"].tolist() == [[2.0, 0.0]]
    with pytest.raises(BadValue, match="holds 2 where"):
        stacked(VECTOR, [[2.0, 0.0]])
    with pytest.raises(BadValue, match="holds 256 where"):  # no such byte
        stacked(PIXELS, [[[0, 256], [0, 0]]], bounded=False)


def test_json_and_numpy_give_the_same() -> None:
    value = np.random.default_rng(0).normal(size=(50, 2)).clip(-1.5, 1.5)
    by_json = stacked(VECTOR, json.loads(json.dumps(value.tolist())))["obs"]
    assert (by_json == stacked(VECTOR, list(value))["obs"]).all()
    assert (by_json == value.astype(np.float32)).all()


def test_a_whole_float_is_an_index_and_a_large_one_is_none() -> None:
    assert checked(Discrete(n=3), 2.0, "obs").tolist() == 2
    with pytest.raises(BadValue, match=r"holds 1e\+300 where"):
        checked(Discrete(n=3), 1e300, "obs")
