"""Spaces as files tell of them, what becomes of raw observations in a graph, and random ones inside a space."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from rlbench.border.spaces import action_codec, obs_codec
from rlbench.errors import UsageError
from rlbench.policyfile import metadata
from rlbench.policyfile.leaves import leaves, stacked
from rlbench.policyfile.metadata import Port
from rlbench.proving.samples import SCALES, random_masks, random_observations
from rlbench.tracing.describe import described, shown_space
from rlbench.tracing.encode import Decoder, Encoder
from rlbench.tracing.live import unstacked

NESTED = spaces.Dict(
    {
        "a": spaces.Tuple((spaces.Discrete(3, start=-2), spaces.Box(-1, 2, (2, 2), np.float64))),
        "b": spaces.MultiDiscrete([[2, 3]], start=[[4, -1]]),
        "c": spaces.MultiBinary((2, 1)),
        "d": spaces.Box(np.array([-np.inf, 0], np.float32), np.array([np.inf, 3], np.float32)),
        "e": spaces.Box(-5, 5, (), np.int16),
    }
)
SPACES: list[spaces.Space[Any]] = [
    NESTED,
    spaces.Box(0, 255, (4, 4, 3), np.uint8),  # a picture
    spaces.Box(2, 7, (3, 3), np.uint8),  # a board
    spaces.Box(0, 255, (5,), np.uint8),  # neither
    spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    spaces.Box(0, 1, (3,), np.bool_),
    spaces.Discrete(4, start=7),
    spaces.MultiDiscrete([3, 2], start=[-1, 5]),
    spaces.MultiBinary(3),
    spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (), np.float32))),
]


def test_a_space_in_words() -> None:
    found = described(NESTED, "x", "observations")
    assert [(name, type(leaf).__name__, leaf.dtype) for name, leaf in leaves(found)] == [
        ("obs.a.0", "Discrete", "int64"),
        ("obs.a.1", "Box", "float64"),
        ("obs.b", "MultiDiscrete", "int64"),
        ("obs.c", "MultiBinary", "int8"),
        ("obs.d", "Box", "float32"),
        ("obs.e", "Box", "int16"),
    ]
    by_name: dict[str, Any] = dict(leaves(found))
    assert (by_name["obs.a.0"].n, by_name["obs.a.0"].start) == (3, -2)
    assert (by_name["obs.b"].shape, by_name["obs.b"].nvec, by_name["obs.b"].start) == ((1, 2), [2, 3], [4, -1])
    assert (by_name["obs.d"].low, by_name["obs.d"].high) == ([None, 0.0], [None, 3.0])
    assert (by_name["obs.a.1"].low, by_name["obs.a.1"].high) == (-1.0, 2.0)
    assert metadata.Dict.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_graph_encodes_as_the_border_does(space: spaces.Space[Any]) -> None:
    """To the last bit, of observations that Gymnasium draws and of our own random ones."""
    codec = obs_codec(space, "x")
    tells, encoder = described(space, "x", "observations"), Encoder(space, codec)
    space.seed(0)
    inputs = [
        stacked(tells, [space.sample() for _ in range(20)], bounded=False),
        random_observations(tells, 20, np.random.default_rng(0)),
    ]
    for arrays in inputs:
        expected = np.stack([np.array(codec.encode(obs), codec.dtype) for obs in unstacked(tells, arrays)])
        given = encoder([torch.from_numpy(x) for x in arrays.values()]).numpy()
        assert (given.dtype, given.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(given, expected)


def test_the_key_that_is_left_beside_a_mask_keeps_its_form() -> None:
    space = spaces.Dict({"action_mask": spaces.MultiBinary(2), "seen": spaces.Box(0, 255, (6, 6), np.uint8)})
    codec = obs_codec(space, "x", ["action_mask"])
    shown = shown_space(space, codec, ["action_mask"])
    assert shown == spaces.Dict({"seen": space["seen"]})
    picture = torch.arange(36, dtype=torch.uint8).reshape(1, 6, 6)
    assert Encoder(shown, codec)([picture]) is picture


def test_a_part_that_the_agent_does_not_see_is_not_taken() -> None:
    space = spaces.Dict({"seen": spaces.Discrete(2), "words": spaces.Sequence(spaces.Discrete(2))})
    codec = obs_codec(space, "x")
    assert [name for name, _ in leaves(described(shown_space(space, codec, ()), "x", "observations"))] == ["obs.seen"]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Text(5), r"'x' has observations with a part of type Text"),
        (spaces.OneOf((spaces.Discrete(2), spaces.Discrete(3))), "a part of type OneOf"),
        (spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)}), "a.b": spaces.Discrete(2)}), r"one name, obs\.a\.b"),
        (spaces.Dict({1: spaces.Discrete(2)}), "the key 1"),
        (spaces.Box(0, 1, (2,), np.longdouble), "a part of type Box"),
    ],
    ids=["text", "one of", "a name twice", "a number for a key", "128 bits"],
)
def test_what_no_file_takes_is_one_line(space: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as e:
        described(space, "x", "observations")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("space", "given"),
    [
        (spaces.Discrete(4, start=-3), [0, 3]),
        (spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 3], [-2, 7]]), [[0, 2, 3, 4], [1, 0, 0, 0]]),
        (spaces.MultiBinary((2, 2)), [[0, 1, 1, 0], [1, 1, 1, 1]]),
        (spaces.Box(-1, 1, (2, 1), np.float64), [[[0.25], [-1.0]], [[1.0], [0.0]]]),
        (spaces.Box(-9, 9, (3,), np.int16), [[0.5, 1.5, -2.5], [2.4999, 8.9, -0.1]]),
        (spaces.Box(0, 1, (2,), np.bool_), [[0.2, 0.8], [1.0, 0.0]]),
    ],
    ids=str,
)
def test_a_graph_decodes_as_the_border_does(space: Any, given: list[Any]) -> None:
    codec = action_codec(space, "x")
    action = torch.tensor(given)
    expected = np.array(codec.decode(action.unsqueeze(0)), space.dtype).reshape(2, *space.shape)
    found = Decoder(codec)(action).numpy()
    assert (found.dtype, found.shape) == (space.dtype, (2, *space.shape))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_random_observations_lie_in_the_space(space: spaces.Space[Any]) -> None:
    tells = described(space, "x", "observations")
    arrays = random_observations(tells, 200, np.random.default_rng(1))
    for obs in unstacked(tells, arrays):
        assert space.contains(obs), obs
    again = random_observations(tells, 200, np.random.default_rng(1))
    assert all(x.tobytes() == again[name].tobytes() for name, x in arrays.items())


def test_numbers_without_bounds_come_in_several_scales() -> None:
    tells = described(spaces.Box(-np.inf, np.inf, (50,), np.float32), "x", "observations")
    rows = random_observations(tells, len(SCALES), np.random.default_rng(0))["obs"]
    assert np.all((np.abs(rows).max(1) / SCALES > 0.5) & (np.abs(rows).max(1) / SCALES < 5))


@given(st.integers(0, 1000), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_random_mask_leaves_something_of_each_choice(seed: int, sizes: list[int]) -> None:
    port = Port(name="action_mask", role="mask", shape=(sum(sizes),), dtype="bool")
    masks = random_masks(port, 30, np.random.default_rng(seed), sizes)
    assert masks.shape == (30, sum(sizes))
    assert all(part.any(1).all() for part in np.split(masks, np.cumsum(sizes)[:-1], 1))
