"""Resuming where an environment does not come back: all that its episode gave tells, and no window of steps runs
from what lay before over to what comes after."""

import itertools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import make_spec, random_transitions
from gymnasium import spaces
from test_promises import opened, recipe

import rlbench
from rlbench.agent_state import snapshot
from rlbench.border.make import env_maker
from rlbench.errors import EnvError
from rlbench.replay import Replay
from rlbench.rng import Streams
from rlbench.rollout.digests import Digests
from rlbench.rollout.env_batch import EnvBatch
from rlbench.training import train as training


class Wanders(gymnasium.Env[Any, Any]):
    """Counts its steps up to ``lasts``. What ``strays`` names goes by `odd`, which a test changes on the way."""

    odd = 1

    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, strays: str = "", lasts: int = 50) -> None:
        self.strays, self.lasts, self.t = strays, lasts, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 0
        return self.look(), {}

    def look(self) -> Any:
        middle = self.strays == "middle" and self.t == 3
        return np.array([self.t, self.odd if middle or (self.strays == "first" and self.t == 0) else 0], np.float32)

    def step(self, action: int) -> Any:
        self.t += 1
        reward = float(self.odd) if self.strays == "reward" and self.t == 2 else 1.0
        ends = self.strays == "end" and self.t == 5 and self.odd > 1
        if self.strays == "raises" and self.t == 4 and self.odd > 1:
            raise RuntimeError("not this way")
        return self.look(), reward, ends or self.t >= self.lasts, False, {}


gymnasium.register("seam/Wanders-v0", entry_point=Wanders)


def at(steps: int, strays: str) -> EnvBatch:
    envs = EnvBatch(env_maker("seam/Wanders-v0", {"strays": strays}), [4], 2)
    envs.reset()
    for _ in range(steps):
        envs.step(torch.tensor([[0, 1]]))
    return envs


@pytest.mark.parametrize("steps", [0, 1, 7, 700])
def test_one_that_does_not_stray_comes_back(steps: int) -> None:
    envs = at(steps, "")
    again = EnvBatch(envs.maker, [4], 2)
    obs, strayed = again.load_state_dict(snapshot(envs.state_dict()))
    assert strayed == []
    assert obs.tolist() == [[[steps % 50, 0]] * 2]
    for _ in range(60):  # and is as far as the other one ever after
        envs.step(torch.tensor([[1, 0]]))
        again.step(torch.tensor([[1, 0]]))
    assert again.state_dict()["sums"].tolist() == envs.state_dict()["sums"].tolist()


@pytest.mark.parametrize("strays", ["reward", "middle", "first", "end"])
def test_whatever_is_another_in_the_episode_under_way_is_noticed(strays: str, monkeypatch: Any) -> None:
    envs = at(7, strays)
    state = snapshot(envs.state_dict())
    assert state["obs"].tolist() == [[7, 0]] * 2
    monkeypatch.setattr(Wanders, "odd", 2)
    obs, strayed = EnvBatch(envs.maker, [4], 2).load_state_dict(state)
    assert strayed == [0, 1]
    assert obs[..., 0].tolist() == [[0, 0]]  # of the next episode


def test_one_that_raises_is_told_by_name_and_does_not_count_as_another_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = at(7, "raises")
    state = snapshot(envs.state_dict())
    monkeypatch.setattr(Wanders, "odd", 2)
    told = r"step 4 of episode 0 \(seed 4, env 0\): .*test_resume_seam.py:\d+, in step: RuntimeError: not this way; "
    with pytest.raises(EnvError, match=told):
        EnvBatch(envs.maker, [4], 2).load_state_dict(state)


def test_a_checkpoint_without_checksums_is_judged_by_its_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    state = snapshot(at(7, "reward").state_dict())
    monkeypatch.setattr(Wanders, "odd", 2)
    del state["sums"]
    _, strayed = EnvBatch(env_maker("seam/Wanders-v0", {"strays": "reward"}), [4], 2).load_state_dict(state)
    assert strayed == []


@pytest.mark.parametrize("size", [1, 2**14, 2**30])
def test_checksums_do_not_depend_on_when_they_are_taken(size: int) -> None:
    rng = np.random.default_rng(0)
    steps = [(rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=3).tolist()) for _ in range(1200)]
    begins = {(i, int(t)) for i in range(3) for t in rng.integers(0, 1200, 9)}
    often, seldom = Digests(3, size), Digests(3, 8)
    for t, (after, rewards) in enumerate(steps):
        for one in (often, seldom):
            one.add(after, rewards)
            for i in range(3):
                if t == 0 or (i, t) in begins:
                    one.begin(i, after[i : i + 1])
        if t % 7 == 0:
            often.all()
    assert often.all() == seldom.all()
    assert len(set(often.all())) == 3
    changed = Digests(1, 8)
    changed.begin(0, steps[0][0][:1])
    changed.add(steps[0][0][:1], [1.0])
    before = changed.all()
    changed.begin(0, steps[0][0][:1])
    changed.add(steps[0][0][:1], [np.nextafter(1.0, 2.0)])
    assert before[0][0] == changed.all()[0][0]
    assert before[0][1] != changed.all()[0][1]


# ---- what the buffer makes of it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", [False, True])
def test_no_window_runs_over_a_cut(wrapped: bool) -> None:
    spec = make_spec(num_seeds=2, num_envs=2)
    replay = Replay(spec, 2 * (6 if wrapped else 40), Streams([0, 1])["replay"], gamma=0.5, n_step=4)
    before, after = list(random_transitions(spec, 8, end=0)), list(random_transitions(spec, 3, seed=1, end=0))
    for t in before:
        replay.add(t)
    where = np.array([[True, False], [False, True]])
    replay.cut(where)
    for t in after:
        replay.add(t)
    batch = replay.sample(400)
    newest = before[-1]
    for s, e in itertools.product(range(2), range(2)):
        mine = (batch.obs[s] == newest.obs[s, e]).all(-1)
        assert mine.any()
        discount, reward = batch.discount[s][mine], batch.reward[s][mine]
        if where[s, e]:  # a window of one step, whose value goes on from what followed it
            assert (discount == 0.5).all()
            assert (reward == newest.reward[s, e]).all()
            assert (batch.next_obs[s][mine] == newest.next_obs[s, e]).all()
        else:
            assert (discount == 0.5**4).all()
            assert (batch.next_obs[s][mine] == after[2].next_obs[s, e]).all()


def test_a_cut_of_an_empty_buffer_is_nothing() -> None:
    replay = Replay(make_spec(), 8, Streams([0])["replay"], n_step=3)
    replay.cut(np.array([[True]]))
    assert len(replay) == 0


def resumed(strays: str, place: Path) -> Any:
    """A run of two copies that was stopped at step 2 * 23, in the middle of an episode, and gone on with to step 60."""
    hyper = {"n_step": 5, "capacity": 100, "batch_size": 8, "learning_starts": 1000, "hidden": (4,)}
    keys = {"seeds": 1, "num_envs": 2, "eval_every": 0, "final_eval_episodes": 0, "env_kwargs": {"strays": strays}}
    training.train(recipe=recipe("seam/Wanders-v0", hyper=hyper, total_steps=46, **keys), out=place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wanders, "odd", 2)
        return training.resume(place, total_steps=60)


@pytest.mark.parametrize(("strays", "cut"), [("reward", True), ("middle", True), ("first", True), ("", False)])
def test_the_newest_row_of_a_copy_that_strayed_is_closed(strays: str, cut: bool, tmp_path: Path) -> None:
    done = resumed(strays, tmp_path / "run")
    assert done.summary["exact"] is not cut
    rows = opened(done.folder, "replay")["replay"]["rows"][0]  # (T, E, width): action, reward, two flags, ...
    flags = rows[:, :, 2:4].numpy()
    assert len(flags) == 30
    ends = [(t, e, *flags[t, e].tolist()) for t, e in zip(*np.nonzero(flags.sum(-1)), strict=True)]
    assert ends == ([(22, 0, 0.0, 1.0), (22, 1, 0.0, 1.0)] if cut else [])
    assert rows[23, :, 4].tolist() == ([0, 0] if cut else [23, 23])  # of the next episode, or of the same


class Keeps(rlbench.Learner):
    """Keeps what it is told."""

    cuts: list[Any] = []

    def __init__(self, spec: Any, config: Any, rng: Any) -> None:
        self.envs = spec.num_envs

    def act(self, obs: Any, *, explore: bool) -> Any:
        return torch.zeros(len(obs), dtype=torch.int64)

    def observe(self, transition: Any) -> None: ...

    def update(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def cut(self, where: Any) -> None:
        Keeps.cuts.append(where.tolist())


def test_an_agent_of_ones_own_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"seeds": 1, "num_envs": 2, "eval_every": 0, "final_eval_episodes": 0, "device": "cpu"}
    how = {"agent": Keeps, "env_kwargs": {"strays": "reward"}, "out": tmp_path / "run", **keys}
    training.train("seam/Wanders-v0", total_steps=46, **how)
    assert Keeps.cuts == []
    monkeypatch.setattr(Wanders, "odd", 2)
    training.resume(tmp_path / "run", agent=Keeps, total_steps=60)
    assert Keeps.cuts == [[True, True]]
