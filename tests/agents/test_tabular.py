"""Agents with a table: values worked by hand, value iteration, the cliff, masks, time limits, width and resume."""

from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import make_spec, registering
from gymnasium import spaces
from rlbench.agents.q_learning import QLearning, QLearningConfig
from rlbench.agents.sarsa import Sarsa, SarsaConfig

import rlbench
from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.recipe.build import build
from rlbench.recipe.find import recipe_names
from rlbench.recipe.registry import find_agent
from rlbench.rollout.env_batch import EnvBatch
from rlbench.rollout.loop import run as loop
from rlbench.runfolder import checkpoint_file
from rlbench.training import train as training
from rlbench.types import Transition

BOTH = ["q_learning", "sarsa"]
LIMITS = {"FrozenLake-v1": 100, "CliffWalking-v1": 200, "Taxi-v4": 200}
OPTIMA = {"FrozenLake-v1": 0.744, "CliffWalking-v1": -13.0, "Taxi-v4": 7.93}


class Forever(gymnasium.Env[Any, Any]):
    """One state, reward 1 a step for ever; cut, or terminated, after two steps."""

    def __init__(self, terminates: bool = False) -> None:
        self.observation_space, self.action_space = spaces.Discrete(1), spaces.Discrete(2)
        self.terminates = terminates

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        return 0, {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        over = self.steps == 2
        return 0, 1.0, over and self.terminates, over and not self.terminates, {}


registered = registering({"test/Forever-v0": Forever})


def train(folder: Path, agent: str, env: str, total_steps: int, **keys: Any) -> rlbench.Run:
    if env == "CliffWalking-v1":  # which sets none itself
        keys["max_episode_steps"] = LIMITS[env]
    quiet = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "seeds": 2, "device": "cpu"}
    return rlbench.train(recipe=Recipe(env=env, agent=agent, total_steps=total_steps, **{**quiet, **keys}), out=folder)


def state(folder: Path) -> list[dict[str, Any]]:
    """Of each learner, as the checkpoint has it."""
    return checkpoint_file.load(folder / "checkpoint.pth", "checkpoint")["agent"]["learners"]  # type: ignore[no-any-return]


# Values by hand


def a_step(*, actions: list[int], ends: str) -> Transition:
    """Two envs, 0 -> 1 with reward 1 and 1 -> 2 with reward 2; the second one "goes on", is "terminated" or "cut"."""
    no = torch.tensor([False, False])
    last = torch.tensor([False, True])
    return Transition(
        torch.tensor([0, 1]), torch.tensor(actions), torch.tensor([1.0, 2.0]), torch.tensor([1, 2]),
        last if ends == "terminated" else no, last if ends == "cut" else no,
    )  # fmt: skip


@pytest.mark.parametrize(("ends", "future"), [("goes on", 0.5 * 8), ("cut", 0.5 * 8), ("terminated", 0)])
def test_q_learning_by_hand(ends: str, future: float) -> None:
    config = QLearningConfig(learning_rate=0.5, gamma=0.5)
    agent = QLearning(make_spec(num_obs=3, num_envs=2), config, np.random.default_rng(0))
    agent.q[:] = [[0, 0], [2, 6], [8, 4]]
    agent.observe(a_step(actions=[1, 0], ends=ends))
    metrics = agent.update()
    # Q(0, 1) = 0 + 0.5 (1 + 0.5 * 6 - 0); then Q(1, 0) = 2 + 0.5 (2 + future - 2)
    assert agent.q.tolist() == [[0, 2.0], [2 + 0.5 * future, 6], [8, 4]]
    assert metrics == {"td_error": pytest.approx((4 + future) / 2)}  # the mean of both
    assert agent.updates == agent.env_steps == 2


@pytest.mark.parametrize(("ends", "future"), [("goes on", 0.5 * 4), ("cut", 0.5 * 4), ("terminated", 0)])
def test_sarsa_by_hand(ends: str, future: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, but what is done next is action 1, the worse one of the last state."""
    agent = Sarsa(make_spec(num_obs=3, num_envs=2), SarsaConfig(learning_rate=0.5, gamma=0.5), np.random.default_rng(0))
    agent.q[:] = [[0, 0], [2, 6], [8, 4]]
    monkeypatch.setattr(agent, "epsilon_greedy", lambda obs, legal: 1)
    agent.observe(a_step(actions=[1, 0], ends=ends))
    metrics = agent.update()
    assert agent.q.tolist() == [[0, 2.0], [2 + 0.5 * future, 6], [8, 4]]
    assert metrics == {"td_error": pytest.approx((4 + future) / 2)}  # the mean of both
    assert agent.chosen == [1, 1 if ends == "goes on" else -1]


def test_sarsa_does_what_it_has_learned_from() -> None:
    """In every env it takes what it took for the next action, until an episode ends; looking changes nothing."""
    agent = Sarsa(make_spec(num_obs=3, num_envs=2), SarsaConfig(epsilon_end=1.0), np.random.default_rng(0))
    obs, taken = torch.tensor([1, 2]), []
    agent.begin(torch.tensor([True, True]), explore=True)
    for n in range(40):
        agent.observe(a_step(actions=[n % 2, 0], ends="goes on" if n % 4 else "cut"))
        agent.update()
        first, second = agent.chosen
        assert agent.act(obs[:1], explore=False).tolist() == [int(agent.q[1].argmax())]
        agent.begin(torch.tensor([True] * 5), explore=False)  # of an evaluation, with copies of its own
        action = agent.act(obs, explore=True)
        assert action.tolist() == agent.act(obs, explore=True).tolist() or second == -1
        assert action[0] == first
        taken.append(first)
    assert 5 < sum(taken) < 35  # both actions
    agent.begin(torch.tensor([True, False]), explore=True)
    assert agent.chosen == [-1, second]


def test_schedules_at_both_ends_and_the_first_values() -> None:
    config = QLearningConfig(
        learning_rate=0.5, learning_rate_end=0.1, epsilon_start=0.8, epsilon_end=0.2, epsilon_steps=60, initial_value=3
    )
    agent = QLearning(make_spec(num_obs=4, total_steps=100), config, np.random.default_rng(0))
    assert agent.q.tolist() == [[3, 3]] * 4
    for step, alpha, epsilon in [(0, 0.5, 0.8), (30, 0.38, 0.5), (60, 0.26, 0.2), (100, 0.1, 0.2), (200, 0.1, 0.2)]:
        agent.env_steps = step
        assert (agent.alpha, agent.epsilon) == (pytest.approx(alpha), pytest.approx(epsilon))
    endless = QLearning(make_spec(num_obs=4), config, np.random.default_rng(0))
    assert endless.alpha == 0.5  # nobody knows where the run ends


def test_epsilon_is_the_share_of_random_actions() -> None:
    config = QLearningConfig(epsilon_start=0.4, epsilon_end=0.4)
    agent = QLearning(make_spec(num_obs=1, num_actions=4), config, np.random.default_rng(0))
    agent.q[0, 2] = 1.0
    found = np.bincount([int(agent.act(torch.tensor([0]), explore=True)) for _ in range(4000)], minlength=4) / 4000
    assert found == pytest.approx([0.1, 0.1, 0.7, 0.1], abs=0.03)
    assert agent.act(torch.tensor([0, 0, 0]), explore=False).tolist() == [2, 2, 2]


# Dynamic programming


class Model:
    """What an environment's own table of transitions, ``P``, says: chances (S, A, S) of going on, rewards (S, A)."""

    def __init__(self, env_id: str, **keys: Any) -> None:
        env: Any = gymnasium.make(env_id, **keys).unwrapped
        states, actions = env.observation_space.n, env.action_space.n
        self.limit, self.first = LIMITS[env_id], env.initial_state_distrib
        self.chance, self.reward = np.zeros((states, actions, states)), np.zeros((states, actions))
        for s, a in np.ndindex(states, actions):
            for p, s_next, reward, terminated in env.P[s][a]:
                self.reward[s, a] += p * reward
                self.chance[s, a, s_next] += 0.0 if terminated else p
        masks = [env.action_mask(s) for s in range(states)] if hasattr(env, "action_mask") else 1
        self.legal = np.ones((states, actions), bool) & masks

    def greedy(self, q: torch.Tensor, epsilon: float = 0.0) -> np.ndarray:
        """(S, A), the epsilon-greedy policy of action values; illegal actions are none of it."""
        best = np.where(self.legal, q.numpy(), -np.inf).argmax(1)
        return (1 - epsilon) * np.eye(q.shape[1])[best] + epsilon * self.legal / self.legal.sum(1, keepdims=True)

    def optimum(self) -> float:
        """The best expected return within the time limit."""
        value = np.zeros(len(self.reward))
        for _ in range(self.limit):
            value = (self.reward + self.chance @ value).max(1)
        return float(self.first @ value)

    def best_q(self, gamma: float) -> np.ndarray:
        """(S, A), by value iteration."""
        q = np.zeros_like(self.reward)
        for _ in range(3_000):
            q = self.reward + gamma * self.chance @ q.max(1)
        return q

    def q_of(self, policy: np.ndarray, gamma: float) -> np.ndarray:
        """(S, A), what a policy, (S, A) of probabilities, is worth."""
        among = np.einsum("sa,sat->st", policy, self.chance)
        value = np.linalg.solve(np.eye(len(among)) - gamma * among, (policy * self.reward).sum(1))
        return self.reward + gamma * self.chance @ value

    def return_of(self, policy: np.ndarray) -> float:
        """The expected return of a policy within the time limit."""
        value = np.zeros(len(self.reward))
        for _ in range(self.limit):
            value = (policy * (self.reward + self.chance @ value)).sum(1)
        return float(self.first @ value)


@pytest.mark.parametrize("env", LIMITS)
def test_what_could_be_reached(env: str) -> None:
    assert Model(env).optimum() == pytest.approx(OPTIMA[env], abs=5e-4)


def assert_optimal(folder: Path, model: Model, least: float) -> None:
    """What every seed's greedy policy is truly worth, by policy evaluation, is the best that value iteration knows."""
    best = model.best_q(0.99)
    for learner in state(folder):
        policy = model.greedy(learner["q"])
        worth = model.q_of(policy, 0.99)
        assert model.first @ worth.max(1) == pytest.approx(model.first @ best.max(1), rel=0.01)
        assert model.return_of(policy) >= least


CLIFF = {"learning_rate": 1.0, "epsilon_steps": 2_000}


@pytest.mark.parametrize("num_envs", [1, 3])
def test_q_learning_finds_the_shortest_way_along_the_cliff(num_envs: int, tmp_path: Path) -> None:
    run = train(tmp_path / "run", "q_learning", "CliffWalking-v1", 6_000, hyper=CLIFF, num_envs=num_envs)
    model = Model("CliffWalking-v1")
    assert_optimal(run.folder, model, -13.0)
    assert run.summary["updates"] == 6_000
    best = model.best_q(0.99)
    way = [36, 24, 25, 30, 34, 35]  # states along the best way, whose values are known to be exact
    for learner in state(run.folder):
        assert learner["q"].numpy().max(1)[way] == pytest.approx(best.max(1)[way], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("env", "least"), [("CliffWalking-v1", -13.0), ("FrozenLake-v1", 0.7), ("Taxi-v4", 7.8)])
def test_the_recipes_of_q_learning_come_to_the_optimum(env: str, least: float, tmp_path: Path) -> None:
    run = rlbench.train(
        env, agent="q_learning", seeds=2, seed=1000, eval_every=0, out=tmp_path / "run", progress="none"
    )
    assert_optimal(run.folder, Model(env), least)


@pytest.mark.slow
def test_sarsa_values_what_it_does(tmp_path: Path) -> None:
    """Sutton & Barto, example 6.6: who explores, and counts on it, keeps away from the edge."""
    hyper = {"learning_rate": 0.5, "learning_rate_end": 0.0, "epsilon_start": 0.1, "epsilon_end": 0.1, "gamma": 0.99}
    model, explored = Model("CliffWalking-v1"), {}
    for agent in BOTH:
        run = train(tmp_path / agent, agent, "CliffWalking-v1", 8_000, hyper=hyper)
        explored[agent] = [model.return_of(model.greedy(learner["q"], 0.1)) for learner in state(run.folder)]
    assert min(explored["sarsa"]) > max(explored["q_learning"]) + 10
    for learner in state(tmp_path / "sarsa"):
        start, true = learner["q"][36].max(), model.q_of(model.greedy(learner["q"], 0.1), 0.99)[36].max()
        assert start == pytest.approx(true, abs=3)  # about -25, where the value of the best policy is -12


@pytest.mark.parametrize("agent", BOTH)
@pytest.mark.parametrize(("terminates", "value"), [(False, 1 / (1 - 0.8)), (True, None)])
def test_a_time_limit_is_no_end(agent: str, terminates: bool, value: float | None, tmp_path: Path) -> None:
    keys = {"env_kwargs": {"terminates": terminates}, "hyper": {"gamma": 0.8, "learning_rate": 0.1}, "num_envs": 2}
    run = train(tmp_path / "run", agent, "test/Forever-v0", 1_500, **keys)
    for learner in state(run.folder):
        if value is not None:
            assert learner["q"].tolist() == [pytest.approx([value, value], rel=0.02)]
        else:  # every second step ends it: 1 + 0.8 * q / 2 or so, by chance
            assert ((learner["q"] > 1) & (learner["q"] < 3)).all()


# What every agent keeps


@pytest.mark.parametrize("agent", BOTH)
def test_an_illegal_action_is_never_taken(agent: str) -> None:
    recipe = Recipe(env="Taxi-v4", agent=agent, num_envs=2, total_steps=600, hyper={"epsilon_steps": 500})
    parts = build(recipe, range(3), "cpu", train=3)
    for step in islice(loop(parts.agent, EnvBatch(parts.maker, range(3), 2)), 300):
        new = step.transition
        assert new.extras["action_mask"].gather(-1, new.action.unsqueeze(-1)).all()
    greedy_action = parts.agent.act(new.next_obs, explore=False, extras=new.next_extras)  # type: ignore[call-arg]
    assert new.next_extras["action_mask"].gather(-1, greedy_action.unsqueeze(-1)).all()
    shown = parts.agent.explain(new.next_obs, extras=new.next_extras)["q_values"]  # type: ignore[call-arg]
    assert (shown.isneginf() == ~new.next_extras["action_mask"]).all()


def test_the_future_is_that_of_legal_actions() -> None:
    spec = rlbench.Spec(
        (), torch.int64, 2, 3, num_envs=1, extras={"action_mask": rlbench.types.Extra((3,), torch.bool)}
    )
    agent = QLearning(spec, QLearningConfig(learning_rate=1.0, gamma=1.0), np.random.default_rng(0))
    agent.q[1] = [9.0, 4.0, 5.0]
    mask = {"action_mask": torch.tensor([[False, True, True]])}
    agent.observe(
        Transition(
            torch.tensor([0]), torch.tensor([0]), torch.tensor([1.0]), torch.tensor([1]), torch.tensor([False]),
            torch.tensor([False]), extras=mask, next_extras=mask,
        )
    )  # fmt: skip
    agent.update()
    assert agent.q[0].tolist() == [6.0, 0.0, 0.0]


def plain(value: Any) -> Any:
    """With lists for tensors, so that ``==`` compares, to the last bit."""
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, list):
        return [plain(x) for x in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def episodes(folder: Path, seed: int | None = None) -> list[list[str]]:
    rows = [line.split(",")[:-1] for line in (folder / "episodes.csv").read_text().splitlines()[1:]]
    return [row for row in rows if seed in (None, int(row[0]))]


@pytest.mark.parametrize(
    ("agent", "env", "num_envs"), [*((a, e, n) for a in BOTH for e, n in [("FrozenLake-v1", 1), ("Taxi-v4", 3)])]
)
def test_a_seed_is_the_same_alone_and_goes_on_where_it_stood(
    agent: str, env: str, num_envs: int, tmp_path: Path
) -> None:
    keys = {"num_envs": num_envs, "eval_every": 120, "eval_episodes": 2, "seeds": 3}
    whole = train(tmp_path / "whole", agent, env, 300, **keys).folder
    alone = train(tmp_path / "alone", agent, env, 300, **{**keys, "seed": 1, "seeds": 1}).folder
    assert plain(state(whole)[1]) == plain(state(alone)[0])
    assert episodes(whole, 1) == episodes(alone)
    cut = train(tmp_path / "cut", agent, env, 153, **keys).folder  # in the midst of episodes
    training.resume(cut, total_steps=300)
    assert plain(state(cut)) == plain(state(whole))
    assert episodes(cut) == episodes(whole)


@pytest.mark.parametrize("agent", BOTH)
def test_where_it_cannot_act(agent: str, tmp_path: Path) -> None:
    for env, what in [("CartPole-v1", "observations"), ("Pendulum-v1", "observations")]:
        with pytest.raises(UsageError, match=rf"^{agent} has a table .*the {what} of this .*`rlbench list agents`"):
            train(tmp_path / "run", agent, env, 50)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "cls"), [("q_learning", QLearning), ("sarsa", Sarsa)])
def test_it_has_a_name_and_recipes(name: str, cls: type) -> None:
    entry = find_agent(name)
    assert (entry.name, entry.cls.__name__) == (name, cls.__name__)
    assert set(recipe_names()[name]) == {"default", *LIMITS}
    for env in LIMITS:
        assert Recipe.load(env=env, agent=name).env == env
