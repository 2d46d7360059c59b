"""PQN: its returns by hand, its gradients beside autograd, values that are known, and the promises of every agent."""

import copy
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import make_spec, random_transitions, registering
from gymnasium import spaces
from rlbench.agents.pqn import PQN, PQNConfig
from test_promises import At, assert_same, assert_same_run, opened, rows, rows_of_seeds
from torch import Tensor

import rlbench
from rlbench import Transition
from rlbench.agent_state import pick
from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.replay import Minibatch
from rlbench.rng import Streams
from rlbench.rollout.signals import Interrupted
from rlbench.training import session
from rlbench.types import Extra


class Doors(gymnasium.Env[np.ndarray, np.int64]):
    """Two steps, three doors, of which one is locked: to try it is an error, and which it is the mask says alone.
    Door 2 gives 1, or where that is locked door 0. The best return is 2."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(3)

    def _told(self) -> dict[str, Any]:
        self.locked = int(self.np_random.integers(0, 3))
        return {"action_mask": np.arange(3) != self.locked}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.ones(1, np.float32), self._told()

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if action == self.locked:
            raise RuntimeError(f"door {action} is locked")
        reward = float(action == (0 if self.locked == 2 else 2))
        self.steps += 1
        return np.ones(1, np.float32), reward, self.steps == 2, False, self._told()


registered = registering({"pqn/Doors-v0": Doors})

QUIET = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "device": "cpu", "agent": "pqn"}
SMALL = {"hidden": (17, 9), "rollout_steps": 13, "batch_size": 10, "epochs": 2}  # 4 minibatches of 9 or 10 for E = 3
MASK = {"action_mask": Extra((2,), torch.bool)}


def recipe(env: str, total_steps: int, hyper: Any = (), **keys: Any) -> Recipe:
    return Recipe(**{"env": env, "total_steps": total_steps, **QUIET, **keys, "hyper": {**SMALL, **dict(hyper)}})


def made(seeds: int = 2, envs: int = 3, *, spec: Any = (), **hyper: Any) -> PQN:
    made_for = make_spec(num_seeds=seeds, num_envs=envs, **dict(spec))
    return PQN(made_for, PQNConfig(**{**SMALL, **hyper}), Streams(range(seeds)))


@pytest.mark.parametrize("layer_norm", [True, False])
def test_a_gradient_step_is_that_of_autograd_and_torchs_radam(layer_norm: bool) -> None:
    agent, twin = (made(layer_norm=layer_norm, max_grad_norm=0.3, learning_rate=0.01) for _ in range(2))
    params = [p.requires_grad_() for p in twin.q_net.parameters()]
    radam = torch.optim.RAdam(params, lr=0.01)
    source = torch.Generator().manual_seed(0)
    for _ in range(8):  # from the sixth on it is rectified
        obs, action = torch.randn(2, 31, 4, generator=source), torch.randint(0, 2, (2, 31), generator=source)
        target = 3 * torch.randn(2, 31, generator=source)
        with torch.inference_mode():
            metrics = agent.learn_from(Minibatch(obs, action, {"target": target}))
        loss = (twin.q_net(obs).gather(-1, action.unsqueeze(-1)).squeeze(-1) - target).square().mean(1)
        radam.zero_grad()
        loss.sum().backward()
        norms = torch.stack(
            [torch.cat([p.grad[s].flatten() for p in params if p.grad is not None]).norm() for s in (0, 1)]
        )
        for p in params:
            assert p.grad is not None
            p.grad.mul_((0.3 / norms).clamp(max=1).view(-1, 1, 1))
        radam.step()
        torch.testing.assert_close(metrics["loss"], loss.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(metrics["grad_norm"], norms, rtol=1e-4, atol=1e-5)
        assert (norms > 0.3).all()
    for mine, theirs in zip(agent.q_net.parameters(), params, strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-3, atol=1e-5)
    assert agent.updates == 8


def still(agent: PQN, *values: float) -> None:
    """Let every action have its value, whatever is seen."""
    *_, weight, bias = agent.q_net.parameters()
    weight.zero_()
    bias.copy_(torch.tensor(values).view(1, 1, -1))


def walk(agent: PQN, ends: list[str], legal: Any = None) -> None:
    """Steps of reward 1, some of which end an episode; learned from when the rollout is full."""
    lead = (agent.spec.num_seeds, agent.spec.num_envs)
    mask = {} if legal is None else {"action_mask": torch.tensor(legal).expand(*lead, 2)}
    for t, end in enumerate(ends):
        obs, after = (torch.full((*lead, 4), float(i)) for i in (t, t + 1))
        flags = (torch.full(lead, end == kind) for kind in ("terminated", "truncated"))
        action = torch.zeros(lead, dtype=torch.int64)
        agent.observe(Transition(obs, action, torch.ones(lead), after, *flags, extras=mask, next_extras=mask))


@pytest.mark.parametrize(("legal", "best"), [(None, 4.0), ([True, True], 4.0), ([True, False], 2.0)])
def test_returns_by_hand(legal: Any, best: float) -> None:
    """A time limit and the rollout's end count on what follows, a termination does not; nobody on what is forbidden."""
    agent = made(
        envs=1, rollout_steps=6, batch_size=4, gamma=0.5, q_lambda=0.25, spec={"extras": {} if legal is None else MASK}
    )
    still(agent, 2.0, 4.0)
    walk(agent, ["", "truncated", "", "", "terminated", ""], legal)
    after = 1 + 0.5 * best

    def before(later: float) -> float:
        return 1 + 0.5 * (0.75 * best + 0.25 * later)

    due = [before(after), after, before(before(1.0)), before(1.0), 1.0, after]
    assert agent.returns().squeeze(-1).tolist() == [pytest.approx(due)] * 2


def test_it_learns_once_a_rollout_is_full_and_forgets_it() -> None:
    agent = made(envs=3)
    before = agent.params.data.clone()
    said = []
    for new in random_transitions(agent.spec, 26):
        agent.observe(new)
        said.append(agent.update())
        assert len(agent.replay) == 3 * (len(said) % 13)
    assert [i for i, each in enumerate(said) if each] == [12, 25]
    assert agent.updates == 2 * 2 * 4
    assert all(x.shape == (2,) for x in said[12].values())
    assert (agent.params.data != before).flatten(1).any(1).all()
    shown = agent.diagnostics()
    assert shown["q_values"].shape[:2] in {(2, 9), (2, 10)}
    assert shown["epsilon"].tolist() == pytest.approx([1 - 0.95 * 78 / 10_000] * 2)


def test_schedules_go_from_their_start_to_their_end() -> None:
    agent = made(
        envs=2, spec={"total_steps": 40}, rollout_steps=5, batch_size=10, learning_rate=0.4, learning_rate_end=0.0,
        epsilon_start=0.8, epsilon_end=0.2, epsilon_steps=20,
    )  # fmt: skip
    rates, shares = [], []
    for new in random_transitions(agent.spec, 20):
        shares.append(agent.epsilon)
        agent.observe(new)
        if agent.update():
            rates.append(agent.radam.learning_rate)
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert shares[::5] == pytest.approx([0.8, 0.5, 0.2, 0.2])


def test_epsilon_is_the_share_of_random_actions_and_none_of_them_is_forbidden() -> None:
    agent = made(
        envs=3000, batch_size=39, epsilon_start=0.4, epsilon_end=0.4,
        spec={"num_actions": 4, "extras": {"action_mask": Extra((4,), torch.bool)}},
    )  # fmt: skip
    still(agent, 0.0, 1.0, 3.0, 2.0)
    legal = torch.tensor([True, True, False, True]).expand(2, 3000, 4)
    action = agent.act(torch.zeros(2, 3000, 4), explore=True, extras={"action_mask": legal})
    for own in action:
        found = own.bincount(minlength=4) / 3000
        assert found.tolist() == pytest.approx([0.133, 0.133, 0.0, 0.733], abs=0.03)
    assert not torch.equal(action[0], action[1])
    assert (agent.act(torch.zeros(2, 5, 4), explore=False, extras={"action_mask": legal[:, :5]}) == 3).all()
    shown = agent.explain(torch.zeros(2, 5, 4), extras={"action_mask": legal[:, :5]})["q_values"]
    assert shown[0, 0].tolist() == [0.0, 1.0, -torch.inf, 2.0]


def test_acting_greedily_leaves_no_trace() -> None:
    agent = made()
    before, at = copy.deepcopy(agent.state_dict()), agent.explore.position
    agent.act(torch.randn(2, 5, 4), explore=False)
    agent.explain(torch.randn(2, 5, 4))
    agent.diagnostics()
    assert_same(before, agent.state_dict())
    assert agent.explore.position == at


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(
        UsageError,
        match=r"of 39 steps, p..\.rollout_steps 13 x num_envs 3: .* to 14$",
    ):
        made(batch_size=40)
    with pytest.raises(ValueError, match="at least one unit"):
        PQNConfig(hidden=(3, 0))
    several = {"num_actions": None, "action_sizes": (3, 2), "action_shape": (2,)}
    box = {"num_actions": None, "action_shape": (2,), "action_low": -torch.ones(2), "action_high": torch.ones(2)}
    for spec, what in ((several, "several at once"), (box, "continuous ones")):
        with pytest.raises(UsageError, match=rf"^pqn chooses one of .*takes {what}\. Choose another --agent .*ppo\.$"):
            made(spec=spec)
    assert PQN.wanted(PQNConfig()) == ("action_mask",)
    assert PQN.wanted(PQNConfig(mask_actions=False)) == ()


RUNS: dict[str, tuple[str, int, dict[str, Any]]] = {  # environment, E, hyper-parameters
    "vectors": ("CartPole-v1", 3, {"learning_rate_end": 1e-4}),
    "one env": ("CartPole-v1", 1, {"layer_norm": False}),
    "masked": ("pqn/Doors-v0", 3, {}),
    "indices": ("FrozenLake-v1", 3, {}),
    "pixels": ("rlbench/Catch-v0", 3, {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_width_and_observers(name: str, tmp_path: Path) -> None:
    env, num_envs, hyper = RUNS[name]
    watched = {"eval_every": 40 * num_envs, "eval_episodes": 2, "log_every": 30, "checkpoint_every": 50}
    keys = {"num_envs": num_envs}
    wide = rlbench.train(recipe=recipe(env, 60 * num_envs, hyper, **keys, seeds=3), out=tmp_path / "wide").folder
    one = recipe(env, 60 * num_envs, hyper, **keys, **watched, seeds=1, seed=1)
    alone = rlbench.train(recipe=one, out=tmp_path / "1").folder
    assert opened(wide)["agent"]["updates"] == 4 * 2 * (num_envs * 13 // 10 + 1)
    assert_same(pick(opened(wide)["agent"], 1, 3), opened(alone)["agent"])
    assert_same(pick(opened(wide, "replay")["replay"], 1, 3), opened(alone, "replay")["replay"])
    assert opened(alone, "replay")["replay"]["filled"] == 60 % 13
    assert rows(wide, 1) == rows(alone)


@pytest.mark.parametrize(("name", "at"), [("vectors", 60), ("one env", 41), ("masked", 60)])
def test_resumed_within_a_rollout_it_is_the_same_run(
    name: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    env, num_envs, hyper = RUNS[name]
    keys = {"seeds": 2, "num_envs": num_envs, "eval_every": 40 * num_envs, "eval_episodes": 2, "log_every": 20}
    plan = recipe(env, 60 * num_envs, hyper, **keys)
    whole = rlbench.train(recipe=plan, out=tmp_path / "whole").folder
    with pytest.raises(Interrupted):
        rlbench.train(recipe=plan, out=tmp_path / "cut", watcher=At(at, signal.SIGINT))
    assert 0 < opened(tmp_path / "cut", "replay")["replay"]["filled"] < 13
    assert opened(tmp_path / "cut")["agent"]["updates"] > 0
    rlbench.resume(tmp_path / "cut")
    assert_same_run(tmp_path / "cut", whole)


def test_seeds_that_stop_leave_the_others_as_they_were(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"num_envs": 3, "max_episodes": 6}
    wide = rlbench.train(recipe=recipe("CartPole-v1", 900, seeds=3, **keys), out=tmp_path / "wide")
    assert len(set(wide.summary["env_steps_of_seed"].values())) > 1
    for s in range(3):
        one = rlbench.train(recipe=recipe("CartPole-v1", 900, seeds=1, seed=s, **keys), out=tmp_path / str(s))
        mine = rows_of_seeds(opened(one.folder)["agent"], 1)
        assert_same(pick(rows_of_seeds(opened(wide.folder)["agent"], 3), s, 3), mine)


GAMMA = 0.8
QUICK = {
    "hidden": [32], "learning_rate": 1e-2, "learning_rate_end": 0.0, "rollout_steps": 8, "batch_size": 16, "epochs": 4,
    "gamma": GAMMA, "epsilon_end": 1.0,
}  # fmt: skip
PROBES = [env_id for env_id in rlbench.envs.IDS if "Probe" in env_id and env_id not in rlbench.envs.FAULTY_IDS]


@pytest.mark.parametrize("env", PROBES)
def test_it_learns_the_values_that_are_known(env: str, tmp_path: Path) -> None:
    run = rlbench.train(
        recipe=recipe(env, 2_400, {**QUICK, "q_lambda": 0.0}, seeds=3, num_envs=4), out=tmp_path / "run"
    )
    assert run.summary["updates"] == 2_400 // 32 * 4 * 2
    agent = rlbench.load(run.folder / "checkpoint.pth").agent
    obs, q = gymnasium.make(env).unwrapped.true_q(GAMMA)  # type: ignore[attr-defined]
    learned: Tensor = agent.explain(torch.from_numpy(obs).expand(3, -1, -1))["q_values"]  # (S, N, 2)
    torch.testing.assert_close(learned.double(), torch.from_numpy(q).expand_as(learned), atol=0.15, rtol=0)


@pytest.mark.slow
def test_it_takes_no_action_that_a_mask_forbids(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"seeds": 3, "num_envs": 4, "final_eval_episodes": 20}
    hyper = {**QUICK, "epsilon_end": 0.3, "epsilon_steps": 2_000}
    run = rlbench.train(recipe=recipe("pqn/Doors-v0", 4_000, hyper, **keys), out=tmp_path / "run")
    assert min(run.summary["final_eval_return"].values()) == 2.0  # a locked door would have raised


def test_its_recipes_are_sound() -> None:
    for env in ("CartPole-v1", "FrozenLake-v1"):
        found = Recipe.load(env=env, agent="pqn")
        assert (found.agent, found.env) == ("pqn", env)
        assert found.num_envs * found.hyper["rollout_steps"] >= found.hyper["batch_size"]
