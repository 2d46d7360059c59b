"""EnvBatch brought back to where it stood, in the middle of episodes, without pickling any environment."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlbench.agent_state import snapshot
from rlbench.border.make import env_maker
from rlbench.rollout.env_batch import EnvBatch


class Fickle(gymnasium.Env[Any, Any]):
    """Not deterministic given its seed: what is seen depends on how many copies were ever made."""

    made = 0
    observation_space = spaces.Box(0, 1e6, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        Fickle.made += 1
        self.number = Fickle.made

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.n = 0
        return np.array([0, 0], np.float32), {}

    def step(self, action: int) -> Any:
        self.n += 1
        return np.array([self.n, self.number if action else 0], np.float32), 1.0, False, False, {}


gymnasium.register("test/Fickle-v0", entry_point=Fickle)


def actions(envs: EnvBatch, steps: int) -> list[torch.Tensor]:
    """Random ones, for ``steps`` steps."""
    rng, spec = np.random.default_rng(0), envs.spec
    shape = (steps, spec.num_seeds, spec.num_envs)
    if spec.num_actions is not None:
        return list(torch.from_numpy(rng.integers(spec.num_actions, size=shape)))
    return list(torch.from_numpy(rng.uniform(-1, 1, (*shape, *spec.action_shape))).float())


@pytest.mark.parametrize("later", [1, 50])
@pytest.mark.parametrize(
    ("env_id", "kwargs", "limit"),
    [
        ("CartPole-v1", {}, 0),
        ("CartPole-v1", {}, 7),
        ("Acrobot-v1", {}, 0),
        ("Pendulum-v1", {}, 0),
        ("MountainCarContinuous-v0", {}, 0),
        ("LunarLander-v3", {}, 0),
        ("LunarLander-v3", {"continuous": True, "enable_wind": True}, 0),
        ("FrozenLake-v1", {}, 0),
        ("Taxi-v4", {}, 0),
        ("rlbench/Catch-v0", {}, 0),
    ],
)
def test_mid_episode_it_goes_on_exactly(env_id: str, kwargs: dict[str, Any], limit: int, later: int) -> None:
    if env_id.startswith("LunarLander"):
        pytest.importorskip("Box2D")
    maker = env_maker(env_id, kwargs, limit)
    envs = EnvBatch(maker, [0, 11], 2)
    envs.reset()
    plan = actions(envs, 240)
    for action in plan[: 100 + later]:
        _, obs = envs.step(action)
    state = snapshot(envs.state_dict())
    twin = EnvBatch(maker, [0, 11], 2)
    twin.reset()  # another past must not show
    there, strayed = twin.load_state_dict(state)
    assert strayed == []
    assert torch.equal(there, obs)
    torch.testing.assert_close(snapshot(twin.state_dict()), state, rtol=0, atol=0)
    finished = 0
    for action in plan[100 + later :]:
        (t, obs), (t_twin, obs_twin) = envs.step(action), twin.step(action)
        assert all(torch.equal(a, b) for a, b in zip(t, t_twin, strict=True))
        assert torch.equal(obs, obs_twin)
        for one, other in zip(envs.finished, twin.finished, strict=True):
            assert one[:-2] == other[:-2]  # returns and lengths of the half that was replayed as well
            assert np.array_equal(one.actions, other.actions)
        finished += len(envs.finished)
    assert finished or env_id in ("Acrobot-v1", "Taxi-v4", "MountainCarContinuous-v0", "Pendulum-v1")


def test_stopped_copies_stay_stopped_however_often_it_is_saved() -> None:
    maker = env_maker("CartPole-v1")
    envs = EnvBatch(maker, [0, 1], 2)
    envs.reset()
    for n, action in enumerate(actions(envs, 60)):
        if n == 40:
            envs.stop(1)
            envs.stop(0, 0)
        _, obs = envs.step(action)
    state = snapshot(envs.state_dict())
    for _ in range(3):
        envs = EnvBatch(maker, [0, 1], 2)
        there, strayed = envs.load_state_dict(snapshot(envs_state := state))
        assert strayed == []
        assert torch.equal(there, obs)
        again = snapshot(envs.state_dict())
        for key in ("running", "episodes", "obs"):
            assert torch.equal(again[key], envs_state[key]), key
        state = again


def test_an_environment_that_is_not_deterministic_is_reported_and_starts_its_next_episode() -> None:
    maker = env_maker("test/Fickle-v0", max_episode_steps=100)
    envs = EnvBatch(maker, [0, 1], 2)
    envs.reset()
    for _ in range(3):
        envs.step(torch.tensor([[0, 1], [0, 0]]))  # only copy 1 shows what it is
    twin = EnvBatch(maker, [0, 1], 2)
    obs, strayed = twin.load_state_dict(snapshot(envs.state_dict()))
    assert strayed == [1]
    assert obs.flatten(0, 1).tolist() == [[3, 0], [0, 0], [3, 0], [3, 0]]
    twin.step(torch.zeros(2, 2, dtype=torch.int64))
    state = twin.state_dict()
    assert state["episodes"].tolist() == [[0, 1], [0, 0]]
    assert [len(a) for a in state["actions"]] == [4, 1, 4, 4]
