"""Every agent that comes with rlbench, and one of a user's own, by one and the same test.

A seed has the same bits alone and among others, with odd numbers of envs and odd minibatches; evaluations change
nothing; a run that stopped in the middle of episodes and rollouts goes on as if it had not, in two processes too.
"""

from pathlib import Path
from typing import Any

import pytest
from test_promises import assert_same, opened, rows

import rlbench
from rlbench.agent_state import pick, same
from rlbench.recipe import Recipe
from rlbench.recipe.build import build
from rlbench.recipe.memory import need_of
from rlbench.recipe.registry import BUILT_IN
from rlbench.training import session
from rlbench.training.train import resume

DUELING = f"{Path(__file__).parents[1]}/user_agents/dueling.py:Dueling"
OFF = {"learning_starts": 30, "batch_size": 15, "hidden": [17, 9]}
ON = {"rollout_steps": 13, "batch_size": 11, "epochs": 2, "hidden": [17, 9]}
GRU = {"memory": "gru", "memory_size": 9, "sequence_length": 6, "burn_in": 3}
REMEMBERS = {"memory": "gru", "memory_size": 9}
CASES: dict[str, tuple[str, str, int, dict[str, Any]]] = {  # agent, environment, E, hyper-parameters
    "dqn": ("dqn", "CartPole-v1", 3, {**OFF, "n_step": 3, "double": True}),
    "dqn, masked": ("dqn", "Taxi-v4", 1, OFF),
    "dqn, memory": ("dqn", "CartPole-v1", 1, {**OFF, "batch_size": 5, **GRU}),
    "ppo": ("ppo", "CartPole-v1", 3, ON),
    "ppo, masked": ("ppo", "Taxi-v4", 3, ON),
    "ppo, continuous": ("ppo", "Pendulum-v1", 3, {**ON, "normalise_obs": True, "normalise_rewards": True}),
    "pqn": ("pqn", "CartPole-v1", 3, ON),
    "pqn, masked": ("pqn", "Taxi-v4", 3, ON),
    "ppo, memory": ("ppo", "CartPole-v1", 3, {**ON, "rollout_steps": 15, "sequence_length": 5, **REMEMBERS}),
    "sac": ("sac", "Pendulum-v1", 1, OFF),
    "sac, discrete": ("sac", "CartPole-v1", 3, OFF),
    "sac, masked": ("sac", "Taxi-v4", 1, OFF),
    "q_learning": ("q_learning", "FrozenLake-v1", 3, {}),
    "sarsa": ("sarsa", "Taxi-v4", 3, {}),
    "reinforce": ("reinforce", "CartPole-v1", 3, {}),
    "random": ("random", "Pendulum-v1", 3, {}),
    "a user's own": (DUELING, "CartPole-v1", 1, OFF),
}


def plan(name: str, steps: int = 210, **keys: Any) -> Recipe:
    agent, env, num_envs, hyper = CASES[name]
    quiet = {"eval_every": 100, "eval_episodes": 2, "final_eval_episodes": 0, "max_episode_steps": 50}
    made = {"seeds": 3, "device": "cpu", "checkpoint_every": 0, **quiet, **keys}
    return Recipe(env=env, agent=agent, total_steps=steps, num_envs=num_envs, hyper=hyper, **made)


def content(folder: Path) -> list[Any]:
    """What the agent is, and what it learns from, where that is kept apart."""
    held = [opened(folder)["agent"]]
    return [*held, opened(folder, "replay")["replay"]] if (folder / "replay.pth").exists() else held


def test_no_agent_is_left_out() -> None:
    assert {agent for agent, *_ in CASES.values()} - {DUELING} == set(BUILT_IN)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_width_observers_and_resume(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    agent = CASES[name][0]
    whole = rlbench.train(recipe=plan(name), out=tmp_path / "whole")
    assert whole.summary["updates"] > 3 or agent == "random"
    unseen = rlbench.train(recipe=plan(name, eval_every=0), out=tmp_path / "unseen")
    assert same(content(unseen.folder), content(whole.folder))
    alone = rlbench.train(recipe=plan(name, seed=1, seeds=1), out=tmp_path / "alone").folder
    for together, apart in zip(content(whole.folder), content(alone), strict=True):
        assert_same(pick(together, 1, 3), apart)
    assert rows(whole.folder, 1) == rows(alone)
    assert rows(alone)

    cut = rlbench.train(recipe=plan(name, 105), out=tmp_path / "cut")  # in the middle of episodes and rollouts
    again = resume(cut.folder, agent=agent if ":" in agent else None, total_steps=210)
    assert again.summary.get("inexact_resumes_at", []) == []
    assert_same(content(cut.folder), content(whole.folder))
    assert rows(cut.folder) == rows(whole.folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "sac", "q_learning"])
def test_two_processes_are_one(name: str, tmp_path: Path) -> None:
    one = rlbench.train(recipe=plan(name), out=tmp_path / "one").folder
    two = rlbench.train(recipe=plan(name, 105, workers=2), out=tmp_path / "two").folder
    resume(two, total_steps=210)
    assert same(opened(two)["agent"], opened(one)["agent"])
    assert rows(two) == rows(one)


@pytest.mark.slow
def test_a_rollout_lies_beside_the_checkpoints_and_not_in_them(tmp_path: Path) -> None:
    folder = rlbench.train(recipe=plan("ppo", 99, eval_every=50), out=tmp_path / "run").folder
    best, (now, held) = opened(folder, "best")["agent"], content(folder)
    assert held["filled"] == 99 // 3 % 13
    assert [x.shape for x in held["obs"]] == [(8, 3, 4)] * 3  # of 7 steps, and what came of the last
    assert now.keys() == best.keys()
    assert "replay" not in now
    built = build(rlbench.load(folder).recipe, [0], "cpu").agent
    need = need_of(built, 1, 10, 10_000)
    assert (need.capacity, need.replay) == (39, 10 * built.replay.nbytes)  # type: ignore[attr-defined]
