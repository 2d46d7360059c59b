"""PPO: its gradients by hand are autograd's, it learns values that are known, and keeps the promises of every agent."""

import copy
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_spec, registering
from riddles import Doors, Follow, Match
from rlbench.agents.ppo import PPO, PPOConfig
from test_promises import At, assert_same, assert_same_run, opened, rows, rows_of_seeds
from torch import Tensor

import rlbench
from rlbench import Transition, functional
from rlbench.agent_state import pick
from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.replay import Minibatch
from rlbench.rng import Streams
from rlbench.rollout.signals import Interrupted
from rlbench.training import session
from rlbench.types import Extra, Spec

registered = registering({"ppo/Follow-v0": Follow, "ppo/Match-v0": Match, "ppo/Doors-v0": Doors})

QUIET = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "device": "cpu", "agent": "ppo"}
SMALL = {"hidden": (17, 9), "rollout_steps": 13, "batch_size": 10, "epochs": 2}  # 4 minibatches of 9 or 10 for E = 3
ALL = {
    "normalise_obs": True, "normalise_rewards": True, "value_clip": 0.2, "entropy_weight": 0.01,
    "learning_rate_end": 1e-4, "clip_end": 0.05,
}  # fmt: skip

MASK = {"action_mask": Extra((3,), torch.bool)}
BOX: dict[str, Any] = {"num_actions": None, "action_low": torch.tensor([-1.0, 0.0]), "action_shape": (2,)}
SPECS: dict[str, dict[str, Any]] = {
    "choice": {"num_actions": 3},
    "masked": {"num_actions": 3, "extras": MASK},
    "several": {"num_actions": None, "action_sizes": (3, 2), "action_shape": (2,)},
    "several masked": {
        "num_actions": None, "action_sizes": (3, 2), "action_shape": (2,),
        "extras": {"action_mask": Extra((5,), torch.bool)},
    },
    "continuous": {**BOX, "action_high": torch.tensor([1.0, 8.0])},
    "one number": {**BOX, "action_low": torch.tensor(-1.0), "action_high": torch.tensor(1.0), "action_shape": ()},
    "pixels": {"obs_shape": (5, 4), "obs_dtype": torch.uint8, "num_actions": 3},
    "indices": {"num_obs": 7, "num_actions": 3},
}  # fmt: skip


def recipe(env: str, total_steps: int, hyper: Any = (), **keys: Any) -> Recipe:
    return Recipe(**{"env": env, "total_steps": total_steps, **QUIET, **keys, "hyper": {**SMALL, **dict(hyper)}})


def made(kind: str = "choice", seeds: tuple[int, ...] = (0, 1), envs: int = 3, total: int = 0, **hyper: Any) -> PPO:
    spec = make_spec(**{**SPECS[kind], "num_seeds": len(seeds), "num_envs": envs, "total_steps": total})
    return PPO(spec, PPOConfig(**{**SMALL, **hyper}), Streams(seeds))


def seen(spec: Spec, rows: int, source: torch.Generator) -> Tensor:
    shape = (spec.num_seeds, rows, *spec.obs_shape)
    if spec.obs_dtype == torch.float32:
        return torch.randn(shape, generator=source)
    return torch.randint(0, spec.num_obs or 256, shape, generator=source).to(spec.obs_dtype)


def minibatch(agent: PPO, rows: int, source: torch.Generator) -> Minibatch:
    """Steps of which some go beyond every clip."""
    spec, lead = agent.spec, (agent.spec.num_seeds, rows)
    obs = seen(spec, rows, source)
    extras: dict[str, Tensor] = {}
    if agent.masked:
        legal = torch.rand(*lead, *spec.extras["action_mask"].shape, generator=source) > 0.4
        legal[..., [0, -1]] = True
        extras["action_mask"] = legal
    policy = agent.policy(agent.policy_net(obs), extras.get("action_mask"))
    action = policy.sample(agent.draws)
    if not agent.chosen:
        extras["drawn"] = action
    for name in ("advantage", "value", "target"):
        extras[name] = torch.randn(lead, generator=source)
    extras["log_prob"] = policy.log_prob(action) + 0.3 * torch.randn(lead, generator=source)
    return Minibatch(obs, action, extras)


def loss_by_autograd(agent: PPO, part: Minibatch, clip: float) -> Tensor:
    """(S,), by the book: equations 7 and 9 of Schulman et al. 2017, with torch's own distributions."""
    c, kept, spec = agent.config, part.extras, agent.spec
    numbers, legal = agent.policy_net(part.obs), kept.get("action_mask")
    action = kept.get("drawn", part.action)
    if agent.chosen:
        sizes = list(spec.action_sizes or (spec.num_actions,))
        numbers = numbers if legal is None else numbers.masked_fill(~legal, -1e8)
        parts = [torch.distributions.Categorical(logits=own) for own in numbers.split(sizes, -1)]
        actions = action.view(*action.shape[:2], -1).unbind(-1)
        log_prob = torch.stack([own.log_prob(a) for own, a in zip(parts, actions, strict=True)]).sum(0)
        entropy = torch.stack([own.entropy() for own in parts]).sum(0)
    else:
        std = agent.log_std[0].exp()
        normal = torch.distributions.Normal(numbers.view(action.shape), std.expand_as(action))
        log_prob = normal.log_prob(action).flatten(2).sum(-1) if action.dim() > 2 else normal.log_prob(action)
        entropy = normal.entropy().flatten(2).sum(-1) if action.dim() > 2 else normal.entropy()
    advantage = kept["advantage"]
    if c.normalise_advantage:
        advantage = (advantage - advantage.mean(1, keepdim=True)) / advantage.std(1, correction=0, keepdim=True)
    ratio = (log_prob - kept["log_prob"]).exp()
    gain = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    value, before, target = agent.value(part.obs), kept["value"], kept["target"]
    error = (value - target) ** 2
    if c.value_clip:
        error = torch.max(error, (before + (value - before).clamp(-c.value_clip, c.value_clip) - target) ** 2)
    return (c.value_weight * error - gain - c.entropy_weight * entropy).mean(1)


@pytest.mark.parametrize("hyper", [{}, {"value_clip": 0.5, "entropy_weight": 0.3, "normalise_advantage": False}])
@pytest.mark.parametrize("kind", SPECS)
def test_a_gradient_by_hand_is_autograds(kind: str, hyper: Any) -> None:
    agent, twin = (made(kind, max_grad_norm=0.0, log_std=-0.4, orthogonal=False, **hyper) for _ in range(2))
    part = minibatch(agent, 31, torch.Generator().manual_seed(0))
    params = [p.requires_grad_() for net in (twin.policy_net, twin.value_net, twin.log_std) for p in net.parameters()]
    loss = loss_by_autograd(twin, part, 0.2)
    expected = torch.autograd.grad(loss.sum(), params)
    before = agent.params.data.clone()
    with torch.inference_mode():
        metrics = agent._metrics(agent.learn_from(part, 0.2), 0.2)
    for found, due in zip(agent.params.grads, expected, strict=True):
        torch.testing.assert_close(found, due, rtol=1e-4, atol=1e-6)
        assert due.abs().max() > 1e-3
    torch.testing.assert_close(metrics["loss"], loss.detach(), rtol=1e-5, atol=1e-5)
    whole = torch.cat([due.flatten(1) for due in expected], 1)
    torch.testing.assert_close(metrics["grad_norm"], whole.norm(dim=1), rtol=1e-4, atol=1e-6)
    assert 0.2 < metrics["clipped"].min() <= metrics["clipped"].max() < 0.9
    assert (metrics["kl"] > 0).all()
    assert not torch.equal(agent.params.data, before)


class Plain(torch.nn.Module):
    """A network that has nothing but ``forward``."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, obs: Tensor) -> Tensor:
        out: Tensor = self.inner(obs)
        return out


class OwnNetworks(PPO):
    def make_policy(self, *args: Any) -> torch.nn.Module:
        return Plain(super().make_policy(*args))

    def make_value(self, *args: Any) -> torch.nn.Module:
        return Plain(super().make_value(*args))


def test_networks_of_ones_own_are_differentiated_by_autograd() -> None:
    usual = made(orthogonal=False)
    own = OwnNetworks(usual.spec, usual.config, Streams((0, 1)))
    part = minibatch(usual, 31, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        norms = [agent.learn_from(part, 0.2).grad_norm for agent in (usual, own)]
    torch.testing.assert_close(*norms)
    torch.testing.assert_close(own.params.grad, usual.params.grad, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_clipped_for_each_seed() -> None:
    norms = []
    for most in (0.0, 0.05):
        agent = made(max_grad_norm=most)
        part = minibatch(agent, 31, torch.Generator().manual_seed(0))
        part.extras["target"][1] *= 0.01
        with torch.inference_mode():
            norms.append(agent.learn_from(part, 0.2).grad_norm)
        assert (agent.params.grad.norm(dim=1) <= (most or 9) + 1e-6).all()
    assert torch.equal(*norms)  # as they were
    assert (norms[0] > 0.05).all()


def still(agent: PPO, value: float) -> None:
    """Let every value be this, and every action as likely."""
    for net, bias in ((agent.policy_net, 0.0), (agent.value_net, value)):
        head = list(net.parameters())[-2:]
        head[0].zero_()
        head[1].fill_(bias)


def walk(agent: PPO, ends: list[str], start: int = 0) -> list[dict[str, Tensor]]:
    """Steps of reward 1 in which nothing happens, some of which end an episode; what every update said."""
    lead, said = (agent.spec.num_seeds, agent.spec.num_envs), []
    for t, end in enumerate(ends):
        obs, after = (torch.full((*lead, 4), float(start + i)) for i in (t, t + 1))
        flags = (torch.full(lead, end == kind) for kind in ("terminated", "truncated"))
        action = agent.act(obs, explore=True)
        assert isinstance(action, Tensor)
        agent.observe(Transition(obs, action, torch.ones(lead), after, *flags))
        said.append(agent.update())
    return said


def test_advantages_by_hand_at_a_time_limit_and_at_a_termination(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = made(envs=1, rollout_steps=5, batch_size=5, epochs=1, gamma=0.5, gae_lambda=0.5, normalise_advantage=False)
    still(agent, 3.0)
    parts: list[Minibatch] = []
    learn = agent.learn_from
    monkeypatch.setattr(agent, "learn_from", lambda part, clip: parts.append(part) or learn(part, clip))
    *_, metrics = walk(agent, ["", "truncated", "", "terminated", ""])
    (part,) = parts
    on, end = 1 + 0.5 * 3 - 3, 1 - 3.0  # one step's error, and that of the step into a termination
    due = torch.tensor([on + 0.25 * on, on, on + 0.25 * end, end, on])
    order = part.obs[..., 0].long()  # the steps are numbered by what was seen
    torch.testing.assert_close(part.extras["advantage"], due[order])
    torch.testing.assert_close(part.extras["target"], due[order] + 3)
    torch.testing.assert_close(part.extras["log_prob"], torch.full((2, 5), -math.log(3)))
    assert metrics["value_error"].tolist() == pytest.approx([(due**2).mean().item()] * 2)
    assert metrics["entropy"].tolist() == pytest.approx([math.log(3)] * 2)
    assert metrics["clipped"].tolist() == [0.0, 0.0]


def test_a_cut_counts_as_a_time_limit_and_begins_the_sum_of_rewards_anew() -> None:
    agent = made(envs=2, rollout_steps=4, batch_size=8, gamma=0.5, normalise_rewards=True)
    walk(agent, ["", ""])
    agent.cut(torch.tensor([[True, False], [False, False]]))
    assert agent.replay.truncated[:, 1].tolist() == [[True, False], [False, False]]
    assert agent.scale.returns.tolist() == [[0.0, 1.5], [1.5, 1.5]]


def test_schedules_go_from_their_start_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = made(
        envs=2, total=40, rollout_steps=5, batch_size=10, epochs=1, learning_rate=0.4, learning_rate_end=0.0,
        clip=0.3, clip_end=0.1,
    )  # fmt: skip
    used, learn = [], agent.learn_from
    monkeypatch.setattr(
        agent, "learn_from", lambda part, clip: used.append((agent.adam.learning_rate, clip)) or learn(part, clip)
    )
    walk(agent, [""] * 25)
    assert [rate for rate, _ in used] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    assert [clip for _, clip in used] == pytest.approx([0.3, 0.25, 0.2, 0.15, 0.1])
    agent = made(envs=2, rollout_steps=5, batch_size=10, epochs=1, learning_rate_end=0.0)  # of unknown length
    assert all(said["grad_norm"].min() > 0 for said in walk(agent, [""] * 10) if said)
    assert agent.adam.learning_rate == 3e-4


def test_observations_are_normalised_by_what_was_seen_before_the_rollout() -> None:
    agent = made(envs=2, rollout_steps=4, batch_size=8, normalise_obs=True)
    walk(agent, [""] * 3)
    assert agent.seen.count.tolist() == [0.0, 0.0]
    walk(agent, ["", ""], start=3)
    assert agent.seen.count.tolist() == [8.0, 8.0]
    torch.testing.assert_close(agent.seen.mean, torch.full((2, 4), 1.5).double())
    assert agent.normalised(torch.full((2, 1, 4), 1.5)).abs().max() == 0
    assert made("indices", normalise_obs=True).normalised(torch.ones(2, 3, dtype=torch.int64)).dtype == torch.int64
    plain = made(envs=2, rollout_steps=4, batch_size=8)
    walk(plain, [""] * 4)
    assert plain.seen.count.tolist() == [0.0, 0.0]


def test_continuous_actions_lie_in_their_bounds_and_are_scored_as_drawn() -> None:
    agent = made("continuous", envs=400, rollout_steps=1, log_std=0.0)
    action, said = agent.act(torch.zeros(2, 400, 4), explore=True)
    drawn = said["drawn"]
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 8.0])
    assert torch.equal(action, (torch.tensor([0.0, 4.0]) + drawn * torch.tensor([1.0, 4.0])).clamp(low, high))
    assert (action == low).any()
    assert (action == high).any()
    shown = agent.explain(torch.zeros(2, 5, 4))
    assert shown["mean"][0, 0].tolist() == pytest.approx([0.0, 4.0], abs=0.05)
    assert shown["std"][0, 0].tolist() == pytest.approx([1.0, 4.0])
    half = {**SPECS["continuous"], "action_high": torch.tensor([torch.inf, 8.0])}
    loose = PPO(make_spec(**half, num_envs=20), PPOConfig(), Streams([0]))
    action, said = loose.act(torch.zeros(1, 20, 4), explore=True)
    assert torch.equal(action[..., 0], said["drawn"][..., 0].clamp(min=-1))


@pytest.mark.parametrize("kind", SPECS)
def test_acting_greedily_leaves_no_trace(kind: str) -> None:
    agent = made(kind)
    obs = seen(agent.spec, 5, torch.Generator().manual_seed(0))
    legal = {name: torch.ones(2, 5, *form.shape, dtype=torch.bool) for name, form in agent.spec.extras.items()}
    before, at = copy.deepcopy(agent.state_dict()), agent.draws.position
    agent.act(obs, explore=False, extras=legal)
    shown = agent.explain(obs, extras=legal)
    agent.diagnostics()
    assert_same(before, agent.state_dict())
    assert agent.draws.position == at
    assert shown["value"].shape == (2, 5)
    if "probabilities" in shown:
        assert shown["probabilities"].sum(-1).allclose(torch.ones(2, 5))
    if not agent.chosen:
        assert agent.diagnostics()["std"].tolist() == [1.0, 1.0]
        assert shown["mean"].shape == shown["std"].shape == (2, 5, max(1, math.prod(agent.spec.action_shape)))


@pytest.mark.parametrize("kind", ["continuous", "one number"])
def test_chances_are_those_of_what_was_drawn_not_of_what_was_done(kind: str) -> None:
    agent = made(kind, log_std=1.0)  # wide, so that bounds cut many draws
    spec, source, due = agent.spec, torch.Generator().manual_seed(1), []
    no = torch.zeros(2, 3, dtype=torch.bool)
    for _ in range(13):
        obs = seen(spec, 3, source)
        acted = agent.act(obs, explore=True)
        assert isinstance(acted, tuple)
        action, extras = acted
        due.append(agent.policy(agent.policy_net(obs)).log_prob(extras["drawn"]))
        agent.observe(Transition(obs, action, torch.zeros(2, 3), obs, no, no, extras=extras))
    assert (agent.replay.action != agent.replay.extras["drawn"]).any()
    assert agent.judged(agent.replay.obs)[0].allclose(torch.stack(due, 1), atol=1e-5)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(
        UsageError,
        match=r"of 39 steps, p..\.rollout_steps 13 x num_envs 3: .* to 14",
    ):
        made(batch_size=40)
    with pytest.raises(
        UsageError, match=r"x num_envs 1: raise ppo.rollout_steps to 40$"
    ):  # one step cannot be normalised
        made(envs=1, rollout_steps=1, batch_size=40)
    made(envs=1, rollout_steps=40, batch_size=40)
    with pytest.raises(UsageError, match=r"batch_size 2 .* 3 steps .* some are one step"):
        made(envs=1, rollout_steps=3, batch_size=2)
    made(envs=1, rollout_steps=3, batch_size=2, normalise_advantage=False)
    with pytest.raises(ValueError, match="normalised over 2 steps or more"):
        PPOConfig(batch_size=1)
    with pytest.raises(ValueError, match="at least one unit"):
        PPOConfig(hidden=(3, 0))
    odd = make_spec(**{**SPECS["several"], "extras": {"action_mask": Extra((3, 2), torch.int64)}})
    with pytest.raises(UsageError, match=r"one entry for each of 5 choices.*\(3, 2\) of int64.*mask_actions=false"):
        PPO(odd, PPOConfig(**{**SMALL, "batch_size": 5}), Streams([0]))
    assert PPO.wanted(PPOConfig()) == ("action_mask",)
    assert PPO.wanted(PPOConfig(mask_actions=False)) == ()


RUNS: dict[str, tuple[str, int, dict[str, Any]]] = {  # environment, E, hyper-parameters
    "choice": ("CartPole-v1", 3, {}),
    "choice, all": ("CartPole-v1", 3, ALL),
    "one env": ("CartPole-v1", 1, {**ALL, "activation": "silu", "orthogonal": False}),
    "continuous": ("Pendulum-v1", 3, ALL),
    "several": ("ppo/Match-v0", 3, ALL),
    "masked": ("ppo/Doors-v0", 3, ALL),
    "indices": ("FrozenLake-v1", 3, {"activation": "relu"}),
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


@pytest.mark.parametrize(("name", "at"), [("choice, all", 60), ("one env", 41), ("continuous", 99), ("masked", 60)])
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
    wide = rlbench.train(recipe=recipe("CartPole-v1", 900, ALL, seeds=3, **keys), out=tmp_path / "wide")
    assert len(set(wide.summary["env_steps_of_seed"].values())) > 1
    for s in range(3):
        one = rlbench.train(recipe=recipe("CartPole-v1", 900, ALL, seeds=1, seed=s, **keys), out=tmp_path / str(s))
        mine = rows_of_seeds(opened(one.folder)["agent"], 1)
        assert_same(pick(rows_of_seeds(opened(wide.folder)["agent"], 3), s, 3), mine)


QUICK = {"hidden": [32], "learning_rate": 3e-3, "rollout_steps": 32, "gamma": 0.8, "gae_lambda": 0.9, "epochs": 4}
VALUES = {  # of the best policy, at gamma = 0.8; what is seen, and what is expected
    "rlbench/ProbeObsActionReward-v0": {-1.0: 1.0, 1.0: 1.0},
    "rlbench/ProbeDelayedReward-v0": {-1.0: 0.8, 1.0: 1.0},
    "rlbench/ProbeTruncated-v0": {1.0: 5.0},
    "rlbench/ProbeTerminated-v0": {1.0: 1.0},
}


def taught(env: str, steps: int, folder: Path, **hyper: Any) -> Any:
    """The agent after training."""
    plan = recipe(env, steps, {**QUICK, "batch_size": 32, **hyper}, seeds=3, num_envs=4)
    run = rlbench.train(recipe=plan, out=folder)
    assert run.summary["updates"] > 20
    return rlbench.load(run.folder / "checkpoint.pth").agent


@pytest.mark.parametrize("normalise_obs", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("env", VALUES)
def test_it_learns_the_values_that_are_known(env: str, normalise_obs: bool, tmp_path: Path) -> None:
    agent = taught(env, 3_000, tmp_path / "run", normalise_obs=normalise_obs)
    shown = torch.tensor(list(VALUES[env])).view(1, -1, 1).expand(3, -1, 1)
    expected = torch.tensor(list(VALUES[env].values())).expand(3, -1)
    torch.testing.assert_close(agent.explain(shown)["value"], expected, atol=0.15, rtol=0)
    if "ObsAction" in env:
        assert agent.act(shown, explore=False).tolist() == [[0, 1]] * 3


@pytest.mark.slow
def test_it_learns_several_choices_at_once(tmp_path: Path) -> None:
    agent = taught("ppo/Match-v0", 3_000, tmp_path / "run")
    shown = torch.arange(3.0).view(1, 3, 1).expand(3, 3, 1)
    assert agent.act(shown, explore=False).tolist() == [[[0, 1], [1, 1], [2, 1]]] * 3
    assert (agent.explain(shown)["value"] - 2).abs().max() < 0.3


@pytest.mark.slow
def test_it_learns_continuous_actions(tmp_path: Path) -> None:
    agent = taught("ppo/Follow-v0", 5_000, tmp_path / "run", log_std=-0.5)
    shown = torch.linspace(-0.9, 0.9, 7).view(1, -1, 1).expand(3, -1, 1)
    assert (agent.act(shown, explore=False) - shown / 2).abs().max() < 0.15


def test_it_takes_no_action_that_a_mask_forbids(tmp_path: Path) -> None:
    hyper = {**QUICK, "batch_size": 32}
    keys: dict[str, Any] = {"seeds": 3, "num_envs": 4, "final_eval_episodes": 20}
    run = rlbench.train(recipe=recipe("ppo/Doors-v0", 4_000, hyper, **keys), out=tmp_path / "run")
    assert min(run.summary["final_eval_return"].values()) == 2.0  # a locked door would have raised
    held = opened(run.folder, "replay")["replay"]
    assert all(mask.sum(-1).eq(2).all() and len(mask) for mask in held["extras.action_mask"])


def test_its_recipes_are_sound() -> None:
    for env in ("CartPole-v1", "Acrobot-v1", "LunarLander-v3", "LunarLanderContinuous-v3", "Pendulum-v1"):
        found = Recipe.load(env=env, agent="ppo")
        assert (found.agent, found.env) == ("ppo", env)
        assert found.num_envs * found.hyper["rollout_steps"] >= found.hyper["batch_size"]
        assert found.hyper["memory"] == "none"
    assert Recipe.load(env="rlbench/TMaze-v0", agent="ppo").hyper["memory"] == "gru"


def test_the_ratio_is_one_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights that a rollout was collected with are those that its log-probabilities are of."""
    agent = made(envs=3, epochs=1, batch_size=39, normalise_obs=True)
    ratios, learn = [], agent.learn_from
    monkeypatch.setattr(agent, "learn_from", lambda part, clip: ratios.append(learn(part, clip)) or ratios[-1])
    walk(agent, ["", "truncated"] * 13)
    assert len(ratios) == 2
    assert all(learned.log_ratio.abs().max() < 1e-5 for learned in ratios)
    assert functional.standardised(torch.tensor([[1.0, 3.0], [5.0, 5.0]])).tolist() == [[-1.0, 1.0], [0.0, 0.0]]


def test_who_looks_without_a_mask_sees_all_chances() -> None:
    agent = made("masked")
    obs = torch.zeros(agent.spec.num_seeds, 2, *agent.spec.obs_shape)
    assert (agent.explain(obs)["probabilities"] > 0).all()
