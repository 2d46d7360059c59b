"""PPO with memory: it learns what cannot be known without, its gradients are autograd's, and it keeps the promises."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_spec
from rlbench.agents.ppo import PPO, PPOConfig, RecurrentPPO
from test_ppo import MASK, SPECS, recipe
from test_promises import At, assert_same, assert_same_run, opened, rows
from torch import Tensor

import rlbench
from rlbench import Transition, nn
from rlbench.agent_state import pick
from rlbench.errors import UsageError
from rlbench.replay import Minibatch
from rlbench.rng import Streams
from rlbench.rollout.signals import Interrupted
from rlbench.training import session

GRU = {
    "memory": "gru", "memory_size": 7, "hidden": (9,), "rollout_steps": 12, "sequence_length": 4, "batch_size": 10,
    "epochs": 2,
}  # fmt: skip
TMAZE = "rlbench/TMaze-v0"


def made(kind: str = "choice", seeds: tuple[int, ...] = (0, 1), envs: int = 3, **hyper: Any) -> Any:
    spec = make_spec(**{**SPECS[kind], "num_seeds": len(seeds), "num_envs": envs})
    return PPO(spec, PPOConfig(**{**GRU, **hyper}), Streams(seeds))


def test_memory_is_a_switch() -> None:
    assert type(made()) is RecurrentPPO
    assert type(made(memory="none")) is PPO
    with pytest.raises(UsageError, match="Own is a PPO without memory: derive it from RecurrentPPO"):
        type("Own", (PPO,), {})(make_spec(num_envs=3), PPOConfig(**GRU), Streams([0]))
    with pytest.raises(ValueError, match="memory takes at least one layer before it"):
        PPOConfig(**{**GRU, "hidden": ()})
    with pytest.raises(ValueError, match="rollout_steps 10 is no multiple of sequence_length 4"):
        PPOConfig(**{**GRU, "rollout_steps": 10})
    with pytest.raises(ValueError, match="batch_size 3 holds no sequence of 4 steps"):
        PPOConfig(**{**GRU, "batch_size": 3})
    with pytest.raises(UsageError, match=r"raise ppo.rollout_steps to 16$"):  # 14 would do, but for the sequences
        made(batch_size=40)


def filled(agent: Any, *, end: float = 0.3) -> None:
    """Let it act through a rollout of random observations, in which episodes end and are cut."""
    source, lead = torch.Generator().manual_seed(0), (agent.spec.num_seeds, agent.spec.num_envs)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*lead, *shape, generator=source)

    def legal() -> dict[str, Tensor]:
        mask = torch.rand(*lead, 3, generator=source) > 0.4
        mask[..., 1] = True
        return {"action_mask": mask} if agent.masked else {}

    obs, said, started = drawn(*agent.spec.obs_shape), legal(), torch.ones(lead, dtype=torch.bool)
    while not agent.replay.full:
        agent.begin(started, explore=True)
        action, more = agent.act(obs, explore=True, extras=said)
        chance, after = torch.rand(lead, generator=source), drawn(*agent.spec.obs_shape)
        ends = chance < end / 2, (chance > end / 2) & (chance < end)
        agent.observe(Transition(obs, action, drawn(), after, *ends, extras={**said, **more}))
        started = ends[0] | ends[1]
        obs, said = torch.where(started.unsqueeze(-1), drawn(*agent.spec.obs_shape), after), legal()
    assert agent.replay.terminated.any()
    assert agent.replay.truncated.any()


@pytest.mark.parametrize("kind", ["choice", "masked", "continuous"])
def test_a_rollout_is_judged_as_it_was_acted(kind: str) -> None:
    """Step by step with what was remembered before each of them, and what followed with what was remembered after."""
    agent = made(kind)
    filled(agent)
    rollout, kept = agent.replay, agent.replay.extras
    with torch.inference_mode():
        log_prob, value, next_value = agent.judged(rollout.obs)
        next_obs = rollout.next_obs()
        for t in range(12):
            numbers, due, after = agent._step(rollout.obs[:, t], kept["memory"][:, t])
            policy = agent.policy(numbers, kept["action_mask"][:, t] if kind == "masked" else None)
            drawn = kept["drawn"][:, t] if kind == "continuous" else rollout.action[:, t]
            torch.testing.assert_close(log_prob[:, t], policy.log_prob(drawn))
            torch.testing.assert_close(value[:, t], due)
            _, then, _ = agent._step(next_obs[:, t], after)
            torch.testing.assert_close(next_value[:, t], then.masked_fill(rollout.terminated[:, t], 0.0))
    assert not kept["memory"][:, 0].any()
    assert kept["memory"][:, 4].any()  # where the second sequence begins


def whole(agent: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """What `minibatches` takes: observations, and numbers by which each step is known."""
    lead = agent.replay.reward.shape
    place = torch.arange(agent.replay.reward.numel()).view(lead).float()
    return agent.replay.obs, {"place": place}


def test_sequences_hold_every_step_once_and_in_order() -> None:
    agent = made()
    filled(agent)
    obs, kept = whole(agent)
    parts: list[Minibatch] = list(agent.minibatches(obs, kept))
    assert [part.obs.shape[:3] for part in parts] == [(2, 4, 2)] * 4 + [(2, 4, 1)]  # 9 sequences, in fives of two
    seen = []
    for part in parts:
        place = part.extras["place"].long().view(part.obs.shape[:3])  # (S, L, N)
        seen.append(place.flatten(1))
        assert torch.equal(place[:, 1:] - place[:, :-1], torch.full_like(place[:, 1:], 3))  # of one env, E = 3
        assert (place[:, 0] % 36 // 3 % 4 == 0).all()
        flat = agent.replay.obs.flatten(0, 2)
        assert torch.equal(part.obs, flat[place])
        assert torch.equal(part.action.view(place.shape), agent.replay.action.flatten()[place])
        assert torch.equal(part.extras["memory"], agent.replay.extras["memory"].flatten(0, 2)[place[:, 0]])
        ended = (agent.replay.terminated | agent.replay.truncated).flatten()
        assert torch.equal(part.extras["fresh"][:, 1:], ended[place[:, :-1]])
    assert torch.equal(torch.cat(seen, 1).sort(1)[0], torch.arange(72).view(2, 36))
    other = list(agent.minibatches(obs, kept))
    assert not torch.equal(other[0].extras["place"], parts[0].extras["place"])


def by_steps(net: nn.Remembering, part: Minibatch, memory: Tensor) -> Tensor:
    """(S, L * N, n): one step after the other, by autograd."""
    out = []
    for t in range(part.obs.shape[1]):
        memory = memory * (~part.extras["fresh"][:, t]).unsqueeze(-1)
        numbers, memory = net(part.obs[:, t], memory)
        out.append(numbers)
    return torch.stack(out, 1).flatten(1, 2)


@pytest.mark.parametrize("kind", ["choice", "masked", "continuous"])
def test_a_gradient_by_hand_is_autograds(kind: str) -> None:
    agent, twin = (made(kind, max_grad_norm=0.0, entropy_weight=0.3, orthogonal=False, batch_size=20) for _ in range(2))
    filled(agent)
    source, lead = torch.Generator().manual_seed(1), agent.replay.reward.shape
    with torch.inference_mode():
        log_prob, value, _ = agent.judged(agent.replay.obs)
    noise = {name: torch.randn(lead, generator=source) for name in ("advantage", "target", "log_prob")}
    kept = {**noise, "value": value.clone(), "log_prob": log_prob + 0.3 * noise["log_prob"]}
    part = next(agent.minibatches(agent.replay.obs, kept))
    assert part.extras["fresh"].any()

    c, extras = agent.config, part.extras
    params = [p.requires_grad_() for net in (twin.policy_net, twin.value_net, twin.log_std) for p in net.parameters()]
    memories = extras["memory"].chunk(2, -1)
    policy = twin.policy(by_steps(twin.policy_net, part, memories[0]), extras.get("action_mask"))
    found = by_steps(twin.value_net, part, memories[1]).squeeze(-1)
    ratio = (policy.log_prob(extras.get("drawn", part.action)) - extras["log_prob"]).exp()
    advantage = extras["advantage"]
    advantage = (advantage - advantage.mean(1, keepdim=True)) / advantage.std(1, correction=0, keepdim=True)
    gain = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    loss = (0.5 * (found - extras["target"]) ** 2 - gain - c.entropy_weight * policy.entropy()).mean(1)
    expected = torch.autograd.grad(loss.sum(), params)
    with torch.inference_mode():
        metrics = agent._metrics(agent.learn_from(part, 0.2), 0.2)
    for one, due in zip(agent.params.grads, expected, strict=True):
        torch.testing.assert_close(one, due, rtol=1e-4, atol=1e-6)
        assert due.abs().max() > 1e-4
    torch.testing.assert_close(metrics["loss"], loss.detach(), rtol=1e-5, atol=1e-5)


def test_playing_leaves_no_trace_and_knows_nothing_of_training() -> None:
    agent = made(envs=1, batch_size=4)
    obs, everywhere = torch.randn(2, 1, 4, generator=torch.Generator().manual_seed(0)), torch.ones(2, 1).bool()
    agent.begin(everywhere, explore=True)
    for _ in range(5):
        agent.act(obs, explore=True)
    before, position = agent.memory.clone(), agent.draws.position
    wide = obs.expand(2, 3, 4)
    agent.begin(torch.ones(2, 3).bool(), explore=False)
    first = agent.explain(wide)
    assert torch.equal(first["value"], agent.explain(wide)["value"])  # to look is not to remember
    agent.act(wide, explore=False)
    later = agent.explain(wide)
    for name in ("value", "probabilities"):
        assert not torch.equal(first[name], later[name])
    agent.begin(torch.tensor([[True, False, False], [False] * 3]), explore=False)
    again = agent.explain(wide)["value"]
    assert torch.equal(again[0, 0], first["value"][0, 0])
    assert torch.equal(again[0, 1:], later["value"][0, 1:])
    assert torch.equal(agent.memory, before)
    assert agent.draws.position == position
    agent.begin(torch.tensor([[True], [False]]), explore=True)
    assert not agent.memory[0].any()
    assert torch.equal(agent.memory[1], before[1])


ALL = {"normalise_obs": True, "normalise_rewards": True, "value_clip": 0.2, "entropy_weight": 0.01}
RUNS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "choice": (TMAZE, 3, {}),
    "one env": (TMAZE, 1, {**ALL, "hidden": (9, 5), "orthogonal": False}),
    "continuous": ("Pendulum-v1", 3, {**ALL, "rollout_steps": 8, "sequence_length": 8}),
    "masked": ("Taxi-v4", 3, {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_width_and_observers_with_memory(name: str, tmp_path: Path) -> None:
    env, num_envs, hyper = RUNS[name]
    watched = {"eval_every": 40 * num_envs, "eval_episodes": 2, "log_every": 30, "checkpoint_every": 50}
    keys = {"num_envs": num_envs, "max_episode_steps": 9}
    wide = rlbench.train(recipe=recipe(env, 54 * num_envs, {**GRU, **hyper}, **keys, seeds=3), out=tmp_path / "wide")
    one = recipe(env, 54 * num_envs, {**GRU, **hyper}, **keys, **watched, seeds=1, seed=1)
    alone = rlbench.train(recipe=one, out=tmp_path / "1").folder
    assert opened(alone)["agent"]["updates"] > 5
    assert_same(pick(opened(wide.folder)["agent"], 1, 3), opened(alone)["agent"])
    assert_same(pick(opened(wide.folder, "replay")["replay"], 1, 3), opened(alone, "replay")["replay"])
    assert rows(wide.folder, 1) == rows(alone)


@pytest.mark.parametrize(("name", "at"), [("choice", 93), ("one env", 41), ("continuous", 93)])
def test_resumed_within_a_sequence_it_is_the_same_run(
    name: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    env, num_envs, hyper = RUNS[name]
    keys = {"seeds": 2, "num_envs": num_envs, "eval_every": 20 * num_envs, "eval_episodes": 2, "log_every": 20}
    plan = recipe(env, 60 * num_envs, {**GRU, **hyper}, max_episode_steps=13, **keys)
    uncut = rlbench.train(recipe=plan, out=tmp_path / "whole").folder
    with pytest.raises(Interrupted):
        rlbench.train(recipe=plan, out=tmp_path / "cut", watcher=At(at, signal.SIGINT))
    assert opened(tmp_path / "cut", "replay")["replay"]["filled"] % 4 != 0
    assert opened(tmp_path / "cut")["agent"]["memory"].any()
    rlbench.resume(tmp_path / "cut")
    assert_same_run(tmp_path / "cut", uncut)


def test_what_is_remembered_at_first_lasts_a_sequence() -> None:
    """The gates are such that something of the first step is left at the last, of some numbers more, of others less."""
    agent = made(memory_size=64, rollout_steps=32, sequence_length=32, batch_size=32)
    kept = torch.sigmoid(agent.policy_net.cell.bias[:, 0, 64:128])
    assert 0.5 <= kept.min() < 0.7
    assert 0.95 < kept.max() <= 31 / 32


def test_a_mask_goes_with_its_steps() -> None:
    agent = made("masked")
    assert agent.spec.extras == MASK
    filled(agent)
    assert set(agent.replay.extras) == {"action_mask", "memory"}
    for part in agent.minibatches(*whole(agent)):
        assert part.extras["action_mask"].gather(-1, part.action.unsqueeze(-1)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "least", "most"), [("gru", 0.95, 1.0), ("none", -2.0, 0.5)])
def test_it_takes_memory_to_find_out_of_a_t_maze(memory: Any, least: float, most: float, tmp_path: Path) -> None:
    hyper = {
        "memory": memory, "memory_size": 32, "hidden": (32,), "rollout_steps": 32, "sequence_length": 32,
        "batch_size": 512, "epochs": 6, "learning_rate": 3e-3, "gamma": 0.98, "entropy_weight": 0.02,
    }  # fmt: skip
    keys: dict[str, Any] = {"seeds": 3, "num_envs": 32, "final_eval_episodes": 50, "env_kwargs": {"length": 3}}
    run = rlbench.train(recipe=recipe(TMAZE, 60_000, hyper, **keys), out=tmp_path / "run")
    scores = list(run.summary["final_eval_return"].values())
    assert least <= min(scores)
    assert max(scores) <= most
