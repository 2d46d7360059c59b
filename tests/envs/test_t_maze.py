"""Tests of the T-maze: by hand, and what can be reached in it with memory and without, computed."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from rlbench.envs.t_maze import EAST, NORTH, SOUTH, WEST, TMaze

from rlbench.border.make import NO_LIMIT, env_maker

NORTHERN, SOUTHERN, CORRIDOR, JUNCTION = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
OBS = (NORTHERN, SOUTHERN, CORRIDOR, JUNCTION)


def begin(sign: int, length: int = 10, **kwargs: Any) -> TMaze:
    """An episode with the sign that points to the NORTH or SOUTH."""
    env = TMaze(length, **kwargs)
    wanted = NORTHERN if sign == NORTH else SOUTHERN
    assert any(tuple(env.reset(seed=seed)[0]) == wanted for seed in range(50))
    return env


def test_an_episode_by_hand() -> None:
    env = begin(SOUTH, length=2)
    steps = [env.step(action) for action in (NORTH, WEST, EAST, WEST, EAST, EAST, EAST, WEST, EAST, SOUTH)]
    shown = [SOUTHERN, SOUTHERN, CORRIDOR, SOUTHERN, CORRIDOR, JUNCTION, JUNCTION, CORRIDOR, JUNCTION, JUNCTION]
    assert [tuple(obs) for obs, *_ in steps] == shown
    assert all(obs.dtype == np.float32 for obs, *_ in steps)
    assert [reward for _, reward, *_ in steps] == [-0.1, -0.1, 0.0, -0.1, 0.0, 0.0, -0.1, -0.1, 0.0, 1.0]
    assert [step[2:4] for step in steps] == [(False, False)] * 9 + [(True, False)]


@pytest.mark.parametrize("sign", [NORTH, SOUTH])
def test_the_wrong_turn_pays_less_than_nothing(sign: int) -> None:
    env = begin(sign, length=1)
    env.step(EAST)
    assert env.step(SOUTH + NORTH - sign)[1:4] == (-1.0, True, False)


def test_the_sign_points_either_way_evenly_and_is_seen_at_the_start_alone() -> None:
    env = TMaze(length=3)
    first = [tuple(env.reset(seed=seed if seed < 250 else None)[0]) for seed in range(500)]
    assert 200 < first.count(NORTHERN) == 500 - first.count(SOUTHERN) < 300
    for sign in (NORTH, SOUTH):
        env = begin(sign, length=3)
        assert [tuple(env.step(EAST)[0]) for _ in range(3)] == [CORRIDOR, CORRIDOR, JUNCTION]


@pytest.mark.parametrize("length", [1, 10, 2000])
def test_with_memory_the_best_return_is_1_whatever_the_length(length: int) -> None:
    for sign in (NORTH, SOUTH):
        env = begin(sign, length)
        steps = [env.step(action) for action in [EAST] * length + [sign]]
        assert sum(reward for _, reward, *_ in steps) == 1.0  # and no other reward is above 0
        assert steps[-1][2:4] == (True, False)


@pytest.mark.parametrize("idle", [(NORTH,), (WEST, EAST), (EAST,)])
@pytest.mark.parametrize("length", [1, 2, 10, 101])
def test_whoever_never_turns_is_cut_and_has_lost_what_a_wrong_turn_costs(length: int, idle: tuple[int, ...]) -> None:
    env = begin(NORTH, length)
    paid, over = 0.0, (False, False)
    for step, action in enumerate(itertools.cycle(idle), 1):
        assert over == (False, False)
        _, reward, *over, _ = env.step(action)  # type: ignore[assignment]
        over, paid = tuple(over), paid + reward  # type: ignore[assignment]
        if step == env.max_episode_steps:
            break
    assert over == (False, True)
    assert paid <= -1.0


class Model(NamedTuple):
    """What every action leads to from every place of a corridor, as the environment says."""

    seen: np.ndarray  # (places,) int, of OBS
    to: np.ndarray  # (places, 4) int
    reward: np.ndarray  # (places, 4)
    over: np.ndarray  # (places, 4) bool
    steps: int


def model(length: int, sign: int) -> Model:
    env = begin(sign, length)
    start = env.np_random.bit_generator.state
    seen, results = [], np.zeros((3, length + 1, 4))
    for place in range(length + 1):
        for action in (NORTH, EAST, SOUTH, WEST):
            env = begin(sign, length)
            for _ in range(place):
                env.step(EAST)
            here = env._obs()
            _, reward, terminated, _, _ = env.step(action)
            results[:, place, action] = env._place, reward, terminated
        seen.append(OBS.index(tuple(here)))
    assert start == begin(sign, length).np_random.bit_generator.state
    return Model(np.array(seen), results[0].astype(int), results[1], results[2].astype(bool), env.max_episode_steps)


def mean_return(policy: np.ndarray, models: list[Model]) -> float:
    """The exact mean return of a policy (4 observations, 4 actions), both signs as likely."""
    total = 0.0
    for m in models:
        chances = policy[m.seen]  # (places, 4)
        at = np.zeros(len(m.seen))
        at[0] = 1.0
        for _ in range(m.steps):
            going = at[:, None] * chances
            total += float((going * m.reward).sum()) / len(models)
            at = np.bincount(m.to[~m.over], going[~m.over], len(at))
    return total


@pytest.mark.parametrize("length", [1, 2, 10])
def test_without_memory_the_best_return_is_0(length: int) -> None:
    """Of all policies that are not random, exactly; random ones, thousands of them, come no higher."""
    models = [model(length, sign) for sign in (NORTH, SOUTH)]
    sure = [mean_return(np.eye(4)[list(actions)], models) for actions in itertools.product(range(4), repeat=4)]
    assert max(sure) == 0.0
    assert min(sure) < -1.0
    rng = np.random.default_rng(0)
    some = [rng.dirichlet(np.full(4, 10.0 ** rng.uniform(-1.5, 0.5)), size=4) for _ in range(1000)]
    best = max(some, key=lambda policy: mean_return(policy, models))
    for scale in np.geomspace(0.3, 0.001, 300):  # and climbs from the best of these
        near = best * np.exp(scale * rng.normal(size=best.shape))
        best = max(best, near / near.sum(1, keepdims=True), key=lambda policy: mean_return(policy, models))
    assert -0.1 < mean_return(best, models) <= 1e-12
    knowing = [np.eye(4)[[EAST, EAST, EAST, sign]] for sign in (NORTH, SOUTH)]  # two policies are no memoryless one
    assert [mean_return(policy, [m]) for policy, m in zip(knowing, models, strict=True)] == [1.0, 1.0]


def test_its_time_limit_is_known_and_grows_with_the_corridor() -> None:
    for length in (10, 2 * NO_LIMIT):
        maker = env_maker("rlbench/TMaze-v0", {"length": length})
        assert (maker.limit, maker.notes) == (2 * length + 20, ())
    assert env_maker("rlbench/TMaze-v0", max_episode_steps=7).limit == 7
    assert env_maker("rlbench/TMaze-v0").reward_threshold == 0.95


@pytest.mark.parametrize(("length", "columns"), [(1, 2), (10, 11), (500, 25)])
def test_pictures(length: int, columns: int) -> None:
    env = begin(NORTH, length, render_mode="rgb_array")
    first = env.render()
    assert isinstance(first, np.ndarray)
    assert (first.shape, first.dtype) == ((144, 48 * columns, 3), np.uint8)
    other = begin(SOUTH, length, render_mode="rgb_array").render()
    assert isinstance(other, np.ndarray)
    assert (first[:, 48:] == other[:, 48:]).all()
    assert (first[48:96, :48] == other[95:47:-1, :48]).all()  # the sign, upside down
    for _ in range(length):
        env.step(EAST)
    arrived = env.render()
    env.step(NORTH)
    turned = env.render()
    assert isinstance(arrived, np.ndarray)
    assert isinstance(turned, np.ndarray)
    assert (arrived[48:96, -48:] == turned[:48, -48:]).all()
    assert (arrived[48:96, -48:] != turned[48:96, -48:]).any()


def test_text() -> None:
    env = begin(NORTH, 3, render_mode="ansi")
    assert env.render() == "   .\nA...\n   ."
    env.step(EAST)
    assert env.render() == "   .\n^@..\n   ."
    env.step(EAST)
    env.step(EAST)
    env.step(SOUTH)
    assert env.render() == "   .\n^...\n   @"
    assert begin(SOUTH, 1, render_mode="ansi").render() == " .\nV.\n ."
    env.render_mode = None
    with pytest.warns(UserWarning, match="render mode"):
        assert env.render() is None
    with pytest.raises(ValueError, match="not as 'video'"):
        TMaze(render_mode="video")
