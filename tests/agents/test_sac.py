"""SAC's numbers: gradients as autograd has them, targets by hand, temperature, exploration, schedules, errors."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import make_spec, random_transitions
from rlbench.agents.sac import SAC, DiscreteSAC, SACConfig
from torch import Tensor

from rlbench.agent_state import pick, same, snapshot
from rlbench.distributions import Categorical, SquashedNormal
from rlbench.errors import UsageError
from rlbench.rng import Streams
from rlbench.types import Batch, Extra, Spec, Transition

LOW, HIGH = torch.tensor([-2.0, 0.0]), torch.tensor([2.0, 0.5])
TINY: dict[str, Any] = {
    "hidden": (9, 6), "batch_size": 7, "learning_starts": 0, "capacity": 60, "gamma": 0.9,
}  # fmt: skip


def box(obs_shape: tuple[int, ...] = (3,), dtype: torch.dtype = torch.float32, **more: Any) -> Spec:
    bounds = {"action_shape": (2,), "action_low": LOW, "action_high": HIGH, "num_seeds": 3}
    return make_spec(obs_shape, dtype, None, **{**bounds, **more})


def choices(**more: Any) -> Spec:
    return make_spec((3,), num_actions=4, **{"num_seeds": 3, **more})


SPECS: dict[str, Spec] = {
    "vector": box(),
    "index": box(num_obs=5),
    "image": box((6, 7, 2), torch.uint8),
    "matrix": box((2, 2), action_shape=(2, 1), action_low=LOW.view(2, 1), action_high=HIGH.view(2, 1)),
    "discrete": choices(),
    "discrete index": make_spec(num_obs=5, num_actions=4, num_seeds=3),
    "masked": choices(extras={"action_mask": Extra((4,), torch.bool)}),
}


def made(spec: Spec | None = None, streams: Streams | None = None, **hyper: Any) -> Any:
    streams = streams or Streams((4, 9, 2))
    spec = (spec or box())._replace(num_seeds=len(streams.seeds))
    return SAC(spec, SACConfig(**{**TINY, **hyper}), streams)


def experience(spec: Spec, steps: int, **how: Any) -> Iterator[Transition]:
    """Random transitions with actions within their bounds, of which those that a mask forbids are none."""
    draws = torch.Generator().manual_seed(3)
    for t in random_transitions(spec, steps, **how):
        action, masks = t.action, {}
        if spec.action_low is not None and spec.action_high is not None:
            action = torch.minimum(torch.maximum(t.action, spec.action_low), spec.action_high)
        if spec.extras:
            legal, after = (torch.rand(*t.action.shape, 4, generator=draws) > 0.5 for _ in range(2))
            legal = legal.scatter(-1, t.action.unsqueeze(-1), True)
            after[..., 0] |= ~t.terminated  # an episode that has ended may have nothing that is legal
            masks = {"extras": {"action_mask": legal}, "next_extras": {"action_mask": after}}
        yield t._replace(action=action, **masks)


def filled(agent: Any, steps: int = 40) -> Any:
    for transition in experience(agent.spec, steps):
        agent.replay.add(transition)
    return agent


def losses(before: Any, after: Any, batch: Batch, beside: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Those of critics, actor and entropy, for autograd: the actor's by the critics that have learned already."""
    c, alpha = before.config, before.log_alpha.exp()
    if isinstance(before, DiscreteSAC):
        next_legal, legal = beside or (None, None)
        then = Categorical(before.actor(batch.next_obs), next_legal)
        next_q = torch.minimum(*of_both(before.targets, batch.next_obs))
        value = (then.probabilities * (next_q - alpha.unsqueeze(-1) * then.log_probs)).sum(-1)
        taken = [q.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1) for q in of_both(before.critics, batch.obs)]
        policy = Categorical(before.actor(batch.obs), legal)
        lower = torch.minimum(*of_both(after.critics, batch.obs)).detach()
        actor_loss = (policy.probabilities * (alpha.unsqueeze(-1) * policy.log_probs - lower)).sum(-1)
        entropy = policy.entropy()
    else:
        shape = before.spec.action_shape
        half, middle = (before.spec.action_high - before.spec.action_low) / 2, before.middle
        action = (batch.action - middle) / half
        drawn = []
        for obs, noise in zip((batch.next_obs, batch.obs), beside, strict=True):
            mean, log_std = before.actor(obs).view(3, 7, 2, *shape).unbind(2)
            policy = SquashedNormal(mean, log_std.clamp(-10, 2))
            raw = mean + log_std.clamp(-10, 2).exp() * noise
            drawn.append((policy.action(raw), policy.log_prob(raw)))
        (next_action, next_log_prob), (now, log_prob) = drawn
        value = torch.minimum(*of_both(before.targets, batch.next_obs, next_action)) - alpha * next_log_prob
        taken = of_both(before.critics, batch.obs, action)
        actor_loss = alpha * log_prob - torch.minimum(*of_both(after.critics, batch.obs, now))
        entropy = -log_prob
    target = (batch.reward + batch.discount * value).detach()
    critic_loss = sum(((q - target).square().mean(1) for q in taken), torch.zeros(()))
    assert c.batch_size == batch.reward.shape[1]
    return critic_loss, actor_loss.mean(1), entropy.mean(1)


def of_both(critics: Any, *inputs: Tensor) -> list[Tensor]:
    """What each of the two critics says, in turns with the seeds."""
    out = critics(*(x.repeat_interleave(2, 0) for x in inputs))
    return [out[0::2], out[1::2]]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("hyper", [{}, {"layer_norm": True, "n_step": 3, "alpha": 0.3}])
def test_gradients_are_those_of_autograd(name: str, hyper: dict[str, Any]) -> None:
    before, after = (filled(made(SPECS[name], **hyper)) for _ in range(2))
    for agent in (before, after):  # some deviations lie beyond their bounds, and have no gradient
        if not isinstance(agent, DiscreteSAC):
            list(agent.actor.parameters())[-1].data[..., -1] += 2.0
    batch = before.replay.sample(7)
    beside = before.beside(batch, *before.numbers())
    metrics = after.learn_from(after.replay.sample(7))
    for net in (before.actor, before.critics, after.critics):
        net.requires_grad_(True)
    critic_loss, actor_loss, entropy = losses(before, after, batch, beside)
    for part, loss in (("critics", critic_loss), ("actor", actor_loss)):
        net = getattr(before, part)
        expected = torch.autograd.grad(loss.sum(), list(net.parameters()), retain_graph=True)
        assert any(grad.abs().max() > 1e-3 for grad in expected)
        for own, oracle in zip(after.online[part].grads, expected, strict=True):
            torch.testing.assert_close(own, oracle, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(metrics["critic_loss"], critic_loss.detach())
    torch.testing.assert_close(metrics["actor_loss"], actor_loss.detach())
    torch.testing.assert_close(metrics["entropy"], entropy.detach())


class Plain(torch.nn.Module):
    """A network that has nothing but ``forward``."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class OfTheirOwn(SAC):
    def make_actor(self, spec: Spec, init: Any) -> torch.nn.Module:
        return Plain(super().make_actor(spec, init))


def test_an_actor_may_be_any_stacked_module() -> None:
    ours = filled(made())
    theirs = filled(OfTheirOwn(ours.spec, ours.config, Streams((4, 9, 2))))
    for agent in (ours, theirs):
        for transition in experience(agent.spec, 3):
            agent.act(transition.obs, explore=True)
            agent.observe(transition)
            agent.update()
        assert agent.updates == 3
    for own, other in zip(ours.online.values(), theirs.online.values(), strict=True):
        torch.testing.assert_close(own.data, other.data, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["vector", "discrete"])
def test_every_part_takes_adams_step_and_targets_follow(name: str) -> None:
    agent = filled(made(SPECS[name], tau=0.1, critic_learning_rate=2e-3, alpha_learning_rate=0.1))
    old = {part: flat.data.clone() for part, flat in agent.online.items()}
    target = agent.target.data.clone()
    agent.learn_from(agent.replay.sample(7))
    for part, rate in (("actor", 3e-4), ("critics", 2e-3), ("alpha", 0.1)):
        flat = agent.online[part]
        step = (flat.data - old[part])[flat.grad.abs() > 1e-5]  # Adam's first step is as long as its rate, anywhere
        torch.testing.assert_close(step.abs(), torch.full_like(step, rate), rtol=2e-2, atol=1e-6)
    torch.testing.assert_close(agent.target.data, 0.9 * target + 0.1 * agent.online["critics"].data)


def constant(agent: Any) -> Any:
    """Critics that say 0 and targets that say 2 and 3, whatever they see; an actor that draws from tanh(N(0, 1))."""
    for net in (agent.actor, agent.critics, agent.targets):
        for parameter in net.parameters():
            parameter.data.zero_()
    bias = list(agent.targets.parameters())[-1]
    bias.data[0::2], bias.data[1::2] = 2.0, 3.0
    return agent


@pytest.mark.parametrize(("terminated", "truncated"), [(True, False), (False, True), (False, False)])
def test_targets_by_hand(terminated: bool, truncated: bool) -> None:
    """The lower critic's value, less the temperature's worth of certainty, unless the episode terminated."""
    agent = constant(made(alpha=0.5))
    flags = [torch.full((3, 1), flag) for flag in (terminated, truncated)]
    obs, action = torch.ones(3, 1, 3), torch.tensor([0.4, 0.1]).expand(3, 1, 2)
    agent.replay.add(Transition(obs, action, torch.full((3, 1), 1.5), obs * 2, *flags))
    batch = agent.replay.sample(7)
    twin = made()
    noise, _ = twin.beside(batch, *twin.numbers())  # (3, 7, 2), the numbers that will be drawn
    metrics = agent.learn_from(batch)
    density = -0.5 * noise.square() - 0.5 * math.log(2 * math.pi) - torch.log(1 - torch.tanh(noise) ** 2)
    value = 2.0 - 0.5 * density.sum(-1)  # the action counts as scaled to -1..1
    target = 1.5 + (0.0 if terminated else 0.9) * value
    torch.testing.assert_close(metrics["critic_loss"], 2 * target.square().mean(1))


@pytest.mark.parametrize("terminated", [True, False])
def test_discrete_targets_by_hand(terminated: bool) -> None:
    mask = torch.tensor([True, False, True, False]).expand(3, 1, 4)
    agent = constant(made(SPECS["masked"], alpha=0.5))
    obs, flag = torch.ones(3, 1, 3), torch.full((3, 1), terminated)
    next_mask = mask if not terminated else torch.zeros_like(mask)  # nothing is legal after the end
    reward, action = torch.full((3, 1), 1.5), torch.zeros(3, 1, dtype=torch.int64)
    masks: dict[str, Any] = {"extras": {"action_mask": mask}, "next_extras": {"action_mask": next_mask}}
    agent.replay.add(Transition(obs, action, reward, obs * 2, flag, ~flag, **masks))
    metrics = agent.learn_from(agent.replay.sample(7))
    target = 1.5 + (0.0 if terminated else 0.9 * (2.0 + 0.5 * math.log(2)))  # two choices, as likely
    torch.testing.assert_close(metrics["critic_loss"], torch.full((3,), 2 * target**2))
    torch.testing.assert_close(metrics["entropy"], torch.full((3,), math.log(2)))


@pytest.mark.parametrize(("wanted", "falls"), [(-50.0, True), (50.0, False)])
def test_the_temperature_moves_to_the_entropy_that_is_wanted(wanted: float, falls: bool) -> None:
    agent = filled(made(alpha=0.2, target_entropy=wanted, alpha_learning_rate=0.01))
    said = [agent.learn_from(agent.replay.sample(7))["alpha"] for _ in range(6)]
    torch.testing.assert_close(said[0], torch.full((3,), 0.2))  # what was used, before it moved
    torch.testing.assert_close(said[1], torch.full((3,), 0.2 * math.exp(-0.01 if falls else 0.01)))
    assert (said[-1] < said[0]).all() == falls
    fixed = filled(made(alpha=0.2, target_entropy=wanted, learn_alpha=False))
    said = [fixed.learn_from(fixed.replay.sample(7))["alpha"] for _ in range(3)]
    torch.testing.assert_close(said[-1], torch.full((3,), 0.2))


def test_what_entropy_is_wanted() -> None:
    assert made().target_entropy == -2.0
    assert made(target_entropy=-0.5).target_entropy == -0.5
    assert made(SPECS["discrete"]).target_entropy == 0.5
    agent = filled(made(SPECS["masked"], target_entropy=1.0))  # all that there can be, by the actions that are legal
    agent.online["actor"].data.zero_()
    agent.learn_from(agent.replay.sample(7))
    assert agent.online["alpha"].grads[0].abs().max() < 1e-6
    agent = filled(made(SPECS["discrete"], target_entropy=0.25))
    agent.online["actor"].data.zero_()
    agent.learn_from(agent.replay.sample(7))
    torch.testing.assert_close(agent.online["alpha"].grads[0], torch.full((3, 1), 0.75 * math.log(4)))


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_random_actions_fill_the_bounds_evenly(correlation: float) -> None:
    agent = made(box(num_envs=50), learning_starts=10**6, noise_correlation=correlation)
    obs = torch.zeros(3, 50, 3)
    for _ in range(60):  # until the noise has forgotten that it began at 0
        agent.act(obs, explore=True)
    drawn = torch.stack([agent.act(obs, explore=True) for _ in range(400)])  # (T, S, E, 2)
    assert ((drawn >= LOW) & (drawn <= HIGH)).all()
    share = (drawn - LOW) / (HIGH - LOW)
    for tenth in range(10):
        found = ((share >= tenth / 10) & (share < (tenth + 1) / 10)).float().mean().item()
        assert found == pytest.approx(0.1, abs=0.01)
    z = torch.erfinv((2 * share.double() - 1).clamp(-1 + 1e-9, 1 - 1e-9))
    alike = (z[1:] * z[:-1]).mean() / z.square().mean()
    assert alike.item() == pytest.approx(correlation, abs=0.03)


def test_exploring_draws_around_the_policy_and_greedy_takes_its_middle() -> None:
    agent = constant(made(box(num_envs=2000), capacity=2000))
    obs = torch.zeros(3, 2000, 3)
    greedy, drawn = agent.act(obs, explore=False), agent.act(obs, explore=True)
    torch.testing.assert_close(greedy, ((LOW + HIGH) / 2).expand(3, 2000, 2))
    raw = torch.atanh((drawn.double() - (LOW + HIGH) / 2) / ((HIGH - LOW) / 2))
    assert raw.mean().abs() < 0.05
    assert raw.std().item() == pytest.approx(1, abs=0.05)
    seen = agent.explain(obs[:, :5])
    assert (seen["value"] == 0).all()
    torch.testing.assert_close(seen["mean"], greedy[:, :5])
    torch.testing.assert_close(seen["std"], drawn.std(1, keepdim=True).expand(3, 5, 2), rtol=0.1, atol=0)


def test_discrete_exploring_draws_by_chances_and_never_what_is_forbidden() -> None:
    spec = SPECS["masked"]._replace(num_envs=500)
    legal = torch.tensor([True, True, False, True]).expand(3, 500, 4)
    obs, extras = torch.zeros(3, 500, 3), {"action_mask": legal}
    for starts in (10**6, 0):
        agent = made(spec, learning_starts=starts, capacity=5000)
        agent.online["actor"].data.zero_()
        list(agent.actor.parameters())[-1].data[..., 2:] = 1.0
        drawn = torch.cat([agent.act(obs, explore=True, extras=extras) for _ in range(5)], 1)
        shares = [(drawn == a).float().mean().item() for a in range(4)]
        expected = [1 / (2 + math.e), 1 / (2 + math.e), 0.0, math.e / (2 + math.e)] if not starts else [1 / 3] * 4
        assert shares[2] == 0.0
        for a in (0, 1, 3):
            assert shares[a] == pytest.approx(expected[a], abs=0.04)
        assert (agent.act(obs, explore=False, extras=extras) == 3).all()
        said = agent.explain(obs, extras)
        assert said["q_values"][..., 2].isneginf().all()
        assert said["probabilities"][..., 2].eq(0).all()
        assert said["value"].isfinite().all()


@pytest.mark.parametrize(
    ("num_envs", "hyper", "updates"),
    [
        (1, {}, 20), (1, {"train_every": 3}, 6), (4, {"train_every": 4}, 20), (4, {}, 80),
        (1, {"train_every": 5, "updates_per_train": 3}, 12), (1, {"learning_starts": 12}, 8),
    ],
)  # fmt: skip
def test_updates_are_counted_by_env_steps(num_envs: int, hyper: dict[str, Any], updates: int) -> None:
    agent = made(box(num_envs=num_envs), **hyper)
    for transition in experience(agent.spec, 20):
        agent.observe(transition)
        assert bool(agent.update()) == (agent.updates > 0 and agent.env_steps % agent.config.train_every == 0)
    assert agent.updates == updates


def test_step_sizes_fall_in_a_straight_line() -> None:
    spec = box(total_steps=100)
    agent = filled(made(spec, learning_rate=1e-3, critic_learning_rate=4e-3, learning_rate_end=5e-4))
    agent.env_steps = 50
    agent.learn_from(agent.replay.sample(7))
    assert agent.adams["actor"].learning_rate == pytest.approx(7.5e-4)
    assert agent.adams["critics"].learning_rate == pytest.approx(3e-3)


@pytest.mark.parametrize("name", SPECS)
def test_width_and_states_that_are_taken_over(name: str) -> None:
    """Seed 1 of three, alone, from its own state on too: an odd batch, three envs, noise that lasts."""
    correlated = {} if "discrete" in name or name == "masked" else {"noise_correlation": 0.8}
    spec = SPECS[name]._replace(num_envs=3)
    hyper = {"learning_starts": 12, "train_every": 2, "updates_per_train": 2, **correlated}
    streams = [Streams((4, 9, 2)), Streams((9,))]
    wide, alone = (made(spec, own, **hyper) for own in streams)
    first: list[Any] = []
    for step, transition in enumerate(experience(spec, 20)):
        own = Transition(*(x[1:2] for x in transition))
        for key in ("extras", "next_extras"):
            setattr(own, key, {k: x[1:2] for k, x in getattr(transition, key).items()})
        drawn = [
            agent.act(t.obs, explore=True, **({"extras": t.extras} if t.extras else {}))
            for agent, t in ((wide, transition), (alone, own))
        ]
        assert torch.equal(drawn[0][1:2], drawn[1])
        for agent, t in ((wide, transition), (alone, own)):
            agent.observe(t)
        metrics = wide.update(), alone.update()
        assert same(pick(snapshot(metrics[0]), 1, 3), metrics[1])
        if step == 11:  # another one takes the place of the one that is alone
            first = [snapshot(alone.state_dict()), snapshot(alone.replay.state_dict()), streams[1].state_dict()]
            streams[1] = Streams((9,))
            alone = made(spec, streams[1], **hyper)
            alone.load_state_dict(first[0])
            alone.replay.load_state_dict(first[1])
            streams[1].load_state_dict(first[2])
    assert alone.updates == 48
    assert same(pick(snapshot(wide.state_dict()), 1, 3), snapshot(alone.state_dict()))


def test_looking_leaves_no_trace() -> None:
    for name, more in (("vector", {}), ("masked", {"extras": {"action_mask": torch.ones(3, 5, 4, dtype=torch.bool)}})):
        agent = filled(made(SPECS[name]))
        agent.learn_from(agent.replay.sample(7))
        before = snapshot(agent.state_dict()), agent.explore.position, agent.replay.stream.position
        obs = torch.ones(3, 5, 3)
        agent.act(obs, explore=False, **more)
        agent.explain(obs, **more)
        said = agent.diagnostics()
        assert said["q_values"].shape == (3, 2, 7)
        assert said["gradients"].abs().sum(1).all()
        assert same((snapshot(agent.state_dict()), agent.explore.position, agent.replay.stream.position), before)
    assert made().diagnostics() == {}


def test_actions_of_one_value_and_of_the_widest_bounds() -> None:
    low, high = torch.tensor([1.0, -3.4e38]), torch.tensor([1.0, 3.4e38])
    agent = filled(made(box(action_low=low, action_high=high)))
    agent.learn_from(agent.replay.sample(7))
    for explore in (True, False):
        action = agent.act(torch.zeros(3, 1, 3), explore=explore)
        assert (action[..., 0] == 1).all()
        assert action.isfinite().all()
    assert agent.online["critics"].data.isfinite().all()


def test_errors_say_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"sac takes one action.*wants 2 choices at once"):
        made(make_spec((3,), num_actions=None, action_shape=(2,), action_sizes=(3, 2)))
    with pytest.raises(UsageError, match=r"sac needs bounded actions.*--wrapper"):
        made(box(action_low=torch.tensor([-math.inf, 0.0])))
    with pytest.raises(UsageError, match=r"sac\.n_step 9 does not fit .* raise capacity to 9 or more"):
        made(n_step=9, capacity=8)
    with pytest.raises(UsageError, match=r"sac\.noise_correlation is for continuous actions"):
        made(SPECS["discrete"], noise_correlation=0.5)
    for odd in (-1.0, 1.5):
        with pytest.raises(UsageError, match=r"sac\.target_entropy is .* discrete actions it is a share .* 0 to 1"):
            made(SPECS["discrete"], target_entropy=odd)
    with pytest.raises(UsageError, match="Own is a SAC of continuous actions: derive it from DiscreteSAC"):
        type("Own", (SAC,), {})(choices(), SACConfig(), Streams([0, 1, 2]))
    with pytest.raises(ValueError, match="capacity 5 is smaller than batch_size 7"):
        SACConfig(capacity=5, batch_size=7)
    with pytest.raises(ValueError, match="every layer needs at least one unit"):
        SACConfig(hidden=(4, 0))
    assert isinstance(type("Own", (DiscreteSAC,), {})(choices(), SACConfig(), Streams([0, 1, 2])), DiscreteSAC)
