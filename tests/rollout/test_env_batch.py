"""EnvBatch: what happens at an episode's end, in every space, and how a broken environment is reported."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlbench.border.make import env_maker
from rlbench.errors import AgentError, EnvError, UsageError
from rlbench.rng import episode_seed
from rlbench.rollout.env_batch import EnvBatch

COUNT = spaces.Box(-np.inf, np.inf, (1,), np.float32)


class Toy(gymnasium.Env[Any, Any]):
    """Sees ``look(steps so far)``, ends by itself after ``lasts`` steps, pays 1 a step; keeps the actions it got."""

    def __init__(
        self,
        look: Callable[[int], Any] = lambda n: np.array([n], np.float32),
        space: spaces.Space[Any] = COUNT,
        actions: spaces.Space[Any] | None = None,
        lasts: int = 10**9,
        reward: Callable[[int], float] = lambda n: 1.0,
    ) -> None:
        self.look, self.lasts, self.reward = look, lasts, reward
        self.observation_space, self.action_space = space, actions or spaces.Discrete(2)
        self.got: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.n, self.seeded = 0, seed
        return self.look(0), {}

    def step(self, action: Any) -> Any:
        self.n += 1
        self.got.append(action)
        return self.look(self.n), self.reward(self.n), self.n >= self.lasts, False, {}


gymnasium.register("test/Toy-v0", entry_point=Toy)
gymnasium.register("test/ToyLimited-v0", entry_point=Toy, max_episode_steps=4)
gymnasium.register("test/ToyLimited9-v0", entry_point=Toy, max_episode_steps=9)


def batch(seeds: Any = (0,), num_envs: int = 1, *, limit: int = 0, id: str = "test/Toy-v0", **kwargs: Any) -> EnvBatch:
    return EnvBatch(env_maker(id, kwargs, limit), seeds, num_envs)


def idle(envs: EnvBatch) -> torch.Tensor:
    return torch.zeros(len(envs.seeds), envs.num_envs, dtype=torch.int64)


@pytest.mark.parametrize(
    ("how", "terminated", "truncated"),
    [
        ({"lasts": 4}, True, False),
        ({"id": "test/ToyLimited-v0"}, False, True),
        ({"limit": 4}, False, True),
        ({"id": "test/ToyLimited-v0", "lasts": 4}, True, True),
        ({"id": "test/ToyLimited-v0", "limit": 9}, False, True),
        ({"id": "test/ToyLimited9-v0", "limit": 4}, False, True),
    ],
)
def test_an_episodes_end(how: Any, terminated: bool, truncated: bool) -> None:
    envs = batch((5, 6), 2, **how)
    obs = envs.reset()
    assert obs.shape == (2, 2, 1)
    for n in range(1, 9):
        t, following = envs.step(idle(envs))
        at_end = n % 4 == 0
        assert (t.obs == (n - 1) % 4).all()
        assert (t.obs == obs).all()
        assert (t.next_obs == (n - 1) % 4 + 1).all()  # the true one, also at the end
        assert (following == (0 if at_end else n % 4)).all()
        assert (t.terminated == (at_end and terminated)).all()
        assert (t.truncated == (at_end and truncated)).all()
        assert t.terminated.dtype == t.truncated.dtype == torch.bool
        assert t.reward.dtype == torch.float32
        assert [tuple(e)[:6] for e in envs.finished] == [
            (s, e, n // 4 - 1, 4.0, 4, terminated) for s in (0, 1) for e in (0, 1) if at_end
        ]
        obs = following


def test_what_was_handed_out_does_not_change_afterwards() -> None:
    envs = batch((0, 1), 2, lasts=3)
    seen = [envs.reset()]
    kept = [seen[0].clone()]
    for _ in range(7):
        t, obs = envs.step(idle(envs))
        seen += [t.obs, t.next_obs, obs]
        kept += [t.obs.clone(), t.next_obs.clone(), obs.clone()]
    assert all(torch.equal(a, b) for a, b in zip(seen, kept, strict=True))


def test_episode_seeds_do_not_depend_on_the_width() -> None:
    seeds: dict[Any, list[int]] = {}
    for run, width in [((4,), 1), ((4,), 3), ((9, 4, 2), 3)]:
        envs = batch(run, width, lasts=2)
        envs.reset()
        for _ in range(5):
            for i, env in enumerate(envs.envs):
                s, e = divmod(i, width)
                seeds.setdefault((run[s], e), []).append(env.unwrapped.seeded)  # type: ignore[attr-defined]
            envs.step(idle(envs))
            envs.step(idle(envs))
    alone = [episode_seed(4, "env", 0, k) for k in range(5)]
    assert seeds[4, 0] == alone * 3
    assert seeds[4, 1] == [episode_seed(4, "env", 1, k) for k in range(5)] * 2
    assert len({s for each in seeds.values() for s in each}) == 5 * 9
    assert all(0 <= s < 2**31 for each in seeds.values() for s in each)


def test_stopped_copies_stand_still() -> None:
    envs = batch((0, 1), 2, lasts=100)
    envs.reset()
    envs.step(idle(envs))
    envs.stop(0, 1)
    t, obs = envs.step(idle(envs))
    assert t.next_obs.flatten().tolist() == obs.flatten().tolist() == [2, 1, 2, 2]
    assert t.reward.tolist() == [[1, 0], [1, 1]]
    envs.stop(1)
    t, obs = envs.step(idle(envs))
    assert obs.flatten().tolist() == [3, 1, 2, 2]
    assert envs.running
    envs.stop(0)
    assert not envs.running
    assert envs.reset().flatten().tolist() == [0, 0, 0, 0]
    assert envs.running


def bad_at(n: int, value: Any) -> Callable[[int], Any]:
    def look(k: int) -> Any:
        if k == n and isinstance(value, Exception):
            raise value
        return value if k == n else np.array([k], np.float32)

    return look


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([np.nan], np.float32), "not finite.*nan"),
        (np.array([np.inf], np.float32), "not finite.*inf"),
        (np.array([1.0, 2.0], np.float32), r"shape \(2,\) where \(1,\) was declared"),
        (np.float32(1.0), r"shape \(\) where \(1,\) was declared"),
        (None, r"None where shape \(1,\) was declared"),
        (KeyError("wheel"), "KeyError: 'wheel'"),
    ],
)
def test_a_broken_observation_names_env_seed_episode_and_step(value: Any, words: str) -> None:
    envs = batch((7, 8), 2, lasts=6, limit=5, look=bad_at(3, value))
    with pytest.raises(EnvError, match=f"test/Toy-v0 .*{words}") as e:
        run_on(envs)
    assert "step 3 of episode 0 (seed 7, env 0)" in str(e.value)
    first = batch((7,), look=bad_at(0, value))
    with pytest.raises(EnvError, match=words):
        first.reset()


def run_on(envs: EnvBatch) -> None:
    envs.reset()
    for _ in range(20):
        envs.step(idle(envs))


@pytest.mark.parametrize("reward", [float("nan"), float("-inf"), None, "much"])
def test_a_broken_reward_is_an_error_in_the_right_place(reward: Any) -> None:
    envs = batch((7, 8), 2, lasts=6)
    envs.reset()
    for _ in range(8):
        envs.step(idle(envs))
    envs.envs[3].unwrapped.reward = lambda n: reward  # type: ignore[attr-defined]
    with pytest.raises(EnvError, match=r"step 3 of episode 1 \(seed 8, env 1\)"):
        envs.step(idle(envs))


def test_huge_but_finite_numbers_are_no_error() -> None:
    run_on(batch((0, 1), 2, look=lambda n: np.array([3e38], np.float32)))
    run_on(batch((0, 1), 2, reward=lambda n: 3e38 if n < 2 else 0.0))


def test_a_reward_that_float32_cannot_hold_is_an_error() -> None:
    with pytest.raises(EnvError, match=r"a reward that is too large for float32 at step 1 of.*: 1e\+39"):
        run_on(batch((0, 1), 2, reward=lambda n: 1e39))


def test_an_index_out_of_range_is_an_error() -> None:
    with pytest.raises(EnvError, match=r"step 2 of.*Discrete\(3, start=-1\) was declared"):
        run_on(batch(space=spaces.Discrete(3, start=-1), look=lambda n: n))


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (2, 3)])
def test_a_wrong_number_of_actions_is_an_error(shape: tuple[int, ...]) -> None:
    envs = batch((0, 1), 2)
    envs.reset()
    with pytest.raises(AgentError, match="the agent gave actions of shape"):
        envs.step(torch.zeros(shape, dtype=torch.int64))


def test_a_wrong_shape_of_continuous_actions_is_an_error() -> None:
    envs = batch((0,), 2, actions=spaces.Box(-1, 1, (3,), np.float32))
    envs.reset()
    for shape in ((1, 2), (1, 2, 2), (2, 2, 3)):
        with pytest.raises(AgentError, match="the agent gave actions of shape"):
            envs.step(torch.zeros(shape))


IMAGE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3) * 4
NESTED = spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(-9, 9, (2,), np.float64)})
PAIR = spaces.Tuple((spaces.Box(-9, 9, (1,), np.float32), spaces.MultiBinary(2)))


@pytest.mark.parametrize(
    ("space", "raw", "stored", "dtype"),
    [
        (spaces.Discrete(5, start=3), 4, 1, torch.int64),
        (spaces.Discrete(5), np.int64(4), 4, torch.int64),
        (NESTED, {"a": np.array([1.5, 2.5]), "b": 2}, [1.5, 2.5, 0, 0, 1], torch.float32),
        (PAIR, (np.array([7.0], np.float32), np.array([0, 1], np.int8)), [7, 0, 1], torch.float32),
        (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1], torch.float32),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0], torch.float32),
        (spaces.Box(-9, 9, (2,), np.float64), np.array([0.1, 2.0]), [np.float32(0.1), 2], torch.float32),
        (spaces.Box(-9, 9, (), np.float32), np.float32(4), 4, torch.float32),
        (spaces.Box(-9, 9, (2, 2), np.int64), np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]], torch.float32),
        (spaces.Box(0, 255, (3,), np.uint8), np.array([1, 2, 255], np.uint8), [1, 2, 255], torch.float32),
        (spaces.Box(0, 255, (4, 5, 3), np.uint8), IMAGE, IMAGE.tolist(), torch.uint8),
        (spaces.Box(0, 255, (4, 5), np.uint8), IMAGE[..., 0], IMAGE[..., 0].tolist(), torch.uint8),
    ],
)
def test_every_observation_space(space: Any, raw: Any, stored: Any, dtype: torch.dtype) -> None:
    envs = batch((0,), 2, space=space, look=lambda n: raw, lasts=2)
    want = torch.tensor(np.array([[stored] * 2]), dtype=dtype)
    obs = envs.reset()
    spec = envs.spec
    assert obs.dtype == spec.obs_dtype == dtype
    assert obs.shape == (1, 2, *spec.obs_shape)
    assert spec.num_obs == (space.n if isinstance(space, spaces.Discrete) else None)
    t, following = envs.step(idle(envs))
    assert all(torch.equal(x, want) for x in (obs, t.obs, t.next_obs, following))


@pytest.mark.parametrize("space", [spaces.Graph(spaces.Discrete(2), None), spaces.Sequence(spaces.Discrete(2))])
def test_spaces_without_a_fixed_size_are_refused(space: Any) -> None:
    with pytest.raises(UsageError, match=r"test/Toy-v0.*no fixed size"):
        batch(space=space)
    with pytest.raises(UsageError, match=r"test/Toy-v0.*rlbench knows Discrete, MultiDiscrete, MultiBinary and Box"):
        batch(actions=spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]))


def test_actions_reach_the_environment_as_its_space_has_them() -> None:
    envs = batch((0, 1), 2, actions=spaces.Discrete(4, start=-2))
    envs.reset()
    t, _ = envs.step(torch.tensor([[0, 1], [2, 3]]))
    assert [env.unwrapped.got for env in envs.envs] == [[-2], [-1], [0], [1]]  # type: ignore[attr-defined]
    assert t.action.tolist() == [[0, 1], [2, 3]]
    box = spaces.Box(np.array([-1, 0]), np.array([1, 5]), (2,), np.float64)
    envs = batch((0, 1), 1, actions=box)
    assert envs.spec.num_actions is None
    assert envs.spec.action_shape == (2,)
    assert envs.spec.action_low.tolist() == [-1, 0]  # type: ignore[union-attr]
    assert envs.spec.action_high.tolist() == [1, 5]  # type: ignore[union-attr]
    envs.reset()
    envs.step(torch.tensor([[[0.5, 3.0]], [[0.25, 4.0]]], requires_grad=True))
    got = [env.unwrapped.got[0] for env in envs.envs]  # type: ignore[attr-defined]
    assert [(g.tolist(), g.dtype) for g in got] == [([0.5, 3.0], np.float64), ([0.25, 4.0], np.float64)]


@pytest.mark.parametrize("stopped", [0, 1, 3])
def test_a_step_that_fails_leaves_returns_as_they_were(stopped: int) -> None:
    """Also where most copies stand still, whose returns are not gone through."""
    envs = batch(num_envs=4, reward=lambda n: 1.0 if n < 3 else np.nan)
    envs.reset()
    for env in range(stopped):
        envs.stop(0, env)
    envs.step(idle(envs))
    envs.step(idle(envs))
    before = envs.episodes.returns
    assert before == [0.0] * stopped + [2.0] * (4 - stopped)
    with pytest.raises(EnvError):
        envs.step(idle(envs))
    assert envs.episodes.returns == before == [0.0] * stopped + [2.0] * (4 - stopped)
