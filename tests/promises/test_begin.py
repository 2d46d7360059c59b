"""Episodes begin, and agents are told, whoever lets them act: what one remembers is of the episode at hand."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import registering
from test_promises import QUIET, assert_same, opened, rows
from test_resume_seam import Wanders
from torch import Tensor

import rlbench
from rlbench import Learner
from rlbench.agent import Agent, AgentConfig
from rlbench.border.make import env_maker
from rlbench.play.clips import Clips
from rlbench.play.greedy import play_returns
from rlbench.play.reel import reels, training_reels
from rlbench.recipe import Recipe
from rlbench.recipe.registry import given_class
from rlbench.rollout.env_batch import EnvBatch
from rlbench.rollout.evaluation import Evaluator
from rlbench.rollout.loop import run
from rlbench.trained import recording

NORTH, EAST, SOUTH = 0, 1, 2
TMAZE = "rlbench/TMaze-v0"

registered = registering({"begin/Wanders-v0": Wanders})


class SignReader(Agent):
    """Knows the T-maze, and remembers the sign that it saw first in an episode. Exploring, it walks at random."""

    Config = AgentConfig

    def __init__(self, spec: Any, config: Any, streams: Any) -> None:
        self.spec, self.stream = spec, streams["explore"]
        self.signs = torch.zeros(spec.num_seeds, spec.num_envs)
        self.played = self.signs
        self.began = torch.zeros(spec.num_seeds, spec.num_envs, dtype=torch.int64)

    def begin(self, started: Tensor, *, explore: bool) -> None:
        assert started.dtype == torch.bool
        if explore:
            self.signs = self.signs.masked_fill(started, 0.0)
            self.began = self.began + started
        else:
            if self.played.shape != started.shape:
                assert started.all()  # somebody else's turn
                self.played = torch.zeros(started.shape)
            self.played = self.played.masked_fill(started, 0.0)

    def look(self, obs: Tensor, signs: Tensor) -> Tensor:
        return torch.where(signs == 0, obs[..., 0], signs)

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        if explore:
            self.signs = self.look(obs, self.signs)
            return torch.from_numpy((self.stream.host(obs.shape[1]) * 4).astype(np.int64))
        self.played = self.look(obs, self.played)
        return self.way(obs, self.played)

    def way(self, obs: Tensor, signs: Tensor) -> Tensor:
        turn = torch.where(signs > 0, NORTH, SOUTH)
        return torch.where(obs[..., 2] > 0, turn, EAST)

    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        signs = self.look(obs, self.played)
        return {"value": signs, "q_values": torch.nn.functional.one_hot(self.way(obs, signs), 4).float()}

    def observe(self, transition: Any) -> None:
        pass

    def update(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"signs": self.signs, "began": self.began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.signs, self.began = state["signs"].clone(), state["began"].clone()


def maze_run(folder: Path, **keys: Any) -> rlbench.Run:
    keys = {
        "seeds": 2,
        "num_envs": 2,
        "total_steps": 400,
        "env_kwargs": {"length": 3},
        "final_eval_episodes": 12,
        **keys,
    }
    made = Recipe(env=TMAZE, agent=given_class(SignReader), device="cpu", **{**QUIET, **keys})
    return rlbench.train(recipe=made, out=folder)


def test_evaluations_of_an_agent_with_memory_are_right(tmp_path: Path) -> None:
    run = maze_run(tmp_path / "run", eval_every=100, eval_episodes=5)
    assert set(run.summary["final_eval_return"].values()) == {1.0}
    returns = [float(row["mean_return"]) for row in rows(run.folder, name="evaluations.csv")]
    assert returns == [1.0] * len(returns)
    assert len(returns) >= 8


def test_whoever_lets_it_act_tells_it_of_episodes(tmp_path: Path) -> None:
    folder = maze_run(tmp_path / "run").folder
    trained = rlbench.load(folder, agent=SignReader, seed=0)
    assert [one.episode_return for one in play_returns(trained, 12)] == [1.0] * 12
    assert (rlbench.evaluate(trained, 30) == 1.0).all()
    env = trained.maker()
    for episode in range(6):  # by hand, after others acted with more copies
        obs, _ = env.reset(seed=episode)
        trained.reset()
        total, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(trained.act(obs))
            total, over = total + float(reward), terminated or truncated
        assert total == 1.0


def test_what_it_thinks_is_said_before_it_acts(tmp_path: Path) -> None:
    folder = maze_run(tmp_path / "run").folder
    trained = rlbench.load(folder, agent=SignReader, seed=0)
    for reel in reels(trained, 8):
        assert reel.values is not None
        assert reel.q_values is not None
        signs = set(reel.values)
        assert signs in ({1.0}, {-1.0})  # of its own episode, from the first state on
        assert [q.index(1.0) for q in reel.q_values] == reel.actions
    past = recording.open_recording(folder, agent=given_class(SignReader))
    chosen = recording.choose(past, "first,last", seed=0)
    for reel in training_reels(past, chosen, trained):
        assert reel.values is not None
        assert set(reel.values) in ({1.0}, {-1.0})


class Told(Agent):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.tape: list[str] = []

    def begin(self, started: Tensor, *, explore: bool) -> None:
        self.tape.append(f"{'explore' if explore else 'play'} {started.int().tolist()}")

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        self.tape.append("act")
        return torch.zeros(obs.shape[:2], dtype=torch.int64)

    observe = update = state_dict = load_state_dict = lambda self, *args: {}


def test_the_loop_tells_before_the_first_act_of_an_episode() -> None:
    agent, envs = Told(), EnvBatch(env_maker("begin/Wanders-v0", {"lasts": 2}), [0], 2)
    list(itertools.islice(run(agent, envs), 5))
    assert agent.tape == ["explore [[1, 1]]", "act", "act"] * 2 + ["explore [[1, 1]]", "act"]


def test_an_evaluation_begins_everywhere_and_then_where_episodes_do() -> None:
    agent = Told()
    Evaluator(env_maker("begin/Wanders-v0", {"lasts": 2}), [0, 1])(agent, 3)
    begins = [line for line in agent.tape if line != "act"]
    assert begins[0] == f"play {[[1] * 10] * 2}"
    assert all(line.startswith("play") for line in begins)
    assert agent.tape[1] == "act"


def test_a_film_begins_an_episode(tmp_path: Path) -> None:
    agent, clips = Told(), Clips(env_maker(TMAZE, {"length": 3}), [0])
    for at in (10, 20):
        clips.film(agent, 0, at, tmp_path)
    clips.close()
    assert [line for line in agent.tape if line != "act"] == ["play [[1]]"] * 2
    assert agent.tape[0] == "play [[1]]"


def test_resumed_it_is_told_what_it_was_not_told_before(tmp_path: Path) -> None:
    """At every step: neither twice, where an episode had begun, nor never."""
    whole = maze_run(tmp_path / "whole", total_steps=120, env_kwargs={"length": 1}, final_eval_episodes=0)
    began = opened(whole.folder)["agent"]["began"]
    assert int(began.sum()) > 12
    for at in range(2, 120, 6):
        folder = tmp_path / str(at)
        maze_run(folder, total_steps=at, env_kwargs={"length": 1}, final_eval_episodes=0)
        rlbench.resume(folder, agent=SignReader, total_steps=120)
        assert_same(opened(folder)["agent"], opened(whole.folder)["agent"])


def test_copies_that_did_not_come_back_begin_anew() -> None:
    envs = EnvBatch(env_maker("begin/Wanders-v0", {"strays": "reward"}), [4], 2)
    envs.reset()
    for action in ([[0, 0]], [[0, 0]], [[0, 0]]):
        envs.step(torch.tensor(action))
    state = envs.state_dict()
    assert envs.started is None
    same = EnvBatch(envs.maker, [4], 2)
    same.load_state_dict(state)
    assert same.started is None
    Wanders.odd = 2
    try:
        other = EnvBatch(envs.maker, [4], 2)
        _, strayed = other.load_state_dict(state)
    finally:
        Wanders.odd = 1
    assert strayed == [0, 1]
    assert other.started is not None
    assert other.started.tolist() == [[True, True]]


class LastSeen(Learner):
    """Says what it saw first in each episode."""

    def __init__(self, spec: Any, config: Any, rng: Any) -> None:
        self.first = torch.zeros(spec.num_envs)
        self.due = torch.ones(spec.num_envs, dtype=torch.bool)

    def begin(self, started: Tensor, *, explore: bool) -> None:
        assert started.shape == self.due.shape
        self.due = self.due | started

    def act(self, obs: Tensor, *, explore: bool) -> tuple[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        self.first = torch.where(self.due, obs[:, 0], self.first)
        self.due = torch.zeros_like(self.due)
        return torch.zeros(len(obs), dtype=torch.int64), {"first": self.first}

    def observe(self, transition: Any) -> None:
        self.seen = transition.extras["first"]

    def update(self) -> dict[str, float]:
        return {"first": float(self.seen.sum())}

    def state_dict(self) -> dict[str, Any]:
        return {"first": self.first, "due": self.due}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.first, self.due = state["first"].clone(), state["due"].clone()


def test_a_learner_is_told_too_and_gets_back_what_it_said() -> None:
    from rlbench.learner import lift
    from rlbench.rng import Streams

    envs = EnvBatch(env_maker("CartPole-v1"), [3, 4], 2)
    agent = lift(LastSeen)(envs.spec, AgentConfig(), Streams([3, 4]))
    obs = envs.reset()
    first = obs[..., 0]
    steps = run(agent, envs, obs=obs)
    for _ in range(60):
        stood = envs.obs
        step = next(steps)
        assert torch.equal(step.transition.extras["first"], first)
        assert torch.equal(step.transition.obs, stood)
        assert step.metrics["first"].tolist() == pytest.approx(first.sum(1).tolist())
        ended = step.transition.terminated | step.transition.truncated
        first = torch.where(ended, envs.obs[..., 0], first)
