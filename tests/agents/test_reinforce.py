"""REINFORCE: its gradient by the book, what is known of an episode that was cut, and what every agent keeps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_spec
from rlbench.agents.reinforce import Reinforce, ReinforceConfig
from test_promises import assert_same, opened, rows

import rlbench
from rlbench import Transition
from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.training import train as training

ROOT = Path(__file__).parents[2]


def made(envs: int = 1, **hyper: Any) -> Reinforce:
    spec = make_spec(num_envs=envs)
    return Reinforce(spec, ReinforceConfig(**{"hidden": (9,), **hyper}), np.random.default_rng(0))


def walk(agent: Reinforce, ends: str, steps: int = 3) -> list[torch.Tensor]:
    """Steps of reward 1, 2, 3, ... of one env, the last of which "terminated" or was "cut"; what was observed."""
    seen = []
    for t in range(1, steps + 1):
        obs = torch.full((1, 4), t / 10)
        over = torch.tensor([t == steps])
        no = torch.tensor([False])
        agent.observe(
            Transition(
                obs, torch.tensor([t % 2]), torch.tensor([float(t)]), obs,
                over if ends == "terminated" else no, over if ends == "cut" else no,
            )
        )  # fmt: skip
        seen.append(obs[0])
    return seen


@pytest.mark.parametrize("baseline", [True, False])
def test_a_step_goes_along_the_gradient_of_the_book(baseline: bool) -> None:
    agent, twin = (made(gamma=0.5, baseline=baseline, learning_rate=0.01) for _ in range(2))
    seen = torch.stack(walk(agent, "terminated")).unsqueeze(0)  # (1, 3, 4)
    metrics = agent.update()
    returns = torch.tensor([1 + 0.5 * (2 + 0.5 * 3), 2 + 0.5 * 3, 3.0])
    value = twin.value(seen).flatten() if baseline else torch.zeros(3)
    chosen = torch.distributions.Categorical(logits=twin.policy(seen)).log_prob(torch.tensor([[1, 0, 1]])).flatten()
    loss = ((returns - value) ** 2 / 2 - (returns - value).detach() * chosen).mean()
    params = list(twin.networks.parameters())
    adam = torch.optim.Adam(params, lr=0.01)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in params if p.grad is not None]).norm()
    adam.step()
    for mine, theirs in zip(agent.networks.parameters(), params, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    assert metrics["grad_norm"] == pytest.approx(float(norm.detach()), rel=1e-4)
    assert metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert metrics["error"] == pytest.approx(float((returns - value).detach().square().mean()), rel=1e-4)
    assert agent.updates == 1
    assert agent.update() == {}  # an episode is learned from once


def test_of_an_episode_that_was_cut_only_what_is_known_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[tuple[int, int]] = []
    monkeypatch.setattr(
        Reinforce, "learn_from", lambda self, episode, known: learned.append((len(episode), known)) or {}
    )
    # 0.5 ** 3 = 0.125, 0.5 ** 4 = 0.0625: with 4 steps left or more, less than a tenth is beyond the cut
    for steps, ends in [(10, "terminated"), (10, "cut"), (5, "cut"), (4, "cut"), (1, "terminated")]:
        agent = made(gamma=0.5)
        walk(agent, ends, steps)
        agent.update()
    assert learned == [(10, 10), (10, 7), (5, 2), (4, 1), (1, 1)]
    learned.clear()
    for hyper in ({"gamma": 1.0}, {"unknown": 0.0}, {"gamma": 0.99}):  # 0.99 ** 230 = 0.099
        agent = made(**hyper)
        walk(agent, "cut", 200)
        assert agent.update() == {}
        assert agent.under_way == [[]]
    agent = made(gamma=0.0)  # the next reward is all
    walk(agent, "cut", 5)
    agent.update()
    assert learned == [(5, 5)]


def test_returns_of_steps_that_count_hold_all_rewards_up_to_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = made(gamma=0.5, baseline=False)
    walk(agent, "cut", 5)
    metrics = agent.update()
    first, second = (sum(0.5**k * (t + k) for k in range(6 - t)) for t in (1, 2))
    assert metrics["error"] == pytest.approx((first**2 + second**2) / 2)


def test_it_draws_by_the_chances_of_its_policy() -> None:
    agent = made()
    shown = agent.explain(torch.zeros(4000, 4))
    chance = shown["probabilities"][0]
    assert 0.2 < chance[1] < 0.8
    drawn = agent.act(torch.zeros(4000, 4), explore=True).float().mean()
    assert drawn == pytest.approx(float(chance[1]), abs=0.03)
    assert (agent.act(torch.zeros(5, 4), explore=False) == chance.argmax()).all()
    assert shown["value"].shape == (4000,)
    assert made(baseline=False).explain(torch.zeros(2, 4)).keys() == {"probabilities"}


def test_a_broken_off_episode_is_forgotten() -> None:
    agent = made(envs=2)
    for _ in range(3):
        agent.observe(
            Transition(
                torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), torch.ones(2), torch.zeros(2, 4),
                torch.tensor([False, False]), torch.tensor([False, False]),
            )
        )  # fmt: skip
    agent.cut(torch.tensor([True, False]))
    assert [len(episode) for episode in agent.under_way] == [0, 3]


QUIET = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "device": "cpu", "agent": "reinforce"}


def recipe(env: str, total_steps: int, hyper: Any = (), **keys: Any) -> Recipe:
    return Recipe(**{"env": env, "total_steps": total_steps, **QUIET, **keys, "hyper": dict(hyper)})


PROBES = {"rlbench/ProbeObsActionReward-v0": [[-1.0], [1.0]], "rlbench/ProbeActionReward-v0": [[1.0]]}


@pytest.mark.parametrize("env", PROBES)
def test_it_learns_what_is_best(env: str, tmp_path: Path) -> None:
    hyper = {"hidden": [16], "learning_rate": 0.01, "gamma": 0.8}
    run = rlbench.train(recipe=recipe(env, 800, hyper, seeds=3, num_envs=2), out=tmp_path / "run")
    agent = rlbench.load(run.folder / "checkpoint.pth").agent
    obs = torch.tensor(PROBES[env]).expand(3, -1, -1)
    assert run.summary["updates"] == 800
    assert agent.act(obs, explore=False).tolist() == [[0, 1][-obs.shape[1] :]] * 3
    assert agent.explain(obs)["value"].min() > 0.5  # of the policy: 1, as far as it is sure


@pytest.mark.slow
def test_it_learns_cartpole(tmp_path: Path) -> None:
    keys = {"seeds": 2, "seed": 1000, "final_eval_episodes": 10, "eval_every": 0}
    run = rlbench.train("CartPole-v1", agent="reinforce", out=tmp_path / "run", progress="none", **keys)
    assert min(run.summary["final_eval_return"].values()) > 250  # random actions get 22


@pytest.mark.parametrize(("env", "num_envs"), [("CartPole-v1", 1), ("CartPole-v1", 3), ("FrozenLake-v1", 2)])
def test_a_seed_is_the_same_alone_and_goes_on_where_it_stood(env: str, num_envs: int, tmp_path: Path) -> None:
    keys = {"num_envs": num_envs, "eval_every": 100, "eval_episodes": 2}
    whole = rlbench.train(recipe=recipe(env, 300, seeds=3, **keys), out=tmp_path / "whole").folder
    alone = rlbench.train(recipe=recipe(env, 300, seeds=1, seed=1, **keys), out=tmp_path / "alone").folder
    own, other = opened(whole)["agent"], opened(alone)["agent"]
    assert own["learners"][1]["updates"] > 3
    assert_same(own["learners"][1], other["learners"][0])
    assert rows(whole, 1) == rows(alone)
    cut = rlbench.train(recipe=recipe(env, 159, seeds=3, **keys), out=tmp_path / "cut").folder
    assert any(len(episode) for one in opened(cut)["agent"]["learners"] for episode in one["under_way"])
    training.resume(cut, total_steps=300)
    assert_same(opened(cut)["agent"], own)
    assert rows(cut) == rows(whole)


def test_where_it_cannot_act(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^reinforce chooses one of several actions; .* another --agent .* ppo\.$"):
        rlbench.train(recipe=recipe("Pendulum-v1", 50), out=tmp_path / "run")


def test_the_tutorial_ends_with_this_file() -> None:
    page = (ROOT / "docs/your_own_agent.md").read_text("utf-8")
    blocks = [block.partition("\n```")[0] for block in page.split("```python\n")[1:]]
    (last,) = [block for block in blocks if block.startswith("# reinforce.py\n")]
    assert blocks[-1] == last
    assert last.partition("\n")[2] == (ROOT / "agents/reinforce.py").read_text("utf-8").rstrip("\n")


def test_who_has_learned_nothing_is_told(tmp_path: Path) -> None:
    """Episodes of 200 steps, all of them cut, have no return that is known well enough at a discount of 0.99."""
    keys: dict[str, Any] = {"seeds": 1, "total_steps": 450, "eval_every": 0, "final_eval_episodes": 0}
    with pytest.warns(rlbench.RunWarning, match="no update was due"):
        run = rlbench.train("MountainCar-v0", agent="reinforce", out=tmp_path / "run", **keys)
    assert run.summary["updates"] == 0
