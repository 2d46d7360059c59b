"""Environments in torch that are Gymnasium's to the bit: whole episodes, none of them set right on the way."""

from typing import Any

import numpy as np
import pytest
import torch

from rlbench.border.make import EnvMaker, env_maker
from rlbench.border.spaces import obs_codec
from rlbench.worlds import seeds as seeding
from rlbench.worlds.known import world_of
from rlbench.worlds.world import World

HOLES = ["SFFHF", "FFFFS", "HFSFG"]  # with three starts
SKEWED = {"success_rate": 0.7, "reward_schedule": (5, -1, -0.1)}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("FrozenLake-v1", {}),
    ("FrozenLake-v1", {"is_slippery": False}),
    ("FrozenLake-v1", {"map_name": "8x8"}),
    ("FrozenLake-v1", {"desc": HOLES, **SKEWED}),
    ("FrozenLake8x8-v1", {}),
    ("CliffWalking-v1", {}),
    ("CliffWalking-v1", {"is_slippery": True}),
    ("CliffWalkingSlippery-v1", {}),
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
    ("Taxi-v4", {"is_rainy": True, "rainy_probability": 0.35}),
    ("rlbench/Catch-v0", {}),
    ("rlbench/Catch-v0", {"rows": 3, "columns": 7}),
    ("rlbench/Catch-v0", {"rows": 2, "columns": 1}),
]
CHANCE = [CASES[i] for i in (0, 2, 3, 4, 6, 7, 9, 10)]


def made(env_id: str, kwargs: dict[str, Any]) -> tuple[World, EnvMaker]:
    maker = env_maker(env_id, kwargs, 60, wants=("action_mask",))
    world = world_of(maker)
    assert world is not None
    return world, maker


def told(world: World, state: torch.Tensor) -> list[tuple[bytes, dict[str, list[Any]]]]:
    """What n copies show and say, each by itself."""
    said = {name: value.tolist() for name, value in world.said(state).items()}
    shown = world.obs(state)
    assert shown.is_contiguous()
    return [(shown[i].numpy().tobytes(), {k: v[i] for k, v in said.items()}) for i in range(len(state))]


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_whole_episodes_are_the_same(env_id: str, kwargs: dict[str, Any]) -> None:
    world, maker = made(env_id, kwargs)
    assert world.exact
    seeds = np.concatenate([np.arange(20), np.random.default_rng(0).integers(2**63, size=20)])
    envs = [maker() for _ in seeds]
    codec = obs_codec(envs[0].observation_space, env_id)
    actions = int(envs[0].action_space.n)  # type: ignore[attr-defined]

    def as_told(obs: Any, info: dict[str, Any]) -> tuple[bytes, dict[str, list[Any]]]:
        said = {name: info[name].astype(bool).tolist() for name in world.extras}
        return np.asarray(codec.encode(obs), codec.dtype).tobytes(), said

    starts = world.starts(seeds)
    state, running = torch.from_numpy(starts.state), np.arange(len(seeds))
    assert told(world, state) == [as_told(*env.reset(seed=s)) for env, s in zip(envs, seeds.tolist(), strict=True)]
    ended, rng = 0, np.random.default_rng(1)
    for t in range(60):
        action = rng.integers(actions, size=len(seeds))
        draw = torch.from_numpy(starts.draws[:, t]) if world.draws else None
        state, reward, terminated = world.step(state, torch.from_numpy(action), draw)
        assert reward.dtype == torch.float64
        now, expected, over = told(world, state), [], []
        for i in running.tolist():
            obs, paid, end, _, info = envs[i].step(int(action[i]))
            expected.append((as_told(obs, info), float(paid), end))
            over.append(end)
        assert [(now[i], reward[i].item(), bool(terminated[i])) for i in running.tolist()] == expected
        ended, running = ended + sum(over), running[~np.array(over, np.bool_)]
        if not len(running):
            break
    assert ended > 0 or env_id.startswith(("CliffWalking", "Taxi"))  # where nobody gets anywhere by chance


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_only_what_has_chance_in_it_draws(env_id: str, kwargs: dict[str, Any]) -> None:
    world, _ = made(env_id, kwargs)
    assert world.draws == (60 if (env_id, kwargs) in CHANCE else 0)


def test_a_sum_of_chances_below_one_ends_as_there() -> None:
    """Where no sum is above the random number, `categorical_sample` takes the first outcome."""
    world, maker = made("FrozenLake-v1", {"success_rate": 0.7, "map_name": "8x8"})
    outcomes = maker().unwrapped.P[9][1]  # type: ignore[attr-defined]
    sums = np.cumsum([p for p, *_ in outcomes])
    state, action = torch.full((5, 1), 9), torch.ones(5, dtype=torch.int64)
    draws = [0.0, np.nextafter(sums[0], 0), sums[0], sums[1], 1.0]
    new, *_ = world.step(state, action, torch.tensor(draws, dtype=torch.float64))
    assert new[:, 0].tolist() == [outcomes[k][1] for k in (0, 0, 1, 2, 0)]
    assert len({s for _, s, _, _ in outcomes}) == 3


def test_masks_are_said_where_they_are_wanted() -> None:
    world, maker = made("Taxi-v4", {})
    assert [source.name for source in maker.extras] == list(world.extras) == ["action_mask"]
    assert world.extras["action_mask"] == maker.extras[0].form
    lake, _ = made("FrozenLake-v1", {})
    assert lake.extras == {}
    assert lake.said(torch.zeros(3, 1, dtype=torch.int64)) == {}


@pytest.mark.parametrize("n", [1, 2, 5, 7, 1000, 2**31 + 1, 3 * 2**30, 2**32 - 1])
def test_whole_numbers_below_n_are_numpys(n: int) -> None:
    """For the large ones a quarter to a half of all first numbers are rejected."""
    seeds = np.concatenate([np.arange(300), np.random.default_rng(0).integers(2**63, size=100)])
    expected = [np.random.Generator(np.random.PCG64(int(seed))).integers(n) for seed in seeds]
    assert seeding.below(seeds, n).tolist() == expected
