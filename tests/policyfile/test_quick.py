"""The quick way into a policy file takes what the careful one takes, with the same numbers, and nothing else."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.policyfile.leaves import BadValue, checked
from rlbench.policyfile.metadata import Box, Discrete, Leaf, MultiBinary, MultiDiscrete
from rlbench.policyfile.quick import fit

LEAVES: dict[str, Leaf] = {
    "free": Box(shape=(2,), dtype="float32"),
    "double": Box(shape=(), dtype="float64", low=-1.0),
    "bounded": Box(shape=(2,), dtype="float32", low=[-1.5, None], high=[1.5, None]),
    "pixels": Box(shape=(2, 1), dtype="uint8", low=0, high=255),
    "long": Box(shape=(), dtype="int64"),
    "index": Discrete(n=3, start=-1),
    "several": MultiDiscrete(shape=(2,), nvec=[3, 2], start=[0, 5]),
    "bits": MultiBinary(shape=(2,)),
}
NUMBERS = st.one_of(
    st.integers(-2, 6), st.integers(), st.floats(-3, 3), st.floats(), st.booleans(), st.none(), st.just("1"),
    st.sampled_from([256, 2**63, 2**63 - 1, 2**64, 9.3e18, 1e39, math.inf, math.nan]),
)  # fmt: skip
VALUES = st.one_of(
    NUMBERS,
    st.lists(NUMBERS, max_size=3),
    st.lists(st.lists(NUMBERS, max_size=2), max_size=3),
    st.lists(st.integers(-1, 6), min_size=2, max_size=2).map(np.array),
    st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=2).map(lambda x: np.array(x, np.float32)),
    st.lists(st.booleans(), min_size=2, max_size=2).map(np.array),
)


@given(st.sampled_from(sorted(LEAVES)), st.lists(VALUES, min_size=1, max_size=3), st.booleans())
def test_the_quick_way_agrees_with_the_careful_one(name: str, values: list[object], bounded: bool) -> None:
    out: dict[str, np.ndarray] = {}
    if fit(LEAVES[name], values, "obs", bounded, out):
        wanted = np.stack([checked(LEAVES[name], value, "obs", bounded) for value in values])
        assert out["obs"].dtype == wanted.dtype
        assert out["obs"].tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("free", [0.5, 3]), ("free", np.array([1.0, 2.0], np.float32)), ("bounded", (1.5, -9e9)),
        ("pixels", [[0], [255]]),
        ("index", -1), ("index", np.int64(1)), ("index", 1.0), ("several", [2, 6]), ("bits", np.array([True, False])),
        ("long", -(2**63)), ("double", 1e300),
    ],
)  # fmt: skip
def test_what_is_usual_goes_the_quick_way(name: str, value: object) -> None:
    out: dict[str, np.ndarray] = {}
    assert fit(LEAVES[name], [value] * 3, "obs", True, out)
    assert out["obs"].shape == (3, *LEAVES[name].shape)
    assert out["obs"].flags.c_contiguous


@pytest.mark.parametrize("value", [[True, 0.5], [0.5, False], [True, True]])
def test_a_bool_is_no_number_not_even_among_numbers(value: object) -> None:
    assert not fit(LEAVES["free"], [value], "obs", True, {})
    with pytest.raises(BadValue, match=r"obs\[\d\] is a bool where a number is expected"):
        checked(LEAVES["free"], value, "obs")
