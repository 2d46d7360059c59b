"""`PolicyFile.act`: the answers of the file itself, by arrays that are used again and again."""

from pathlib import Path

import numpy as np
import policy_files
import pytest

from rlbench.policyfile.leaves import BadValue
from rlbench.policyfile.opened import PolicyFile, open_policy


@pytest.fixture
def mlp(tmp_path: Path) -> PolicyFile:
    return open_policy(policy_files.linear(tmp_path / "a.onnx", hidden=8))


def test_act_answers_as_a_call_does(mlp: PolicyFile) -> None:
    observations = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)
    called = [mlp(mlp.inputs([obs]))["action"][0] for obs in observations]
    assert len(set(called)) == 2
    assert [mlp.act(obs) for obs in observations] == called
    assert type(mlp.act(observations[0])) is np.int64


def test_an_answer_is_not_changed_by_the_next(tmp_path: Path) -> None:
    file = open_policy(policy_files.adding(tmp_path / "a.onnx"))
    first = file.act(np.ones(4, np.float32))
    file.act(np.ones(4, np.float32))
    assert first.tolist() == [1, 1]


@pytest.mark.parametrize("obs", [[0.1, 0.2, 0.3, 0.4], np.array([0.1, 0.2, 0.3, 0.4]), (0, 0, 1, 1)])
def test_what_is_no_array_of_the_dtype_is_answered_too(mlp: PolicyFile, obs: object) -> None:
    assert mlp.act(obs) == mlp(mlp.inputs([obs]))["action"][0]


def test_an_observation_may_lie_beyond_the_bounds(mlp: PolicyFile) -> None:
    far = np.array([9, 0, 0, -9], np.float32)
    with pytest.raises(BadValue):
        mlp.inputs([far])
    assert mlp.act(far) == mlp({"obs": far[None]})["action"][0] == mlp.act(far.tolist())


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        (np.array([0, np.nan, 0, 0], np.float32), "obs holds nan"),
        (np.array([0, np.inf, 0, 0]), "obs holds inf"),
        (np.zeros(3, np.float32), r"obs has shape \(3,\)"),
        (np.zeros((1, 4), np.float32), r"obs has shape \(1, 4\)"),
        ("left", "obs is a text"),
    ],
)
def test_what_does_not_fit_is_refused(mlp: PolicyFile, obs: object, said: str) -> None:
    with pytest.raises(BadValue, match=said):
        mlp.act(obs)


def test_a_mask_holds_for_one_observation(tmp_path: Path) -> None:
    file = open_policy(policy_files.masked(tmp_path / "a.onnx"))
    obs = np.array([1, 2, 3, 4], np.float32)
    assert file.act(obs) == 3
    assert file.act(obs, [True, True, False, False]) == 1
    assert file.act(obs) == 3
    with pytest.raises(BadValue, match="allows no action"):
        file.act(obs, [0, 0, 0, 0])


def test_a_mask_for_a_policy_without_one_is_refused(mlp: PolicyFile) -> None:
    with pytest.raises(BadValue, match="the policy takes none"):
        mlp.act(np.zeros(4, np.float32), [True, True])


def test_memory_lasts_until_an_episode_begins(tmp_path: Path) -> None:
    file = open_policy(policy_files.adding(tmp_path / "a.onnx"))
    obs = np.array([1, 2, 3, 4], np.float32)
    assert [file.act(obs).tolist() for _ in range(3)] == [[2, 3], [4, 6], [6, 9]]
    file.begin()
    assert file.act(obs).tolist() == [2, 3]


def test_sessions_remember_apart(tmp_path: Path) -> None:
    file = open_policy(policy_files.adding(tmp_path / "a.onnx"))
    one, other = file.session(), file.session()
    obs = np.array([1, 2, 3, 4], np.float32)
    one.act(obs)
    assert other.act(obs).tolist() == [2, 3]
    assert one.act(obs).tolist() == [4, 6]


def test_a_space_that_is_no_box(tmp_path: Path) -> None:
    file = open_policy(policy_files.looked_up(tmp_path / "a.onnx"))
    for kind in (int, np.int64, np.int32, float):
        assert [file.act(kind(i)) for i in range(5)] == [file(file.inputs([i]))["action"][0] for i in range(5)]
    for wrong in (-1, np.int64(5), 0.5, True):
        with pytest.raises(BadValue):
            file.act(wrong)
    with pytest.raises(BadValue, match="a whole number from 0 to 4"):
        file.act(5)
