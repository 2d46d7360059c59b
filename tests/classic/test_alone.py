"""classic.alone: a single copy is stepped to the bit as it steps itself, and nothing else is."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward

from rlbench.border.make import env_maker
from rlbench.classic.alone import native_one
from rlbench.rollout.stepper import Copies


def make(env_id: str, **kwargs: Any) -> Any:
    return gym.make(env_id, disable_env_checker=True, **kwargs)


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [("CartPole-v1", {}), ("MountainCar-v0", {}), ("MountainCar-v0", {"goal_velocity": 0.02})]
)
@pytest.mark.parametrize("seed", range(3))
def test_every_bit_of_long_episodes_is_the_same(env_id: str, kwargs: dict[str, Any], seed: int) -> None:
    env, rng = make(env_id, **kwargs), np.random.default_rng(seed)
    stepper = native_one([env])
    assert stepper is not None
    ends = 0
    for episode in range(20):
        env.reset(seed=1000 * seed + episode)
        stepper.adopt(env)
        for t in range(400):
            # at random; or with the motion, which brings the car to its goal and the pole far down
            action = int(rng.integers(env.action_space.n))
            if episode % 2 and env_id.startswith("Mountain"):
                action = 2 if env.unwrapped.state[1] >= 0 else 0
            obs, reward, terminated = stepper.step(action)
            expected = env.unwrapped.step(action)
            assert np.array(obs, np.float32).tobytes() == expected[0].tobytes(), t
            assert np.array(stepper.state).tobytes() == np.array(env.unwrapped.state, np.float64).tobytes()
            assert (reward, terminated) == expected[1:3]
            assert type(terminated) is bool
            if terminated:
                ends += 1
                break
    assert ends >= 5
    env.close()


def test_the_walls_and_the_edges_are_as_there() -> None:
    env = make("MountainCar-v0")
    stepper = native_one([env])
    assert stepper is not None
    for state in ((-1.2, -0.01), (-1.19, -0.07), (0.59, 0.07), (0.5, 0.0), (-1.2, 0.0)):
        for action in range(3):
            env.reset(seed=0)
            env.unwrapped.state = np.array(state)
            stepper.adopt(env)
            obs, _, terminated = stepper.step(action)
            expected = env.unwrapped.step(action)
            assert np.array(obs, np.float32).tobytes() == expected[0].tobytes()
            assert terminated == expected[2]


def test_others_step_themselves() -> None:
    assert native_one([make("Acrobot-v1")]) is None
    assert native_one([make("CartPole-v1"), make("CartPole-v1")]) is None
    assert native_one([make("CartPole-v1", sutton_barto_reward=True)]) is None
    assert native_one([make("CartPole-v1", render_mode="rgb_array")]) is None
    assert native_one([TransformReward(make("CartPole-v1"), lambda r: 2 * r)]) is None
    odd = make("CartPole-v1")
    odd.unwrapped.gravity = 0
    assert native_one([odd]) is None


def test_a_copy_of_one_steps_at_once_and_stands_still_when_told() -> None:
    copies = Copies(env_maker("CartPole-v1"), 1)
    assert copies.at_once
    row = np.zeros((1, 4), np.float32)
    row[0] = copies.reset(0, 5)
    start = row.copy()
    assert copies.step([1], [], row) == ([0.0], {})
    assert np.array_equal(row, start)
    actions, ended = [], {}
    while not ended:
        actions.append(1)
        rewards, ended = copies.step([1], [0], row)
        assert rewards == [1.0]
    assert ended == {0: (True, False)}
    last = row.copy()
    row[0] = copies.reset(0, 5)
    again = copies.replay(0, actions, row)
    assert (again.episode_return, again.ended) == (len(actions), True)
    assert np.array_equal(row, last)
