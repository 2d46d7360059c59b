"""The random agent in boxes: whole numbers with both ends, and bounds that float32 hardly holds."""

from typing import Any

import numpy as np
import pytest
import torch
from foreign import batch
from gymnasium import spaces
from rlbench.agents.random import Random

from rlbench import AgentConfig, UsageError
from rlbench.rng import Streams

TINY = float(np.finfo(np.float32).max)


def agent_in(space: spaces.Box) -> tuple[Random, Any]:
    envs = batch(actions=space)
    return Random(envs.spec, AgentConfig(), Streams([0])), envs


def drawn(space: spaces.Box, envs: int = 4000) -> np.ndarray:
    """What ``envs`` copies would get, (envs, *shape)."""
    agent, made = agent_in(space)
    action = agent.act(torch.zeros(1, envs, 1), explore=True)
    return np.stack(made.copies.action_codec.decode(action))


@pytest.mark.parametrize(
    ("space", "numbers"),
    [
        (spaces.Box(0, 1, (2,), np.int8), [0, 1]),
        (spaces.Box(-2, 2, (1,), np.int64), [-2, -1, 0, 1, 2]),
        (spaces.Box(253, 255, (1,), np.uint8), [253, 254, 255]),
        (spaces.Box(0, 1, (3,), bool), [0, 1]),
        (spaces.Box(4, 4, (1,), np.int32), [4]),
    ],
)
def test_every_whole_number_has_the_same_chance(space: Any, numbers: list[int]) -> None:
    found = drawn(space)
    assert found.dtype == space.dtype
    values, counts = np.unique(found.astype(np.int64), return_counts=True)
    assert values.tolist() == numbers
    share = found.size / len(numbers)
    assert (np.abs(counts - share) < 5 * np.sqrt(share) + 1).all()


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-3e38, 3e38, (3,), np.float32),
        spaces.Box(-TINY, TINY, (3,), np.float32),
        spaces.Box(-1e300, 1e300, (3,), np.float64),
        spaces.Box(0, 1e39, (3,), np.float64),
        spaces.Box(-0.1, 0.1, (3,), np.float64),
        spaces.Box(-(2**31), 2**31 - 1, (3,), np.int32),
        spaces.Box(-(2**63), 2**63 - 1, (3,), np.int64),
        spaces.Box(0, 2**64 - 1, (3,), np.uint64),
        spaces.Box(-6e4, 6e4, (3,), np.float16),
    ],
)
def test_every_action_lies_in_its_space(space: Any) -> None:
    found = drawn(space)
    assert all(space.contains(one) for one in found)
    assert len(np.unique(found)) > 1
    agent, envs = agent_in(space)
    for _ in range(3):
        envs.step(agent.act(torch.zeros(1, 2, 1), explore=True))


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (0, np.inf), (-np.inf, 0)])
def test_what_has_no_bounds_is_refused(low: float, high: float) -> None:
    with pytest.raises(UsageError, match="bounded"):
        agent_in(spaces.Box(low, high, (2,), np.float32))
