"""Returns of a file beside the live agent's: when they may differ, and what several seeds gain by voting."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import registering
from gymnasium import spaces
from shipped import opened

from rlbench.errors import EnvError
from rlbench.policyfile.metadata import Space
from rlbench.policyfile.opened import open_policy
from rlbench.proving import proof
from rlbench.proving.episodes import FileEpisodes, compare_returns, live_returns, play_file
from rlbench.proving.gain import gained
from rlbench.proving.observed import observed
from rlbench.proving.proof import Mismatch
from rlbench.quantized.price import play_alone
from rlbench.ship.export import export
from rlbench.tracing.live import LivePolicy
from rlbench.tracing.policy import contract
from rlbench.trained.load import evaluate

SMALL: dict[str, Any] = {"hidden": (8,)}


class Chancy(gymnasium.Env[np.ndarray, int]):
    """Pays by numbers that no seed tells of."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    metadata: dict[str, Any] = {"render_modes": []}
    chance = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: int) -> Any:
        self.t += 1
        obs = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return obs, float(self.chance.normal()), self.t == 5, False, {}


class Beyond(Chancy):
    """Shows now and then what lies beyond its bounds, and in the end no number."""

    def step(self, action: int) -> Any:
        self.t += 1
        value = np.nan if self.chance.random() < type(self).odd else 3.0
        return np.array([value, 0], np.float32), 1.0, self.t == 5, False, {}

    odd = 0.0


_registered = registering({"ship/Chancy-v0": Chancy, "ship/Beyond-v0": Beyond})


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "RECORDED", 300)
    monkeypatch.setattr(proof, "RANDOM", 300)


def test_an_environment_that_does_not_repeat_itself_is_told(tmp_path: Path) -> None:
    """Returns differ, and on the whole they do not."""
    done = export(opened(tmp_path, "ship/Chancy-v0", **SMALL), "pt2", tmp_path / "a.pt2", episodes=30)
    returns = done.proof.returns
    assert (returns.equal, returns.drifted) == (0, 30)
    assert "not deterministic given its seed" in returns.why
    assert returns.low < 0 < returns.high
    assert done.metadata.proof["differ_by"] == returns.why


def test_what_lies_beyond_the_bounds_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = opened(tmp_path, "ship/Beyond-v0", **SMALL)
    done = export(trained, "pt2", tmp_path / "a.pt2", episodes=3)
    assert done.proof.returns.equal == 3
    monkeypatch.setattr(Beyond, "odd", 1.0)
    with pytest.raises(EnvError, match=r"ship/Beyond-v0 showed what is not of its observation space: .*nan"):
        observed(trained, contract(trained).obs, 20)


def test_returns_may_drift_where_actions_are_continuous_and_not_on_the_whole(tmp_path: Path) -> None:
    trained = opened(tmp_path, "Pendulum-v1", "sac", **SMALL)
    live = LivePolicy(trained, contract(trained).obs)
    expected = np.array([-5.0, -3.0, -8.0, -1.0])

    def judged(*moved: float) -> Any:
        played = FileEpisodes(expected + moved, 10, np.zeros(4, int), 0.0, 0)
        file: Any = None
        return compare_returns(file, trained, live, played, expected)

    assert judged(0, 1e-6, 0, 0).equal == 4
    drifted = judged(0, 0.5, -0.4, 0)
    assert (drifted.equal, drifted.drifted) == (2, 2)
    assert "last bits of continuous actions" in drifted.why
    with pytest.raises(Mismatch, match=r"the file gets other returns .* over 4 episodes, 4 of which differ"):
        judged(0.5, 0.5, 0.5, 0.6)


def test_the_file_plays_the_episodes_of_an_evaluation(tmp_path: Path) -> None:
    """More than are played at the same time, in environments whose episodes end at different times."""
    trained = opened(tmp_path, "CartPole-v1", **SMALL)
    export(trained, "pt2", tmp_path / "a.pt2", episodes=1)
    agreed = contract(trained)
    live = LivePolicy(trained, agreed.obs)
    expected = evaluate(trained, 23)[0]
    played = play_file(open_policy(tmp_path / "a.pt2"), trained, live, list(range(23)))
    assert played.returns.tolist() == expected.tolist() == live_returns(trained, 23).tolist()
    assert played.steps == expected.sum()
    some = play_file(open_policy(tmp_path / "a.pt2"), trained, live, [3, 13, 4])
    assert some.returns.tolist() == expected[[3, 13, 4]].tolist()


def test_each_step_of_the_episodes_that_a_file_plays_is_compared(tmp_path: Path) -> None:
    """Whatever they return."""
    (tmp_path / "other").mkdir()
    export(opened(tmp_path / "other", "CartPole-v1", hidden=(9,)), "pt2", tmp_path / "a.pt2", episodes=1)
    trained = opened(tmp_path, "CartPole-v1", **SMALL)
    live = LivePolicy(trained, contract(trained).obs)
    with pytest.raises(Mismatch, match=r"In step 0 of its own episode [34], on \{'obs': .* it gave q_values"):
        play_file(open_policy(tmp_path / "a.pt2"), trained, live, [3, 4])


def test_episodes_are_cut_where_the_run_cuts_them(tmp_path: Path) -> None:
    trained = opened(tmp_path, "CartPole-v1", max_episode_steps=5, **SMALL)
    done = export(trained, "pt2", tmp_path / "a.pt2", episodes=3)
    assert done.proof.returns.returns.tolist() == [5, 5, 5]
    assert play_alone(open_policy(done.path), trained, 3).tolist() == [5, 5, 5]


class Taped:
    """A file that always goes left, and writes down what is asked of it."""

    def __init__(self, obs: Space) -> None:
        self.metadata, self.tape = SimpleNamespace(obs=obs), list[str]()

    def session(self) -> "Taped":
        return self

    def begin(self) -> None:
        self.tape.append("begin")

    def act(self, obs: Any, mask: Any) -> int:
        self.tape.append("act")
        return 0


def test_each_episode_that_a_file_plays_alone_begins(tmp_path: Path) -> None:
    trained = opened(tmp_path, "CartPole-v1", **SMALL)
    file: Any = Taped(contract(trained).obs)
    returns = play_alone(file, trained, 23)
    episodes = " ".join(file.tape).split("begin")[1:]
    in_turn = [k for i in range(10) for k in range(i, 23, 10)]  # copy after copy
    assert [one.count("act") for one in episodes] == returns[in_turn].tolist()


def test_a_gain_is_paired_by_episodes(tmp_path: Path) -> None:
    trained = opened(tmp_path, "CartPole-v1", seeds=2, **SMALL)
    base = np.array([100.0, 200.0, 300.0, 400.0])
    gain = gained(trained, base + np.array([3, 1, 2, 2]), np.stack([base - 4, base]))
    assert gain.best == 1  # its evaluation in training was
    assert gain.singles == {0: 246.0, 1: 250.0}
    assert gain.over_one.value == pytest.approx(4)
    assert gain.over_best.value == pytest.approx(2)
    assert gain.over_best.high - gain.over_best.low == pytest.approx(2 * 3.182446 * 0.8164966 / 2, abs=1e-4)
