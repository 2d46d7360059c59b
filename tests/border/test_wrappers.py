"""Wrappers around environments: which are found, what is said of those that are not, and what they change."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rlbench import UsageError
from rlbench.border.make import EnvMaker, env_maker
from rlbench.border.wrappers import find_wraps, lasting
from rlbench.rollout.env_batch import EnvBatch

STACK = "gymnasium.wrappers:FrameStackObservation(stack_size=3)"
TIME = "gymnasium.wrappers:TimeAwareObservation"
MINE = """
import gymnasium as gym
from gymnasium.wrappers import ClipReward

class Doubled(gym.RewardWrapper):
    def __init__(self, env, times=2, *, plus=0.0):
        super().__init__(env)
        self.times, self.plus = times, plus
    def reward(self, reward):
        return self.times * reward + self.plus

class Failing(gym.Wrapper):
    def __init__(self, env):
        raise ZeroDivisionError("by zero")

class Late(gym.Wrapper):
    def step(self, action):
        raise ZeroDivisionError("too late")

class Unrelated:
    pass

LIST = [1]
"""


def made(env_id: str, *texts: str, imports: tuple[str, ...] = (), **how: Any) -> EnvMaker:
    return env_maker(env_id, wraps=find_wraps(texts, imports), **how)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    return str(tmp_path / "mine.py")


def test_they_are_put_around_in_their_order_the_first_innermost() -> None:
    both = made("CartPole-v1", STACK, TIME)()
    assert both.observation_space.shape == (13,)
    assert made("CartPole-v1", TIME, STACK)().observation_space.shape == (3, 5)
    names = []
    while isinstance(both, gym.Wrapper):
        names.append(type(both).__name__)
        both = both.env
    assert names == ["Border", "TimeAwareObservation", "FrameStackObservation", "TimeLimit", "OrderEnforcing"]


def test_each_copy_and_each_episode_of_fresh_envs_has_its_own(mine: str) -> None:
    maker = made("CartPole-v1", STACK, anew=True)
    one, other = maker(), maker()
    seen = [env.reset(seed=3)[0] for env in (one, other)]
    assert np.array_equal(*seen)
    assert seen[0].shape == (3, 4)
    one.step(0)
    again, _ = one.reset(seed=3)
    assert np.array_equal(again, seen[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gymnasium.wrappers:FrameStack(stack_size=3)", "has no FrameStack. Did you mean FrameStackObservation?"),
        ("gymnasium.wrappers:Nonsense", "Wrappers in it: AtariPreprocessing, "),
        ("gymnasium.wrappers.nonsense:W", "No module named 'gymnasium.wrappers.nonsense'"),
        ("gymnasium.wrappers:FrameStackObservation(stack=3)", "takes no 'stack'. Did you mean stack_size?"),
        ("gymnasium.wrappers:ClipReward(low=3)", "takes no 'low'. It takes min_reward, max_reward."),
        ("gymnasium.wrappers:ClipReward(env=3)", "takes no 'env'."),
        ("gymnasium.wrappers:FlattenObservation(a=1)", "It takes no arguments."),
        (
            "gymnasium.wrappers:FrameStackObservation",
            "needs stack_size: 'gymnasium.wrappers:FrameStackObservation(stack_size=...)'",
        ),
        ("gymnasium.wrappers.vector:ClipAction", "wraps vectors of environments"),
        ("gymnasium.wrappers:vector", "is a module that is no gymnasium.Wrapper"),
        ("gymnasium.wrappers:Autoreset", "rlbench itself begins the next episode"),
        ("gymnasium.wrappers.common:Autoreset", "rlbench itself begins the next episode"),
        ("gymnasium.wrappers:RecordVideo(video_folder='/tmp')", "--video-every N"),
        ("gymnasium.wrappers:HumanRendering", "rlbench play RUN"),
        ("gymnasium:Wrapper", "is code of your own. If you trust it, say so: --import gymnasium"),
        ("MINE:Doubled", "is code of your own. If you trust it, say so: --import "),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(text: str, said: str, mine: str) -> None:
    with pytest.raises(UsageError) as error:
        find_wraps([text.replace("MINE", mine)], ())
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Doubles", "has no Doubles. Did you mean Doubled?"),
        ("X", "has no X. Wrappers in it: Doubled, Failing, Late."),
        ("Unrelated", "is a class that is no gymnasium.Wrapper"),
        ("LIST", "is a list that is no gymnasium.Wrapper"),
        ("Doubled(time=3)", "takes no 'time'. Did you mean times?"),
    ],
)
def test_likewise_of_a_file_of_ones_own(name: str, said: str, mine: str) -> None:
    with pytest.raises(UsageError) as error:
        find_wraps([f"{mine}:{name}"], [mine])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("__new__(cls, env): return None", "it gives no environment, but NoneType"),
        ("__init__(self, env): self.k = 1", r"its __init__ does not call super\(\).__init__\(env\)"),
    ],
)
def test_a_wrapper_that_wraps_nothing_is_refused(method: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "nothing.py"
    file.write_text(f"import gymnasium\nclass Nothing(gymnasium.Wrapper):\n    def {method}\n")
    (wrap,) = find_wraps([f"{file}:Nothing"], [str(file)])
    with pytest.raises(UsageError, match=rf"cannot wrap 'CartPole-v1' in .*Nothing: {said}"):
        wrap.around(gym.make("CartPole-v1"), "CartPole-v1")


def test_a_wrapper_that_does_not_fit_is_told_with_the_environments_name(mine: str) -> None:
    with pytest.raises(UsageError, match=r"cannot wrap 'CartPole-v1' in gymnasium.wrappers:ClipAction: .*Box"):
        made("CartPole-v1", "gymnasium.wrappers:ClipAction")
    with pytest.raises(
        UsageError, match=r"cannot wrap 'CartPole-v1' in .*mine.py:Failing: .*mine.py:14, in __init__: Z"
    ):
        made("CartPole-v1", f"{mine}:Failing", imports=(mine,))
    env = made("CartPole-v1", f"{mine}:Late", imports=(mine,))()
    env.reset(seed=0)
    with pytest.raises(Exception, match=r"mine.py:18, in step: ZeroDivisionError: too late"):
        env.step(0)


def test_a_file_of_ones_own_with_arguments(mine: str) -> None:
    env = made("CartPole-v1", f"{mine}:Doubled(times=3, plus=0.5)", imports=(mine,))()
    env.reset(seed=0)
    assert env.step(0)[1] == 3.5


def test_a_threshold_is_not_that_of_rewards_which_a_wrapper_makes(mine: str) -> None:
    assert made("CartPole-v1", STACK).reward_threshold == 475.0
    for text in (
        f"{mine}:Doubled",
        "gymnasium.wrappers:NormalizeReward",
        "gymnasium.wrappers:ClipReward(max_reward=1)",
    ):
        assert made("CartPole-v1", text, imports=(mine,)).reward_threshold is None


def test_a_time_limit_may_be_a_wrapper() -> None:
    cut = made("rlbench/TMaze-v0", "gymnasium.wrappers:TimeLimit(max_episode_steps=5)")
    envs = EnvBatch(cut, [0], 1)
    envs.reset()
    flags = [bool(envs.step(torch.zeros(1, 1, dtype=torch.int64))[0].truncated) for _ in range(10)]
    assert flags == ([False] * 4 + [True]) * 2


def test_statistics_that_go_on_over_a_reset_are_told_of() -> None:
    texts = [STACK, "gymnasium.wrappers:NormalizeObservation(epsilon=0.1)", "gymnasium.wrappers:NormalizeReward"]
    told = lasting(find_wraps(texts, ()))
    assert [text.partition(" ")[0] for text in told] == [text.replace(" ", "") for text in texts[1:]]
    assert all("a resume is not exact" in text for text in told)


@pytest.mark.parametrize("copies", [1, 8])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"])
def test_a_wrapped_environment_is_stepped_as_it_is_and_not_by_its_formulas(env_id: str, copies: int, mine: str) -> None:
    plain = EnvBatch(made(env_id), [0], copies)
    wrapped = EnvBatch(made(env_id, f"{mine}:Doubled(times=3)", STACK, imports=(mine,)), [0], copies)
    assert plain.copies.known
    assert not wrapped.copies.known
    assert not wrapped.copies.at_once
    first, stacked = plain.reset(), wrapped.reset()
    assert stacked.shape == (1, copies, 3, *first.shape[2:])
    for n in range(30):
        action = torch.full((1, copies), n % 2)
        (one, _), (other, _) = plain.step(action), wrapped.step(action)
        assert torch.equal(3 * one.reward, other.reward)
        assert torch.equal(one.next_obs, other.next_obs[:, :, -1])
        assert torch.equal(one.obs, other.next_obs[:, :, -2])
