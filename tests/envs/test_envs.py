"""Tests of rlbench.envs: Catch by hand, each probe's values by brute force, and Gymnasium's own checks of them all."""

import collections
import importlib
import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from rlbench.envs.catch import Catch
from rlbench.envs.probe import Probe, TruncatedReward

from rlbench import envs

SOUND_IDS = [env_id for env_id in envs.IDS if env_id not in envs.FAULTY_IDS]
PROBE_IDS = [env_id for env_id in SOUND_IDS if "Probe" in env_id]
LEFT, STAY, RIGHT = 0, 1, 2


def make(env_id: str, **kwargs: Any) -> Any:
    """The environment itself, without Gymnasium's wrappers."""
    return gymnasium.make(env_id, **kwargs).unwrapped


def rollout(env: gymnasium.Env[Any, Any], actions: Any, seed: int | None = None) -> list[tuple[Any, ...]]:
    """Plays to the end of the episode or of `actions`: [(obs, action, reward, next_obs, terminated, truncated)]."""
    obs, _ = env.reset(seed=seed)
    steps = []
    for action in actions:
        next_obs, reward, terminated, truncated, _ = env.step(action)
        steps.append((obs, action, reward, next_obs, terminated, truncated))
        obs = next_obs
        if terminated or truncated:
            break
    return steps


def test_ids_are_registered_and_importing_twice_changes_nothing_and_warns_of_nothing() -> None:
    before = {env_id: gymnasium.spec(env_id) for env_id in envs.IDS}
    assert len(before) == 11
    assert set(envs.FAULTY_IDS) < set(envs.IDS)
    assert all(spec.max_episode_steps is None and isinstance(spec.entry_point, str) for spec in before.values())
    importlib.reload(envs)  # warnings are errors here, and Gymnasium warns where an id is overridden
    assert all(gymnasium.spec(env_id) is spec for env_id, spec in before.items())


@pytest.mark.parametrize("env_id", SOUND_IDS)
def test_gymnasium_accepts_it(env_id: str) -> None:
    check_env(make(env_id))


@pytest.mark.parametrize("env_id", SOUND_IDS)
def test_the_same_seed_and_actions_give_the_same_episode(env_id: str) -> None:
    rng = np.random.default_rng(0)
    one, other = make(env_id), make(env_id)
    assert one.action_space is not other.action_space  # spaces hold a random stream
    rollout(other, [1], seed=99)  # a different past must not show
    for seed in range(10):
        actions = rng.integers(one.action_space.n, size=12)
        np.testing.assert_equal(rollout(one, actions, seed), rollout(other, actions, seed))


@pytest.mark.parametrize("env_id", envs.IDS)
def test_stepping_outside_an_episode_and_unknown_actions_are_errors(env_id: str) -> None:
    env = make(env_id)
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)
    assert rollout(env, itertools.repeat(0), seed=0)[-1][-2:] != (False, False)
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)
    env.reset()
    for action in (-1, env.action_space.n):
        with pytest.raises(ValueError, match="takes action"):
            env.step(action)


def board(env: Catch, obs: np.ndarray) -> str:
    assert (obs.shape, obs.dtype) == ((env.rows, env.columns, 1), np.uint8)
    return "/".join("".join({0: ".", 255: "#"}[int(cell)] for cell in line) for line in obs[:, :, 0])


def seed_with_ball_in(column: int, **kwargs: int) -> int:
    env = Catch(**kwargs)
    return next(seed for seed in range(1000) if env.reset(seed=seed)[0][0, column, 0] == 255)


def test_catch_caught_by_hand() -> None:
    env = Catch(rows=4, columns=5)
    steps = rollout(env, [RIGHT, STAY, RIGHT], seed=seed_with_ball_in(4, rows=4))
    assert board(env, steps[0][0]) == "....#/...../...../..#.."
    after = ["...../....#/...../...#.", "...../...../....#/...#.", "...../...../...../....#"]
    assert [board(env, step[3]) for step in steps] == after
    assert [(step[2], *step[4:]) for step in steps] == [(0.0, False, False), (0.0, False, False), (1.0, True, False)]


def test_catch_missed_by_hand_with_the_paddle_stopped_by_either_wall() -> None:
    env = Catch(rows=5, columns=3)
    steps = rollout(env, [LEFT, LEFT, LEFT, RIGHT], seed=seed_with_ball_in(2, rows=5, columns=3))
    assert [board(env, step[3])[-3:] for step in steps] == ["#..", "#..", "#..", ".##"]  # ball and paddle at the end
    assert [step[2] for step in steps] == [0.0, 0.0, 0.0, -1.0]
    steps = rollout(env, [RIGHT, RIGHT, RIGHT, LEFT], seed=seed_with_ball_in(0, rows=5, columns=3))
    assert [board(env, step[3])[-3:] for step in steps] == ["..#", "..#", "..#", "##."]
    assert steps[-1][2] == -1.0


@pytest.mark.parametrize("seeds", [range(500), [0, *[None] * 499]], ids=["seeded", "stream"])
def test_catch_balls_fall_in_every_column_evenly_and_straight(seeds: list[int | None]) -> None:
    env = Catch()
    columns: collections.Counter[int] = collections.Counter()
    for seed in seeds:
        first, _ = env.reset(seed=seed)
        column = int(first[0, :, 0].argmax())
        columns[column] += 1
        obs, *_ = env.step(STAY)
        assert obs[1, column, 0] == 255
    assert all(60 < columns[column] < 140 for column in range(5)), columns  # 100 expected, standard deviation 9


def test_catch_is_always_winnable() -> None:
    env = Catch()
    for seed in range(50):
        obs, _ = env.reset(seed=seed)
        way = int(obs[0, :, 0].argmax()) - env.columns // 2  # from the paddle to the ball
        steps = rollout(env, [1 + np.sign(way)] * abs(way) + [STAY] * (9 - abs(way)), seed)
        assert (len(steps), steps[-1][2]) == (9, 1.0)


@pytest.mark.parametrize(("rows", "columns"), [(10, 5), (3, 7)])
def test_catch_pictures(rows: int, columns: int) -> None:
    env = make("rlbench/Catch-v0", rows=rows, columns=columns, render_mode="rgb_array")
    env.reset(seed=seed_with_ball_in(0, rows=rows, columns=columns))
    first = env.render()
    assert (first.shape, first.dtype) == ((48 * rows, 48 * columns, 3), np.uint8)
    env.step(LEFT)
    second = env.render()
    empty, ball, below = first[10, 10], first[20, 20], 48 * (rows - 1) + 40  # a row of pixels in the paddle
    paddle = first[below, 48 * (columns // 2) + 24]
    assert len({tuple(colour) for colour in (empty, ball, paddle)}) == 3
    assert (second[20, 20] == empty).all()
    assert (second[48 + 20, 20] == ball).all()
    assert (second[below, 48 * (columns // 2) - 24] == paddle).all()


def test_catch_text() -> None:
    env = make("rlbench/Catch-v0", rows=3, columns=3, render_mode="ansi")
    env.reset(seed=seed_with_ball_in(0, rows=3, columns=3))
    assert env.render() == "o . .\n. . .\n. = ."
    env.step(LEFT)
    assert env.render() == ". . .\no . .\n= . ."
    env.step(STAY)
    assert env.render() == ". . .\n. . .\n@ . ."
    env.render_mode = None
    with pytest.warns(UserWarning, match="render mode"):
        assert env.render() is None
    with pytest.raises(ValueError, match="not as 'video'"):
        Catch(render_mode="video")


def best_returns(env: Probe, gamma: float, horizon: int) -> dict[tuple[float, int], float]:
    """The best discounted return over all sequences of actions and twenty seeds, by (observation, first action).

    A probe's observation tells all about its future, so the best over seeds is no better than the best over actions.
    """
    best: dict[tuple[float, int], float] = {}
    for seed in range(20):
        for actions in itertools.product((0, 1), repeat=horizon):
            steps = rollout(env, actions, seed)
            assert steps[-1][4], "a longer horizon is needed"
            value = 0.0
            for obs, action, reward, *_ in reversed(steps):
                value = reward + gamma * value
                key = (float(obs[0]), action)
                best[key] = max(best.get(key, -np.inf), value)
    return best


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("env_id", [env_id for env_id in PROBE_IDS if "Truncated" not in env_id])
def test_true_values_are_the_best_returns_found_by_trying_everything(env_id: str, gamma: float) -> None:
    env = make(env_id)
    obs, q = env.true_q(gamma)
    assert (obs.dtype, obs.shape, q.shape) == (np.float32, (len(obs), 1), (len(obs), 2))
    stated = {(float(o[0]), action): q[i, action] for i, o in enumerate(obs) for action in (0, 1)}
    assert stated == pytest.approx(best_returns(env, gamma, horizon=2))


@pytest.mark.parametrize("action", [0, 1])
def test_true_value_without_the_time_limit_is_what_a_very_long_episode_returns(action: int) -> None:
    steps = rollout(TruncatedReward(max_steps=400), itertools.repeat(action), seed=0)
    assert [step[4:] for step in steps] == [(False, False)] * 399 + [(False, True)]
    obs, q = TruncatedReward.true_q(gamma=0.9)
    assert (obs == steps[0][0]).all()
    assert q[0, action] == pytest.approx(sum(0.9**t * step[2] for t, step in enumerate(steps)))


def learn(env: Probe, gamma: float, cut: Any) -> dict[tuple[float, int], float]:
    """What a tabular learner that bootstraps unless `cut(terminated, truncated)` ends with, by (obs, action)."""
    rng = np.random.default_rng(0)
    steps = [step for seed in range(60) for step in rollout(env, rng.integers(2, size=50), seed)]
    q: dict[tuple[float, int], float] = collections.defaultdict(float)
    for _ in range(200):
        targets = collections.defaultdict(list)
        for obs, action, reward, next_obs, terminated, truncated in steps:
            ahead = 0.0 if cut(terminated, truncated) else max(q[float(next_obs[0]), a] for a in (0, 1))
            targets[float(obs[0]), int(action)].append(reward + gamma * ahead)
        q.update({key: float(np.mean(values)) for key, values in targets.items()})
    return q


@pytest.mark.parametrize("env_id", PROBE_IDS)
def test_a_right_learner_learns_the_true_values(env_id: str) -> None:
    env = make(env_id)
    q = learn(env, 0.9, cut=lambda terminated, truncated: terminated)
    for obs, values in zip(*env.true_q(0.9), strict=True):
        assert [q[float(obs[0]), action] for action in (0, 1)] == pytest.approx(list(values))


def test_wrong_learners_are_found_out() -> None:
    q = learn(make("rlbench/ProbeTruncated-v0"), 0.9, cut=lambda terminated, truncated: terminated or truncated)
    assert q[1.0, 0] == pytest.approx(1 / (1 - 0.9 * (1 - 1 / 5)), rel=0.1)  # sampled, hence the width; 10 is right
    q = learn(make("rlbench/ProbeTerminated-v0"), 0.9, cut=lambda terminated, truncated: False)
    assert q[1.0, 0] == pytest.approx(10.0)  # 1 is right


def test_the_twins_differ_in_the_flag_and_in_nothing_else() -> None:
    (cut,) = rollout(make("rlbench/ProbeTruncated-v0", max_steps=1), [0], seed=3)
    (dead,) = rollout(make("rlbench/ProbeTerminated-v0"), [0], seed=3)
    np.testing.assert_equal(cut[:4], dead[:4])
    assert (cut[4:], dead[4:]) == ((False, True), (True, False))


@pytest.mark.parametrize("at", [1, 7])
@pytest.mark.parametrize("env_id", envs.FAULTY_IDS)
def test_faulty_environments_fail_where_they_say_and_only_there(env_id: str, at: int) -> None:
    env = make(env_id, at=at)
    for seed in (0, 1):  # in every episode
        steps = rollout(env, itertools.repeat(1), seed)
        seen = steps[at - 1][3]
        right = [steps[0][0] in env.observation_space, *(step[3] in env.observation_space for step in steps)]
        assert right == [i != at for i in range(at + 4)]
        assert seen.shape == (2,) if "Shape" in env_id else np.isnan(seen).all()


@pytest.mark.parametrize(
    "wrong", ["Catch rows 1", "Catch columns 0", "TMaze length 0", "ProbeTruncated max_steps 0", "ProbeNan at 0"]
)
def test_impossible_arguments_are_refused(wrong: str) -> None:
    name, argument, value = wrong.split()
    with pytest.raises(ValueError, match="at least"):
        make(f"rlbench/{name}-v0", **{argument: int(value)})
