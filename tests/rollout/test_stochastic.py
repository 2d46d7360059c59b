"""The policy that an agent explores with, evaluated: the same numbers every time, and no trace in the run."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import succeeds
from conftest import make_spec
from rlbench.agents.random import Random

import rlbench
from rlbench.errors import UsageError
from rlbench.learner import lift
from rlbench.rng import Streams, generator

KEYS: dict[str, Any] = {
    "seeds": 3, "num_envs": 2, "total_steps": 300, "eval_every": 0, "final_eval_episodes": 2, "track": "none",
    "dqn": {"hidden": [8], "batch_size": 8, "learning_starts": 20, "capacity": 200, "epsilon_steps": 600},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rlbench.train("CartPole-v1", out=tmp_path_factory.mktemp("stochastic") / "run", **KEYS).folder


def digests(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_it_explores_the_same_way_every_time_and_leaves_no_trace(folder: Path) -> None:
    before, trained = digests(folder), rlbench.load(folder / "checkpoint.pth")
    greedy = rlbench.evaluate(trained, 7)
    drawn = rlbench.evaluate(trained, 7, stochastic=True)
    assert drawn.shape == (3, 7)
    assert repr(drawn).startswith("<returns of 7 stochastic episodes per seed: ")
    assert (drawn != greedy).any()
    assert len({tuple(row) for row in drawn.tolist()}) == 3  # no seed draws what another does
    assert (rlbench.evaluate(trained, 7, stochastic=True) == drawn).all()
    assert (rlbench.evaluate(trained, 7) == greedy).all()
    assert (rlbench.evaluate(folder / "checkpoint.pth", 7, stochastic=True) == drawn).all()
    assert digests(folder) == before


def test_a_seed_alone_and_a_shorter_evaluation_are_parts_of_it(folder: Path) -> None:
    whole = rlbench.evaluate(folder, 7, stochastic=True)
    assert (rlbench.evaluate(folder, 7, seed=1, stochastic=True) == whole[1:2]).all()
    for episodes in (1, 2, 3):
        assert (rlbench.evaluate(folder, episodes, stochastic=True) == whole[:, :episodes]).all()


def test_it_explores_as_much_as_when_it_was_saved(folder: Path) -> None:
    """With the chance of epsilon an action is drawn, and half of what is drawn of two actions is not the greedy one."""
    trained = rlbench.load(folder / "checkpoint.pth")
    epsilon = float(trained.agent.epsilon())  # type: ignore[attr-defined]
    assert 0.4 < epsilon < 0.6  # half way from 1 to next to nothing
    asked: list[float] = []

    class Watched(type(trained.agent)):  # type: ignore[misc]
        def act(self, obs: Any, *, explore: bool) -> Any:
            assert explore
            assert obs.shape[:2] == (3, 2)
            action = super().act(obs, explore=True)
            asked.append(float((action != super().act(obs, explore=False)).double().mean()))
            return action

    def made(seeds: Any) -> Any:
        agent, streams = trained.parts.made(seeds)
        agent.__class__ = Watched
        return agent, streams

    rlbench.evaluate(trained._replace(parts=trained.parts._replace(made=made)), 10, stochastic=True)
    assert np.mean(asked) == pytest.approx(0.5 * epsilon, abs=0.05)


class Tosses(rlbench.Learner):
    """Tosses a coin where it explores, and says what it drew."""

    drawn: list[float] = []
    began: list[Any] = []

    def __init__(self, spec: Any, config: Any, rng: np.random.Generator) -> None:
        self.rng = rng

    def begin(self, started: Any, *, explore: bool) -> None:
        Tosses.began.append((started.tolist(), explore))

    def act(self, obs: Any, *, explore: bool) -> Any:
        if not explore:
            return torch.zeros(len(obs), dtype=torch.int64)
        u = self.rng.random(len(obs))
        Tosses.drawn += u.tolist()
        return torch.from_numpy((u < 0.5).astype(np.int64))

    def observe(self, transition: Any) -> None: ...

    def update(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_a_learner_draws_none_of_its_runs_numbers(tmp_path: Path) -> None:
    keys = {key: value for key, value in KEYS.items() if key != "dqn"}
    Tosses.drawn.clear()
    run = rlbench.train("CartPole-v1", agent=Tosses, out=tmp_path / "run", **{**keys, "total_steps": 60})
    learned = set(Tosses.drawn)
    more = set(generator(0, "learner").random(2000).tolist())  # and those that it would have drawn next
    Tosses.drawn.clear()
    Tosses.began.clear()
    first = rlbench.evaluate(run.folder, 4, agent=Tosses, stochastic=True)
    assert len(Tosses.drawn) > 100
    assert not set(Tosses.drawn) & (learned | more)
    assert [began for began, explore in Tosses.began if explore][:3] == [[True, True]] * 3  # of three learners
    assert (rlbench.evaluate(run.folder, 4, agent=Tosses, stochastic=True) == first).all()


def test_an_agent_with_memory_and_a_random_one(tmp_path: Path) -> None:
    how = {**KEYS, "total_steps": 80, "dqn": {**KEYS["dqn"], "memory": "gru"}}
    run = rlbench.train("CartPole-v1", out=tmp_path / "memory", **how)
    first = rlbench.evaluate(run.folder, 3, stochastic=True)
    assert (rlbench.evaluate(run.folder, 3, stochastic=True) == first).all()
    keys = {key: value for key, value in KEYS.items() if key != "dqn"}
    run = rlbench.train("CartPole-v1", agent="random", out=tmp_path / "random", **keys)
    assert 10 < rlbench.evaluate(run.folder, 20, stochastic=True).mean() < 40


def test_the_command_marks_what_it_says(folder: Path) -> None:
    said = succeeds("eval", folder, "--stochastic", "--episodes", 4)
    assert said.startswith(f"{folder / 'best.pth'}: dqn on CartPole-v1, 4 stochastic episodes per seed")
    told = json.loads(succeeds("eval", folder, "--stochastic", "--episodes", 4, "--json"))
    assert told["policy"] == "stochastic"
    drawn = rlbench.evaluate(folder, 4, stochastic=True)
    assert [told["seeds"][str(s)]["returns"] for s in range(3)] == drawn.tolist()
    assert json.loads(succeeds("eval", folder, "--episodes", 4, "--json"))["policy"] == "greedy"


def test_diverted_streams_are_others_and_begin_anew() -> None:
    run, copy = Streams([3, 4]), Streams([3, 4])
    before = copy["explore"].uniform(5).clone()
    assert torch.equal(run["explore"].uniform(5), before)
    copy.divert("mine")
    mine = copy["explore"].uniform(5).clone()
    assert not set(mine.flatten().tolist()) & set(run["explore"].uniform(4000).flatten().tolist())
    other = Streams([3, 4])
    other["explore"].uniform(4097)
    other.divert("mine")
    assert torch.equal(other["explore"].uniform(5), mine)
    later = Streams([3, 4])
    later.divert("mine")
    assert torch.equal(later["explore"].uniform(5), mine)  # also one that is asked for afterwards
    alone = Streams([4])
    alone.divert("mine")
    assert torch.equal(alone["explore"].uniform(5), mine[1:])


def test_learners_are_diverted_where_they_stand() -> None:
    streams = Streams([3, 4])
    agent: Any = lift(Tosses)(make_spec(num_seeds=2), Tosses.Config(), streams)
    streams.divert("mine")
    assert agent.learners[1].rng.random() == generator(4, "mine/learner").random()


def test_at_least_one_episode(folder: Path) -> None:
    for stochastic in (True, False):
        with pytest.raises(UsageError, match="at least one episode"):
            rlbench.evaluate(folder, 0, stochastic=stochastic)


def test_random_is_told_to_explore() -> None:
    """It draws from another stream where it is only evaluated."""
    spec, streams = make_spec(), Streams([0])
    agent = Random(spec, Random.Config(), streams)
    agent.act(torch.zeros(1, 1, 4), explore=True)
    assert streams.state_dict() == {"explore": 1}
