"""An environment for tests of the border: it does what it was given to do."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from rlbench.border.make import env_maker
from rlbench.rollout.env_batch import EnvBatch


class Foreign(gymnasium.Env[Any, Any]):
    """Calls what it was given: each function gets the environment; ``step`` the action as well."""

    def __init__(self, obs: Any = 0.0, space: Any = None, actions: Any = None, **calls: Callable[..., Any]) -> None:
        self.obs, self.calls = obs, calls
        if space is not False:
            self.observation_space = spaces.Box(-9, 9, (), np.float32) if space is None else space
        if actions is not False:
            self.action_space = actions or spaces.Discrete(2)
        self.t = 0
        self.call("init")

    def call(self, name: str, *args: Any, default: Any = None) -> Any:
        return self.calls[name](self, *args) if name in self.calls else default

    def look(self) -> Any:
        return self.obs(self.t) if callable(self.obs) else self.obs

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 0
        return self.call("reset", default=(self.look(), {}))

    def step(self, action: Any) -> Any:
        self.t += 1
        usual = self.look(), 1.0, self.t >= 10, False, {}
        return self.call("step", action, default=usual) if "step" in self.calls else usual

    def close(self) -> None:
        self.call("close")


gymnasium.register("border/Foreign-v0", entry_point=Foreign)


def batch(**kwargs: Any) -> EnvBatch:
    envs = EnvBatch(env_maker("border/Foreign-v0", kwargs), [7], 2)
    envs.reset()
    return envs


def still(envs: EnvBatch) -> torch.Tensor:
    shape = (1, 2, *envs.spec.action_shape)
    return torch.zeros(shape, dtype=torch.int64 if envs.spec.num_actions else torch.float32)


def run(steps: int = 12, **kwargs: Any) -> EnvBatch:
    envs = batch(**kwargs)
    for _ in range(steps):
        envs.step(still(envs))
    return envs


def five(**changed: Any) -> Callable[..., Any]:
    """A ``step`` that returns what is usual but for what is named: obs, reward, terminated, truncated."""

    def step(env: Any, action: Any) -> Any:
        usual = {"obs": env.look(), "reward": 1.0, "terminated": False, "truncated": False, **changed}
        return (*usual.values(), {})

    return step


def box(dtype: Any, shape: tuple[int, ...] = (2,), low: float = 0, high: float = 100) -> spaces.Box:
    return spaces.Box(low, high, shape, dtype)


def fails(env: Any, *action: Any) -> Any:
    assert env.t > 10**6


def raises(e: BaseException) -> Callable[..., Any]:
    def act(env: Any, *action: Any) -> Any:
        raise e

    return act
