"""Denormal numbers: zero while an agent computes, themselves while an environment does, and as they were afterwards."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from rlbench.agents.random import Random
from torch import Tensor

from rlbench.border.make import EnvMaker
from rlbench.process import denormals
from rlbench.rollout.env_batch import EnvBatch
from rlbench.rollout.loop import run
from rlbench.types import Transition

SMALL = 1e-39
SEEN: list[tuple[str, bool]] = []


def see(who: str) -> None:
    SEEN.append((who, denormals.flushed()))


class Env(gym.Env[Any, Any]):
    observation_space, action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        see("reset")
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        see("step")
        return np.zeros(1, np.float32), 0.0, False, False, {}


class Agent(Random):
    fails = False

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        see("act")
        return torch.zeros(obs.shape[:2], dtype=torch.int64)

    def observe(self, transition: Transition) -> None:
        see("observe")

    def update(self) -> dict[str, Tensor]:
        see("update")
        if self.fails:
            raise ValueError("on purpose")
        return {}


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    SEEN.clear()
    yield
    denormals.flush(False)


def loop() -> tuple[Agent, EnvBatch]:
    gym.register("DenormalTape-v0", Env)
    try:
        envs = EnvBatch(EnvMaker("DenormalTape-v0", {}, 0, (), None), [0])
    finally:
        del gym.registry["DenormalTape-v0"]
    return Agent.__new__(Agent), envs


@pytest.mark.parametrize("before", [False, True])
def test_who_computes_with_them(before: bool) -> None:
    agent, envs = loop()
    denormals.flush(before)
    for i, _ in enumerate(run(agent, envs)):
        assert denormals.flushed() is before
        if i == 1:
            break
    step = [("act", True), ("step", before), ("observe", True), ("update", True)]
    assert [("reset", before), *step, *step] == SEEN


def test_an_agent_that_fails_leaves_them_as_they_were() -> None:
    agent, envs = loop()
    agent.fails = True
    with pytest.raises(ValueError, match="on purpose"):
        next(run(agent, envs))
    assert not denormals.flushed()


def test_by_hand() -> None:
    assert not denormals.flushed()
    with denormals.zeroed():
        assert denormals.flushed()
        assert float(torch.tensor(SMALL) * 1.0) == 0
    assert float(torch.tensor(SMALL) * 1.0) > 0
