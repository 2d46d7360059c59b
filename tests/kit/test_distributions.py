"""Distributions of actions: torch's as oracle, their draws by their own densities, width with odd sizes."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import Tensor

from rlbench.distributions import Categorical, DiagonalNormal, MultiCategorical, SquashedNormal
from rlbench.rng import Stream

SEEDS = [3, 8, 5]
LOW, HIGH = torch.tensor([-2.0, 0.0, -1.0]), torch.tensor([2.0, 0.5, 7.0])


def normals(*shape: int, seeds: list[int] = SEEDS, name: str = "x") -> Tensor:
    return Stream(seeds, name).normal(*shape)


def test_categorical_is_torchs() -> None:
    logits = (normals(7, 5) * 3).requires_grad_()
    ours, oracle = Categorical(logits), torch.distributions.Categorical(logits=logits)
    action = ours.sample(Stream(SEEDS, "draw"))
    torch.testing.assert_close(ours.probabilities, oracle.probs)
    torch.testing.assert_close(ours.log_prob(action), oracle.log_prob(action))
    torch.testing.assert_close(ours.entropy(), oracle.entropy())
    assert torch.equal(ours.mode, logits.argmax(-1))
    found, expected = (torch.autograd.grad((d.log_prob(action) + d.entropy()).sum(), logits)[0] for d in (ours, oracle))
    torch.testing.assert_close(found, expected)


def test_what_a_mask_leaves_out_has_no_chance_and_no_gradient() -> None:
    logits = (normals(7, 5) * 3).requires_grad_()
    mask = normals(7, 5, name="mask") > 0.3
    mask[..., 3] = True
    mask[:, 0] = torch.tensor([False, True, False, False, False])  # one alone
    ours = Categorical(logits, mask)
    only = torch.distributions.Categorical(logits=logits.masked_fill(~mask, -math.inf))
    torch.testing.assert_close(ours.probabilities, only.probs)
    assert not ours.probabilities[~mask].any()
    expected = -(only.probs * only.logits.clamp(min=-1e9)).sum(-1)
    torch.testing.assert_close(ours.entropy(), expected)
    assert ours.entropy()[:, 0].abs().max() < 1e-6
    stream = Stream(SEEDS, "draw")
    for _ in range(200):
        action = ours.sample(stream)
        assert mask.gather(-1, action.unsqueeze(-1)).all()
    assert mask.gather(-1, ours.mode.unsqueeze(-1)).all()
    (gradient,) = torch.autograd.grad((ours.log_prob(action) + ours.entropy()).sum(), logits)
    assert gradient.isfinite().all()
    assert not gradient[~mask].any()
    assert gradient[mask].any()


def test_categorical_draws_by_its_probabilities() -> None:
    logits = normals(1, 4).expand(3, 20_000, 4)
    policy = Categorical(logits)
    drawn = policy.sample(Stream(SEEDS, "draw"))
    for row, chances in zip(drawn, policy.probabilities[:, 0], strict=True):
        expected = chances * 20_000
        assert ((torch.bincount(row, minlength=4) - expected) ** 2 / expected).sum() < 16.3  # 3 degrees, p = 0.001


@pytest.mark.parametrize("masked", [False, True])
def test_several_choices_are_categoricals_side_by_side(masked: bool) -> None:
    sizes = (2, 1, 4)
    logits = normals(7, 7) * 3
    mask = (normals(7, 7, name="mask") > 0) | (torch.arange(7) % 2 == 0) if masked else None
    policy = MultiCategorical(logits, sizes, mask)
    edges = [slice(0, 2), slice(2, 3), slice(3, 7)]
    alone = [Categorical(logits[..., at], None if mask is None else mask[..., at]) for at in edges]
    drawn = policy.sample(Stream(SEEDS, "draw"))
    assert (drawn.shape, drawn.dtype, policy.mode.dtype) == ((3, 7, 3), torch.int64, torch.int64)
    stream = Stream(SEEDS, "draw")
    for i, part in enumerate(alone):
        assert torch.equal(drawn[..., i], part.sample(stream))
        assert torch.equal(policy.mode[..., i], part.mode)
    torch.testing.assert_close(policy.log_prob(drawn), sum(p.log_prob(drawn[..., i]) for i, p in enumerate(alone)))
    torch.testing.assert_close(policy.entropy(), sum(part.entropy() for part in alone))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_a_diagonal_normal_is_torchs(shape: tuple[int, ...]) -> None:
    mean = normals(7, *shape).requires_grad_()
    log_std = (normals(1, *shape, name="s") * 0.5 - 1).requires_grad_()  # the same in every state
    ours = DiagonalNormal(mean, log_std)
    oracle = torch.distributions.Independent(
        torch.distributions.Normal(mean, log_std.exp().expand_as(mean)), len(shape)
    )
    action = ours.sample(Stream(SEEDS, "draw"))
    assert action.shape == mean.shape
    assert torch.equal(ours.mode, mean)
    torch.testing.assert_close(ours.log_prob(action), oracle.log_prob(action))
    torch.testing.assert_close(ours.entropy(), oracle.entropy())
    fixed = action.detach()
    for of in (lambda d: d.log_prob(fixed).sum(), lambda d: d.entropy().sum()):
        grads = [
            torch.autograd.grad(of(d), [mean, log_std], allow_unused=True, retain_graph=True) for d in (ours, oracle)
        ]
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(
                torch.zeros(()) if one is None else one, torch.zeros(()) if other is None else other
            )
    to_mean, to_log_std = torch.autograd.grad(action.sum(), [mean, log_std])  # through the draw
    torch.testing.assert_close(to_mean, torch.ones_like(mean))
    torch.testing.assert_close(to_log_std, (action - mean).sum(1, keepdim=True))


def squashed(mean: Tensor, log_std: Tensor) -> tuple[SquashedNormal, torch.distributions.Distribution]:
    ours = SquashedNormal(mean, log_std, LOW.to(mean.dtype), HIGH.to(mean.dtype))
    transforms = [
        torch.distributions.TanhTransform(),
        torch.distributions.AffineTransform((LOW + HIGH) / 2, (HIGH - LOW) / 2),
    ]
    oracle = torch.distributions.TransformedDistribution(torch.distributions.Normal(mean, log_std.exp()), transforms)
    return ours, torch.distributions.Independent(oracle, 1)


def test_log_probabilities_of_squashed_normals_are_torchs() -> None:
    mean, log_std = normals(7, 3).double(), normals(7, 3, name="s").double() * 0.3 - 1
    ours, oracle = squashed(mean, log_std)
    raw = ours.sample(Stream(SEEDS, "draw")).clamp(-6, 6)  # beyond, torch cannot find back from the action
    action = ours.action(raw)
    assert ((action >= LOW) & (action <= HIGH)).all()
    torch.testing.assert_close(ours.log_prob(raw), oracle.log_prob(action), rtol=1e-5, atol=1e-5)


def test_log_probabilities_at_the_bounds_are_sound() -> None:
    """Where tanh rounds to 1, log(1 - tanh**2) is minus infinity; here it goes on falling, with a gradient."""
    raw = torch.tensor([-200.0, -50.0, -9.5, 0.0, 9.5, 50.0, 200.0]).view(1, -1, 1).requires_grad_()
    policy = SquashedNormal(raw.detach(), torch.zeros(1, 7, 1))  # at its own mean the normal's part is one number
    slope = policy.log_prob(raw) + 0.5 * math.log(2 * math.pi)
    x = raw.detach().abs().double().flatten()
    exact = -(2 * math.log(2) - 2 * x - 2 * torch.log1p(torch.exp(-2 * x)))
    torch.testing.assert_close(slope.detach().flatten().double(), exact, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(slope.sum(), raw)
    torch.testing.assert_close(gradient.flatten(), 2 * torch.tanh(raw.detach()).flatten())
    actions = SquashedNormal(raw.detach(), torch.zeros(1, 7, 1), torch.tensor([0.1]), torch.tensor([0.7])).action(
        raw.detach()
    )
    assert actions.min() == torch.tensor(0.1)
    assert actions.max() == torch.tensor(0.7)


def test_one_bound_of_a_squashed_normal_may_be_left_out() -> None:
    mean, log_std = normals(7, 3), normals(7, 3, name="s") - 1
    one = SquashedNormal(mean, log_std, high=HIGH)
    both = SquashedNormal(mean, log_std, -torch.ones(3), HIGH)
    raw = one.sample(Stream(SEEDS, "draw"))
    assert torch.equal(one.action(raw), both.action(raw))
    assert torch.equal(one.log_prob(raw), both.log_prob(raw))


@pytest.mark.parametrize("std", [0.05, 0.6, 2.0, math.exp(2)])
@pytest.mark.parametrize("mean", [0.0, 0.7, -3.0])
def test_entropy_of_squashed_normals_is_the_integral(mean: float, std: float) -> None:
    def at(z: float) -> float:
        x = mean + std * z
        slope = math.log(3.5) + 2 * (math.log(2) - x - np.logaddexp(0, -2 * x))
        return slope * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

    exact = 0.5 * math.log(2 * math.pi * math.e * std**2) + integrate.quad(at, -12, 12, limit=500)[0]
    policy = SquashedNormal(
        torch.full((1, 1, 1), mean), torch.full((1, 1, 1), math.log(std)), torch.tensor([1.0]), torch.tensor([8.0])
    )
    assert policy.entropy().item() == pytest.approx(exact, abs=1e-3)


def test_the_density_of_a_squashed_normal_sums_to_one() -> None:
    policy = SquashedNormal(
        torch.full((1, 1, 1), 0.4), torch.full((1, 1, 1), -0.5), torch.tensor([1.0]), torch.tensor([3.0])
    )
    raw = torch.linspace(-7, 7, 20_001).view(1, -1, 1)
    density = policy.log_prob(raw).exp().flatten()
    assert torch.trapezoid(density, policy.action(raw).flatten()).item() == pytest.approx(1, abs=1e-3)


def test_gradients_go_through_a_squashed_draw() -> None:
    mean, log_std = normals(5, 3).requires_grad_(), (normals(5, 3, name="s") * 0.2).requires_grad_()
    ours, oracle = squashed(mean, log_std)
    raw = ours.sample(Stream(SEEDS, "draw"))
    noise = ((raw - mean) / log_std.exp()).detach()
    again = mean + log_std.exp() * noise
    assert isinstance(oracle, torch.distributions.Independent)
    action = oracle.base_dist.transforms[1](torch.tanh(again))
    expected = torch.autograd.grad((oracle.log_prob(action) + action.sum(-1)).sum(), [mean, log_std])
    found = torch.autograd.grad((ours.log_prob(raw) + ours.action(raw).sum(-1)).sum(), [mean, log_std])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
@pytest.mark.parametrize("bounded", [False, True])
def test_the_way_back_through_a_squashed_draw_is_autograds(shape: tuple[int, ...], bounded: bool) -> None:
    mean, log_std = (normals(5, *shape) * 2).requires_grad_(), (normals(5, *shape, name="s") - 1).requires_grad_()
    bounds = (torch.full(shape, -0.5), torch.full(shape, 2.0)) if bounded else (None, None)
    policy = SquashedNormal(mean, log_std, *bounds)
    raw = policy.sample(Stream(SEEDS, "draw"))
    expected = policy.action(raw), policy.log_prob(raw)
    at_action, at_log_prob = normals(5, *shape, name="a"), normals(5, name="l")
    total = (expected[0] * at_action).sum() + (expected[1] * at_log_prob).sum()
    by_autograd = torch.autograd.grad(total, [mean, log_std])
    with torch.inference_mode():
        noise = Stream(SEEDS, "draw").normal(5, *shape)
        action, log_prob, pull = SquashedNormal(mean, log_std, *bounds).vjp(noise)
        by_hand = pull(at_action, at_log_prob)
    for one, other in zip((action, log_prob, *by_hand), (*expected, *by_autograd), strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.05), (0.7, 1.0), (-1.5, 0.5), (0.3, 7.0)])
def test_moments_of_squashed_normals_are_the_integrals(mean: float, std: float) -> None:
    def expected(of: Callable[[float], float]) -> float:
        def at(z: float) -> float:
            return of(1 + 3.5 * (math.tanh(mean + std * z) + 1)) * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

        return float(integrate.quad(at, -12, 12, limit=500)[0])

    policy = SquashedNormal(
        torch.full((1, 1, 1), mean), torch.full((1, 1, 1), math.log(std)), torch.tensor([1.0]), torch.tensor([8.0])
    )
    middle, deviation = policy.moments()
    exact = expected(lambda a: a)
    assert middle.item() == pytest.approx(exact, abs=7e-3)  # of a width of 7
    assert deviation.item() == pytest.approx(expected(lambda a: (a - exact) ** 2) ** 0.5, abs=7e-3)


def by_categorical(x: Tensor, y: Tensor) -> Any:
    return Categorical(x * 2, (y > -0.5) | (torch.arange(x.shape[-1]) == 0))


PULLED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "categorical": lambda x, y: Categorical(x * 2),
    "masked": by_categorical,
    "several": lambda x, y: MultiCategorical(torch.cat([x, y], -1), (x.shape[-1], y.shape[-1])),
    "normal": lambda x, y: DiagonalNormal(x, y * 0.3),
    "normal, one deviation": lambda x, y: DiagonalNormal(x, y[:, :1] * 0.3),
}


@pytest.mark.parametrize("at_entropy", [0.0, -0.7])
@pytest.mark.parametrize(
    ("kind", "width"), [*itertools.product(PULLED, [(1,), (5,)]), *itertools.product(["normal"], [(3, 2), ()])]
)
def test_gradients_by_hand_are_autograds(kind: str, width: tuple[int, ...], at_entropy: float) -> None:
    """Those at what the distribution was made of, pulled on by autograd to where that came from."""
    x, y = (normals(7, *width, name=name).requires_grad_() for name in "xy")
    policy, upstream = PULLED[kind](x, y), normals(7, name="up")
    action = policy.sample(Stream(SEEDS, "draw")).detach()
    loss = (policy.log_prob(action) * upstream + at_entropy * policy.entropy()).sum()
    expected = torch.autograd.grad(loss, [x, y], allow_unused=True, retain_graph=True)
    if isinstance(policy, DiagonalNormal):
        made_of = [policy.mean, policy.log_std]
    else:  # of logits, which parts hold the normalised form of: what sums to 0 over a row passes through as it is
        parts = policy.parts if isinstance(policy, MultiCategorical) else [policy]
        made_of = [part.log_probs for part in parts]
    with torch.no_grad():
        pulled = list(policy.pull(action, upstream, at_entropy))
    if not isinstance(policy, DiagonalNormal):
        pulled = list(pulled[0].split([part.shape[-1] for part in made_of], -1))
    found = torch.autograd.grad(made_of, [x, y], pulled, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


BUILD: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "categorical": by_categorical,
    "several": lambda x, y: MultiCategorical(torch.cat([x, y], -1), (x.shape[-1], y.shape[-1])),
    "normal": lambda x, y: DiagonalNormal(x, y * 0.3),
    "normal, one deviation": lambda x, y: DiagonalNormal(x, y[:, :1] * 0.3),
    "squashed": lambda x, y: SquashedNormal(x * 3, y * 0.3),
    "bounded": lambda x, y: SquashedNormal(x, y, -torch.ones(x.shape[-1]) * 0.3, torch.ones(x.shape[-1])),
}


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("rows", [1, 3, 7, 33, 50])
@pytest.mark.parametrize("width", [1, 2, 5, 9, 17, 33])
def test_width_of_values_and_of_gradients(kind: str, rows: int, width: int) -> None:
    def used(seeds: list[int]) -> list[Tensor]:
        x, y = (normals(rows, width, seeds=seeds, name=name).requires_grad_() for name in "xy")
        policy = BUILD[kind](x, y)
        drawn = policy.sample(Stream(seeds, "draw"))
        results = [policy.mode, drawn, policy.log_prob(drawn.detach()), policy.log_prob(drawn), policy.entropy()]
        if hasattr(policy, "pull"):
            with torch.no_grad():
                results += policy.pull(drawn, normals(rows, seeds=seeds, name="up"), 0.3)
        if isinstance(policy, SquashedNormal):
            results.append(policy.action(drawn))
            results += policy.moments()
            with torch.no_grad():
                action, log_prob, pull = policy.vjp(Stream(seeds, "draw").normal(rows, width))
                results += [action, log_prob, *pull(x.detach(), y.detach()[..., 0])]
        total = sum((i + 1) * result.sum() for i, result in enumerate(results) if result.requires_grad)
        grads = torch.autograd.grad(total, [x, y], allow_unused=True)
        return [result.detach() for result in (*results, *grads) if result is not None]

    together = used(SEEDS)
    for s, seed in enumerate(SEEDS):
        for i, (one, other) in enumerate(zip(used([seed]), together, strict=True)):
            assert torch.equal(one[0], other[s]), f"result {i}"
