"""What an environment declares and observes: every part of an observation is checked at every depth, and copied."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from foreign import Foreign, batch, box, run, still
from gymnasium import spaces

from rlbench.border.make import env_maker
from rlbench.errors import EnvError, UsageError
from rlbench.rollout.env_batch import EnvBatch

PICTURE = spaces.Box(0, 255, (4, 5), np.uint8)
LOW = np.array([[0, 4]])
BOARD = spaces.Box(0, 2, (3, 3), np.uint8)
SEQUENCE, GRAPH = spaces.Sequence(spaces.Discrete(3)), spaces.Graph(spaces.Box(0, 1), None)
PARTS = spaces.Dict(
    a=spaces.Box(-9, 9, (3,), np.float32),
    b=spaces.Tuple([spaces.Discrete(3, start=1), spaces.Dict(c=spaces.MultiDiscrete([2, 3]))]),
)


def parts(**changed: Any) -> Any:
    inner = {"c": changed.get("c", [1, 2])}
    return {"a": changed.get("a", np.zeros(3, np.float32)), "b": (changed.get("index", 1), inner)}


@pytest.mark.parametrize(
    ("space", "obs", "words"),
    [
        (PICTURE, np.full((4, 5), 0.9, np.float32), "holds 0.9 where whole numbers"),
        (PICTURE, np.full((4, 5), 0.5), "holds 0.5 where whole numbers"),
        (PICTURE, np.full((4, 5), 263), "holds 263 where uint8 reaches from 0 to 255"),
        (PICTURE, np.full((4, 5), -1), "holds -1 where uint8"),
        (PICTURE, np.full((4, 5), 256.0), "holds 256 where uint8"),
        (PICTURE, np.full((4, 5), np.nan), "not finite"),
        (PICTURE, np.zeros((5, 4), np.uint8), r"shape \(5, 4\) where \(4, 5\)"),
        (PICTURE, np.zeros((4, 5, 1), np.uint8), r"shape \(4, 5, 1\)"),
        (BOARD, np.full((3, 3), 7, np.uint8), "holds 7 where 0 to 2 was declared"),
        (BOARD, np.full((3, 3), 0.3), "holds 0.3 where whole numbers"),
        (box(np.uint8), [1, 999], "holds 999 where uint8"),
        (box(np.int8, high=100), np.array([1, 200]), "holds 200 where int8"),
        (box(np.int16, low=-5), [1.0, 2.5], "holds 2.5 where whole numbers"),
        (box(np.int64), np.array([2**24 + 1, 0]), "16777217.*declare a Box of floats"),
        (box(np.int64), np.array([-(2**24) - 1, 0]), "-16777217"),
        (box(np.uint32), np.array([0, 2**24 + 3], np.uint32), "16777219"),
        (box(np.uint64), np.array([0, -1.0]), "holds -1 where uint64"),
        (box(bool, high=1), np.array([0.5, 1]), "holds 0.5 where whole numbers"),
        (box(bool, high=1), np.array([2, 1]), "holds 2 where bool"),
        (box(np.float32), np.array([1e39, 0]), r"too large for float32.*1e\+39"),
        (box(np.float64), np.array([0, -1e200]), r"too large for float32.*-1e\+200"),
        (box(np.float64), np.array([0, np.inf]), "not finite"),
        (box(np.float32), np.array(["1", "2"]), "where numbers are due"),
        (box(np.float32), np.array([None, 1.0]), "where numbers are due"),
        (box(np.float32), np.array([1j, 1.0]), "where numbers are due"),
        (box(np.float32), [[1.0], [1.0, 2.0]], "cannot be read as an array"),
        (box(np.float32), {"a": 1}, "a dict of 1 where an array"),
        (box(np.float32), "ab", "'ab'.*where an array"),
        (box(np.float32), np.ma.masked_array([1.0, 2.0], [True, False]), "masked entries"),
        (spaces.Discrete(3), np.array([1]), r"array of shape \(1,\).*return one number"),
        (spaces.Discrete(3), [1], "return one number"),
        (spaces.Discrete(3), torch.tensor([[1]]), r"shape \(1, 1\)"),
        (spaces.Discrete(3), 1.5, "is 1.5 where"),
        (spaces.Discrete(3), "1", "'1'"),
        (spaces.Discrete(3), None, "is None where"),
        (spaces.Discrete(3), float("nan"), "is nan where"),
        (spaces.Discrete(3), 3, "is 3 where"),
        (spaces.Discrete(3, start=2), 1, "is 1 where"),
        (spaces.MultiDiscrete([3, 3]), np.array([3, -1]), r"\[ 3 -1\] where MultiDiscrete"),
        (spaces.MultiDiscrete([3, 3]), np.array([0, 3]), r"\[0 3\] where MultiDiscrete"),
        (spaces.MultiDiscrete([3, 3], start=[2, 2]), np.array([1, 3]), r"\[1 3\]"),
        (spaces.MultiDiscrete([3, 3]), [1], r"shape \(1,\)"),
        (spaces.MultiDiscrete([3, 3]), [0.5, 1], r"0\.5.*whole numbers"),
        (spaces.MultiBinary(3), [0, 1, 2], r"\[0 1 2\].*zeros and ones"),
        (spaces.MultiBinary(3), [0, 1, 0.5], "zeros and ones"),
        (spaces.MultiBinary((2, 2)), [0, 1, 1, 0], r"shape \(4,\)"),
        (spaces.Text(3, charset="abc"), "abd", "'d'.*not among the letters"),
        (spaces.Text(3, charset="abc"), "abca", "4 letters where 1 to 3"),
        (spaces.Text(3, charset="abc"), "", "0 letters"),
        (spaces.Text(3, charset="abc"), 5, r"5 \(int\) where a text"),
        (PARTS, parts(a=np.zeros(1, np.float32)), r"\['a'\] has shape \(1,\) where \(3,\)"),
        (PARTS, parts(a=np.zeros(4)), r"\['a'\] has shape \(4,\)"),
        (PARTS, parts(a=np.array([np.nan, 0, 0])), "not finite"),
        (PARTS, parts(index=0), r"\['b'\]\[0\] is 0 where Discrete"),
        (PARTS, parts(index=np.array([1])), r"\['b'\]\[0\] is an array"),
        (PARTS, parts(c=[1, 3]), r"\['b'\]\[1\]\['c'\] is \[1 3\]"),
        (PARTS, parts(c=[1]), r"\['b'\]\[1\]\['c'\] has shape \(1,\)"),
        (PARTS, {"a": np.zeros(3)}, "no 'b'; its keys are to be 'a', 'b'"),
        (PARTS, {**parts(), "z": 1}, "'z', which was not declared"),
        (PARTS, np.zeros(8), "where a dict was declared"),
        (PARTS, {**parts(), "b": (1,)}, r"\['b'\] is a tuple of 1 where a tuple of 2"),
        (PARTS, {**parts(), "b": 5}, "where a tuple of 2"),
        (spaces.Dict(a=box(np.uint8)), {"a": np.array([300, 1])}, r"\['a'\] holds 300"),
        (spaces.Dict(a=box(np.float64)), {"a": np.array([1e40, 1])}, "too large for float32"),
        (spaces.Tuple([PICTURE]), (np.full((4, 5), 0.5),), r"\[0\] holds 0.5"),
        (spaces.OneOf([spaces.Discrete(2), box(np.int8)]), (2, 1), "is 2 where one of 2 parts"),
        (spaces.OneOf([spaces.Discrete(2), box(np.int8)]), (0, 5), "is 5 where"),
        (spaces.OneOf([spaces.Discrete(2), box(np.int8)]), 1, "number of the part"),
    ],
)
@pytest.mark.parametrize("at", [0, 3])
def test_an_observation_that_was_not_declared_is_an_error_that_names_part_and_place(
    space: Any, obs: Any, words: str, at: int
) -> None:
    right = space.sample()
    with pytest.raises(EnvError, match=words) as e:
        run(space=space, obs=lambda t: obs if t == at else right)
    assert f"step {at} of episode 0 (seed 7, env 0)" in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("space", "obs", "stored"),
    [
        (PICTURE, np.full((4, 5), 255.0), np.full((4, 5), 255)),
        (PICTURE, np.full((4, 5), 7, np.int64).tolist(), np.full((4, 5), 7)),
        (BOARD, np.array([[0, 1, 2]] * 3, np.uint8), np.array([[0, 0.5, 1]] * 3)),
        (spaces.Box(3, 5, (2, 1), np.uint8), np.array([[3], [5]]), [[0], [1]]),
        (spaces.Box(LOW, np.array([[9, 4]]), dtype=np.uint8), np.array([[3, 4]]), [[3 / 9, 0]]),
        (box(np.uint8), [1, 255], [1, 255]),  # a vector: beyond its bounds, within its type
        (box(np.int64, high=2**40), np.array([2**24, 2**30]), [2**24, 2**30]),
        (box(np.float32), np.array([-1e6, 3e38]), [-1e6, np.float32(3e38)]),
        (box(np.float64), np.array([1e-300, 3e38]), [0, np.float32(3e38)]),
        (box(np.float32), torch.ones(2, requires_grad=True), [1, 1]),
        (box(np.float32), torch.ones(2, dtype=torch.bfloat16), [1, 1]),
        (box(np.float16), np.array([0.5, -65504], np.float16), [0.5, -65504]),
        (box(np.float32), np.array([True, False]), [1, 0]),
        (box(np.float32, (1,)), [4], [4]),
        (box(np.float32), np.ones(2, ">f4"), [1, 1]),
        (box(np.float32), np.ones((2, 2), np.float32)[:, 1], [1, 1]),
        (spaces.Discrete(3), np.array(2), 2),
        (spaces.Discrete(3), torch.tensor(2), 2),
        (spaces.Discrete(3), 2.0, 2),
        (spaces.Discrete(2), np.True_, 1),
        (spaces.MultiDiscrete([2, 3], start=[1, 1]), (2, 1), [0, 1, 1, 0, 0]),
        (spaces.MultiBinary(2), [True, False], [1, 0]),
        (PARTS, parts(), [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1]),
        (spaces.Text(3, charset="ab"), "ba", [1, 0, 2]),
        (spaces.OneOf([spaces.Discrete(2), box(np.float32)]), (1, [5, 6]), [1, 5, 6]),
    ],
)
def test_what_fits_is_stored_as_it_is(space: Any, obs: Any, stored: Any) -> None:
    envs = batch(space=space, obs=obs)
    t, following = envs.step(still(envs))
    for seen in (t.obs, t.next_obs, following):
        assert seen.dtype == envs.spec.obs_dtype
        np.testing.assert_array_equal(seen[0, 1].numpy(), np.asarray(stored, seen.numpy().dtype))


def test_parts_are_where_gymnasium_puts_them() -> None:
    space = spaces.Dict(
        z=spaces.Tuple([spaces.Text(4), spaces.MultiBinary((2, 2))]),
        b=spaces.OneOf([spaces.Box(-1, 1, (2, 2)), spaces.MultiDiscrete([[2, 3], [1, 4]], start=[[0, 1], [2, 3]])]),
        a=spaces.Dict(c=spaces.Discrete(4, start=-2), d=spaces.Box(-5, 5, (), np.int32)),
    )
    space.seed(0)
    for _ in range(40):
        obs = space.sample()
        flat = batch(space=space, obs=obs).step(torch.zeros(1, 2, dtype=torch.int64))[1][0, 0]
        np.testing.assert_array_equal(flat.numpy(), np.asarray(spaces.flatten(space, obs), np.float32))


def test_a_board_of_small_numbers_is_no_picture() -> None:
    envs = batch(space=BOARD, obs=np.full((3, 3), 2, np.uint8))
    assert (envs.spec.obs_dtype, envs.spec.obs_shape) == (torch.float32, (3, 3))
    assert envs.copies.obs_codec.note.endswith("scaled to 0..1")
    assert batch(space=PICTURE, obs=np.zeros((4, 5), np.uint8)).spec.obs_dtype == torch.uint8


@pytest.mark.parametrize(
    "mine",
    [np.zeros(2, np.float32), np.zeros(2), np.zeros(2, np.int16), np.zeros((2, 2), np.uint8), {"a": np.zeros(2)}],
)
def test_an_observation_that_is_written_to_later_was_copied(mine: Any) -> None:
    array = mine["a"] if isinstance(mine, dict) else mine
    space: Any = box(array.dtype, array.shape, high=255 if array.ndim == 2 else 100)

    def step(env: Any, action: Any) -> Any:
        array[:] += 1
        return mine, 1.0, False, False, {}

    envs = EnvBatch(
        env_maker("border/Foreign-v0", {"space": spaces.Dict(a=space) if mine is not array else space}), [7], 1
    )
    inner: Any = envs.envs[0].unwrapped
    inner.obs, inner.calls = mine, {"step": step}
    seen = [envs.reset()]
    seen += [envs.step(torch.zeros(1, 1, dtype=torch.int64))[0].next_obs for _ in range(3)]
    assert [int(one.flatten()[0]) for one in seen] == [0, 1, 2, 3]


class SpaceRaises(Foreign):
    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        raise RuntimeError("not yet")

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(2)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"space": False}, "no observation_space. Set self.observation_space in its __init__"),
        ({"actions": False}, "no action_space. Set self.action_space in its __init__"),
        ({"space": (3,)}, "observation_space of type tuple, which is no space"),
        ({"actions": 4}, "action_space of type int, which is no space"),
        ({"space": spaces.Box(0, 1, (0,))}, "without a single number"),
        ({"space": spaces.Box(0, 1, (3, 0, 2))}, "without a single number"),
        ({"space": spaces.Dict({})}, "without a single number"),
        ({"space": spaces.Tuple([])}, "without a single number"),
        ({"space": spaces.Dict(a=spaces.Box(0, 1, (0,)))}, "without a single number"),
        ({"actions": spaces.Box(0, 1, (0,))}, "actions without a single number"),
        ({"space": spaces.Discrete(2**30)}, r"1,073,741,824 kinds \(Discrete"),
        ({"space": spaces.MultiDiscrete([2**30, 2])}, "stops at 1,048,576"),
        ({"space": spaces.Dict(a=spaces.Discrete(2**30))}, "stops at 1,048,576"),
        ({"actions": spaces.Discrete(2**30)}, "actions of 1,073,741,824 kinds"),
        ({"space": spaces.Tuple([spaces.Box(0, 1, (2,)), SEQUENCE])}, r"part \[1\] of type S"),
        ({"space": spaces.Tuple([spaces.Dict(a=GRAPH)])}, r"part \[0\]\['a'\] of type Graph"),
        ({"space": SEQUENCE}, "of type Sequence, which have no fixed size"),
    ],
)  # fmt: skip
def test_spaces_that_cannot_be_learned_from(kwargs: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as e:
        batch(**kwargs)
    assert "\n" not in str(e.value)


def test_a_space_that_raises_or_is_set_in_reset() -> None:
    gymnasium.registry.pop("border/SpaceRaises-v0", None)
    gymnasium.register("border/SpaceRaises-v0", entry_point=SpaceRaises)
    with pytest.raises(UsageError, match=r"no observation_space \(RuntimeError\)"):
        EnvBatch(env_maker("border/SpaceRaises-v0"), [0])
    late = {"space": False, "reset": lambda env: (setattr(env, "observation_space", box(np.int8)), {})}
    with pytest.raises(UsageError, match="must be known before the first reset"):
        batch(**late)


def test_copies_with_different_spaces_are_refused() -> None:
    made: list[int] = []
    grows = lambda env: made.append(1) or setattr(env, "observation_space", box(np.float32, (len(made),)))  # noqa: E731
    with pytest.raises(UsageError, match=r"another observation_space each time.*\(2,\).*then.*\(3,\)"):
        batch(init=grows)
