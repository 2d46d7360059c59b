"""Agents that learn from replay, as they are on a card: the buffer on the device, a step as one graph, and no waiting.

All of it on the CPU, which is taken for a device that is elsewhere: no bit may differ from the usual way.
"""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from cards import Recorded, never_waiting
from conftest import make_spec, random_transitions, slow
from rlbench.agents import dqn, ppo, pqn, sac
from test_cuda import MEMORY, small
from test_promises import assert_same, assert_same_run, opened

import rlbench
from rlbench.cuda import feed
from rlbench.recipe import Recipe, build
from rlbench.recipe.registry import find_agent
from rlbench.replay import rollout_buffer
from rlbench.rng import Streams
from rlbench.rollout import device_envs
from rlbench.rollout.loop import run
from rlbench.training import train as training
from rlbench.types import Extra, Spec, Transition

QUICK: dict[str, Any] = {"total_steps": 240, "eval_every": 0, "final_eval_episodes": 1, "log_every": 40}
RUNS: list[Any] = [
    ("dqn", "CartPole-v1", {}),
    ("dqn", "CartPole-v1", {"n_step": 3, "double": True, "target_update_every": 3, "learning_rate_end": 1e-5}),
    ("dqn", "CartPole-v1", {"epsilon_decay": 0.9}),
    ("dqn", "Taxi-v4", {"n_step": 2}),  # masked
    ("dqn", "rlbench/Catch-v0", {}),
    slow("dqn with memory", "rlbench/TMaze-v0", {}),
    ("sac", "Pendulum-v1", {"n_step": 3}),
    slow("sac", "Pendulum-v1", {"noise_correlation": 0.5}),
    ("sac", "CartPole-v1", {}),
    slow("sac", "Taxi-v4", {}),  # masked
]


def recipe_of(agent: str, env: str, hyper: dict[str, Any], **keys: Any) -> Recipe:
    made = small(agent, env, "cpu", **{**QUICK, **keys})
    return made.replace(hyper={**made.hyper, **hyper})


@pytest.mark.parametrize(("agent", "env", "hyper"), RUNS)
def test_a_run_is_the_same_one_wherever_its_buffer_lies(
    agent: str, env: str, hyper: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the host's memory and in the device's; then on a device that is elsewhere, with either."""
    folders = []
    for here, where in (("cpu", "host"), ("cpu", "device"), ("elsewhere", "host"), ("elsewhere", "device")):
        monkeypatch.setattr(feed, "HERE", here)
        made = recipe_of(agent, env, hyper, replay=where)
        folders.append(rlbench.train(recipe=made, out=tmp_path / f"{here}-{where}").folder)
    for folder in folders[1:]:
        assert_same_run(folder, folders[0])
    assert opened(folders[0])["agent"]["updates"] > 20


@pytest.mark.parametrize(("first", "then"), [("host", "device"), ("device", "host")])
@pytest.mark.parametrize(("agent", "env"), [("dqn", "CartPole-v1"), slow("dqn with memory", "rlbench/TMaze-v0")])
def test_a_run_goes_on_with_its_buffer_elsewhere(agent: str, env: str, first: str, then: str, tmp_path: Path) -> None:
    made = recipe_of(agent, env, {}, replay=first)
    whole = rlbench.train(recipe=made, out=tmp_path / "whole").folder
    half = rlbench.train(recipe=made.replace(total_steps=120), out=tmp_path / "half").folder
    text = (half / "recipe.toml").read_text("utf-8")
    assert f'replay = "{first}"' in text
    saved = torch.load(half / "checkpoint.pth", weights_only=True)
    assert saved["recipe"]["replay"] == first
    done = training.resume(half, total_steps=240)
    assert_same(opened(done.folder)["agent"], opened(whole)["agent"])
    assert_same(opened(done.folder, "replay"), opened(whole, "replay"))
    other = rlbench.train(recipe=made.replace(replay=then), out=tmp_path / "other").folder
    assert_same(opened(other, "replay"), opened(whole, "replay"))


def spec_for(kind: str) -> Spec:
    more: dict[str, Any] = {"num_seeds": 2, "num_envs": 2, "total_steps": 400, "replay": "device"}
    if kind == "box":
        bounds = {"action_low": torch.tensor([-2.0, 0.0]), "action_high": torch.tensor([2.0, 1.0])}
        return make_spec(num_actions=None, action_shape=(2,), **bounds, **more)
    if kind == "masks":
        more["extras"] = {"action_mask": Extra((3,), torch.bool)}
    return make_spec(num_actions=3, **more)


STEPS: list[Any] = [
    ("dqn", "plain", {}),
    ("dqn", "plain", {"n_step": 3, "double": True, "target_update_every": 3, "learning_rate_end": 1e-6}),
    ("dqn", "masks", {"epsilon_decay": 0.97}),
    slow("dqn", "masks", MEMORY),
    ("sac", "box", {"noise_correlation": 0.5, "learning_rate_end": 1e-6}),
    ("sac", "plain", {"n_step": 2}),
    ("sac", "masks", {}),
]
COMMON: dict[str, dict[str, Any]] = {
    "dqn": {"hidden": (16,), "batch_size": 8, "learning_starts": 20, "capacity": 100, "epsilon_steps": 150},
    "sac": {"hidden": (16,), "batch_size": 8, "learning_starts": 20, "capacity": 100},
}


def step(agent: Any, transition: Transition) -> list[torch.Tensor]:
    """One turn with the agent: all that it gave."""
    extras = {"extras": transition.extras} if transition.extras else {}
    said = agent.act(transition.obs, explore=True, **extras)
    action, more = said if isinstance(said, tuple) else (said, {})
    agent.observe(transition._replace(action=action, extras={**transition.extras, **more}))
    return [action, *agent.update().values()]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "hyper"), STEPS)
def test_a_step_can_be_recorded_and_nobody_waits(
    name: str, kind: str, hyper: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes from call to call lies in tensors, and is no number in what was recorded."""
    monkeypatch.setattr(feed, "HERE", "elsewhere")
    spec, cls = spec_for(kind), find_agent(name).cls
    config = cls.Config(**{**COMMON[name], **hyper})
    plain: Any = cls(spec, config, Streams([3, 8]))
    made: list[Recorded] = []
    monkeypatch.setattr(Recorded, "made", made)
    for module in (dqn, sac):
        monkeypatch.setattr(module, "Graph", Recorded)
    graphs: Any = cls(spec, config, Streams([3, 8]))
    for agent in (plain, graphs):  # the step size lies in a tensor on a card
        for adam in getattr(agent, "adams", {"": getattr(agent, "adam", None)}).values():
            adam._rate = torch.zeros(())
    draw = torch.Generator().manual_seed(0)
    for t in random_transitions(spec, 150):
        if spec.extras:
            shape = (2, spec.num_seeds, spec.num_envs, 3)
            both = torch.rand(shape, generator=draw) < 0.6
            t = t._replace(extras={"action_mask": both[0]}, next_extras={"action_mask": both[1]})
        want = step(plain, t)
        with never_waiting():
            said = step(graphs, t)
        assert all(torch.equal(a, b) for a, b in zip(want, said, strict=True))
    assert_same(plain.state_dict(), graphs.state_dict())
    assert_same(plain.replay.state_dict(), graphs.replay.state_dict())
    assert plain.updates == graphs.updates > 50
    repeated = {graph.function.__name__: graph.repeated for graph in made}
    assert repeated.pop("gradient_step") == 0  # which stands in the other one
    assert min(repeated.values()) > 50, repeated


@pytest.mark.parametrize("masked", [False, True])
def test_a_device_explores_as_the_host_does(masked: bool) -> None:
    """The same actions of the same numbers, for any share of random ones."""
    spec = make_spec(num_actions=7, num_seeds=3, num_envs=500)
    config = dqn.DQNConfig(hidden=(4,), capacity=2_000)
    agent = dqn.DQN(spec, config, Streams([3, 8, 1]))
    greedy = torch.full((3, 500), 6)
    legal = torch.rand(3, 500, 7, generator=torch.Generator().manual_seed(0)) < 0.4 if masked else None
    for epsilon in (0.0, 2.0**-53, 0.05, 1 / 3, 0.7, 0.9999, 1.0, torch.tensor([[0.1], [0.37], [1.0]]).double()):
        at = agent.explore.position
        u = torch.from_numpy(agent.explore.host(500).copy())
        agent.explore.position = at
        number: Any = epsilon.numpy() if isinstance(epsilon, torch.Tensor) else epsilon
        agent.epsilon = lambda number=number: number  # type: ignore[method-assign]
        there = epsilon if isinstance(epsilon, torch.Tensor) else torch.tensor(epsilon, dtype=torch.float64)
        want = agent.explored(greedy, legal)
        assert torch.equal(agent.mixed(greedy, u, there, legal), want)
        assert torch.equal(agent.mixed(greedy, u, epsilon, legal), want)


def test_epsilon_by_episodes_is_the_same_number_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HERE", "elsewhere")
    for decay, end in ((0.9, 0.05), (0.9999, 0.0), (0.5, 0.3)):
        config = dqn.DQNConfig(hidden=(4,), epsilon_decay=decay, epsilon_end=end, epsilon_start=0.9)
        agent = dqn.DQN(make_spec(num_seeds=4), config, Streams(range(4)))
        for episodes in ([0, 1, 2, 3], [5, 70, 900, 1000], [1023, 1024, 1025, 5000]):
            agent.episodes[:, 0] = torch.tensor(episodes)
            agent.env_steps, agent._epsilon = max(episodes), None
            there: Any = agent.epsilon_there()
            assert there.tolist() == agent.epsilon().tolist()  # type: ignore[union-attr]


LOOPS: list[Any] = [
    ("dqn", "CartPole-v1", {}),
    ("dqn", "CartPole-v1", {"n_step": 3, "double": True, "epsilon_decay": 0.9}),
    ("dqn", "Taxi-v4", {}),  # masked
    ("dqn", "rlbench/Catch-v0", {}),
    slow("dqn", "FrozenLake-v1", MEMORY),
    ("sac", "Pendulum-v1", {}),
    ("sac", "CartPole-v1", {}),
    ("ppo", "CartPole-v1", {}),
    ("ppo", "Pendulum-v1", {}),
    ("ppo", "Taxi-v4", {}),
    ("pqn", "CartPole-v1", {}),
    ("pqn", "Taxi-v4", {}),
]


@pytest.mark.parametrize(("agent", "env", "hyper"), LOOPS)
def test_a_step_of_the_whole_loop_waits_for_nothing(
    agent: str, env: str, hyper: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With environments, buffer and agent on one device: but for the pages in which the host reads what happened."""
    monkeypatch.setattr(feed, "HERE", "elsewhere")
    monkeypatch.setattr(build, "PAGE", 10_000)
    modules = (dqn, sac, ppo, pqn, device_envs)
    for module in modules:
        monkeypatch.setattr(module, "Graph", Recorded)
    for module in (ppo, pqn):
        monkeypatch.setattr(module, "Rollout", functools.partial(rollout_buffer.Rollout, apart=True))
    monkeypatch.setattr(Recorded, "made", [])
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    made = recipe_of(agent, env, hyper, replay="device", envs_on="device", total_steps=10_000)
    parts = build.build(made, made.seed_numbers, "cpu")
    envs = build.make_envs(parts, made)
    loop = run(parts.agent, envs)
    for _ in range(70):
        next(loop)
    before = parts.agent.updates
    with never_waiting():
        for _ in range(70):
            next(loop)
    assert parts.agent.updates > before > 4
    assert sum(graph.repeated > 0 for graph in Recorded.made) >= 3  # acting, learning, the environments
    assert len(envs.drain()) > 3
