"""Tests of rlbench.functional: numbers worked by hand, and torch's own losses as oracle."""

import math

import pytest
import torch
from torch import Tensor

from rlbench import functional


def t(*rows: object) -> Tensor:
    return torch.tensor(rows)


def test_td_target_is_cut_at_termination_and_not_at_truncation() -> None:
    gamma = 0.9
    # One seed, three transitions with value 10 behind each: going on, truncated, terminated.
    terminated = t([0.0, 0.0, 1.0])
    target = functional.td_target(t([1.0, 2.0, 3.0]), gamma * (1 - terminated), t([10.0, 10.0, 10.0]))
    torch.testing.assert_close(target, t([10.0, 11.0, 3.0]))


def test_td_target_takes_each_samples_own_discount() -> None:
    target = functional.td_target(t([1.0, -1.0], [0.0, 2.0]), t([0.5, 0.25], [1.0, 0.0]), t([4.0, 8.0], [3.0, 7.0]))
    assert target.tolist() == [[3.0, 1.0], [3.0, 2.0]]


def test_td_target_refuses_to_broadcast() -> None:
    with pytest.raises(ValueError, match=r"one shape.*\(2, 1\)"):  # (S, B) - (S, 1) is the classic silent mistake
        functional.td_target(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="one shape"):
        functional.double_value(torch.zeros(2, 3, 4), torch.zeros(2, 1, 4))


def test_double_value_takes_the_online_choice_and_the_targets_value_of_it() -> None:
    online = t([[1.0, 5.0, 2.0], [7.0, 0.0, 0.0]])
    target = t([[9.0, 3.0, 4.0], [-2.0, 6.0, 1.0]])
    assert functional.max_value(target).tolist() == [[9.0, 6.0]]
    assert functional.max_value(online).tolist() == [[5.0, 7.0]]
    assert functional.double_value(online, target).tolist() == [[3.0, -2.0]]
    assert functional.double_value(target, target).tolist() == [[9.0, 6.0]]  # with one network the two agree


def test_squared_loss_by_hand_and_like_torch() -> None:
    error = t(-3.0, -0.5, 0.0, 2.0).requires_grad_()
    loss, slope = functional.squared_loss(error)
    assert loss.tolist() == [9.0, 0.25, 0.0, 4.0]
    assert torch.equal(loss, torch.nn.functional.mse_loss(error, torch.zeros(4), reduction="none"))
    assert torch.autograd.grad(loss.sum(), error)[0].tolist() == slope.tolist() == [-6.0, -1.0, 0.0, 4.0]


def test_huber_loss_by_hand() -> None:
    loss, slope = functional.huber_loss(t(-3.0, -1.0, 0.5, 0.0, 1.0, 2.0))
    assert loss.tolist() == [2.5, 0.5, 0.125, 0.0, 0.5, 1.5]
    assert slope.tolist() == [-1.0, -1.0, 0.5, 0.0, 1.0, 1.0]
    assert functional.huber_loss(t(3.0), delta=2.0)[0].tolist() == [4.0]


def test_the_clipped_gain_by_hand_and_its_slope_by_autograd() -> None:
    ratio, advantage = t(0.5, 0.9, 1.5, 0.5, 1.1, 1.5), t(2.0, 2.0, 2.0, -2.0, -2.0, -2.0)
    log_ratio = ratio.log().requires_grad_()
    gain, slope = functional.clipped_gain(log_ratio, advantage, 0.2)
    torch.testing.assert_close(gain, t(1.0, 1.8, 2.4, -1.6, -2.2, -3.0))
    torch.testing.assert_close(slope, t(1.0, 1.8, 0.0, 0.0, -2.2, -3.0))
    torch.testing.assert_close(torch.autograd.grad(gain.sum(), log_ratio)[0], slope)
    with pytest.raises(ValueError, match="one shape"):
        functional.clipped_gain(torch.ones(2, 3), torch.ones(2, 1), 0.2)


def test_the_clipped_error_by_hand_and_its_slope_by_autograd() -> None:
    """From 1: within the clip, beyond it towards the target and past it, and away from it."""
    value = t(1.25, 2.0, 3.0, 0.0, 6.0).requires_grad_()
    before, target = torch.ones(5), t(3.0, 3.0, 3.0, 3.0, 3.0)
    loss, slope = functional.clipped_error(value, before, target, 0.5)
    assert loss.tolist() == [1.75**2, 1.5**2, 1.5**2, 9.0, 9.0]
    assert slope.tolist() == torch.autograd.grad(loss.sum(), value)[0].tolist() == [-3.5, 0.0, 0.0, -6.0, 6.0]


def test_standardised_takes_each_seeds_own_numbers() -> None:
    found = functional.standardised(t([1.0, 3.0, 5.0], [7.0, 7.0, 7.0]))
    torch.testing.assert_close(found, t([-(1.5**0.5), 0.0, 1.5**0.5], [0.0, 0.0, 0.0]))


def test_smooth_functions_are_torchs_with_their_gradients() -> None:
    inner = torch.nn.functional
    pairs = (
        (functional.sigmoid, torch.sigmoid),
        (functional.softplus, inner.softplus),
        (functional.silu, inner.silu),
    )
    for ours, torchs in pairs:
        for bound in (3.0, 100.0):
            x = torch.linspace(-bound, bound, 101).requires_grad_()
            torch.testing.assert_close(ours(x), torchs(x), rtol=1e-5, atol=bound * 1e-7)
            for own, oracle in zip(*(torch.autograd.grad(f(x).sum(), x) for f in (ours, torchs)), strict=True):
                torch.testing.assert_close(own, oracle, rtol=1e-5, atol=bound * 1e-7)
    assert functional.sigmoid(t(-200.0, 0.0, 200.0)).tolist() == [0.0, 0.5, 1.0]
    assert functional.softplus(t(-200.0, 0.0, 200.0)).tolist() == pytest.approx([0.0, math.log(2), 200.0])
    assert functional.silu(t(-200.0, 0.0, 200.0)).tolist() == [0.0, 0.0, 200.0]


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_huber_loss_and_its_gradient_are_torchs(delta: float) -> None:
    error = torch.cat([torch.linspace(-5, 5, 201), t(-delta, delta, 0.0)]).requires_grad_()
    own, slope = functional.huber_loss(error, delta)
    oracle = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
    torch.testing.assert_close(own, oracle)
    (gradient,) = torch.autograd.grad(oracle.sum(), error)
    torch.testing.assert_close(torch.autograd.grad(own.sum(), error)[0], gradient)
    torch.testing.assert_close(slope.detach(), gradient)
    torch.testing.assert_close(slope.detach(), error.detach().clamp(-delta, delta))  # the error, clipped


def test_schedule_at_both_ends_and_midway() -> None:
    def at(step: int) -> float:
        return functional.linear_schedule(1.0, 0.05, 1000, step)

    assert at(0) == 1.0
    assert at(500) == pytest.approx(0.525)
    assert at(999) == pytest.approx(0.05095)
    assert at(1000) == 0.05
    assert at(10**9) == 0.05
    values = [at(step) for step in range(0, 1100, 7)]
    assert values == sorted(values, reverse=True)
    assert functional.linear_schedule(0.0, 2.0, 4, 3) == 1.5  # upwards too


def test_a_schedule_of_no_steps_is_at_its_end() -> None:
    assert functional.linear_schedule(1.0, 0.1, 0, 0) == 0.1
    assert functional.linear_schedule(1.0, 0.1, 0, 5) == 0.1


def test_clip_norm_touches_only_the_seed_that_exceeds() -> None:
    grad = t([3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [30.0, -40.0])
    before = grad.clone()
    norm = functional.clip_norm_(grad, 1.0)
    torch.testing.assert_close(norm, t(5.0, 0.5, 0.0, 50.0))
    torch.testing.assert_close(grad[0], t(0.6, 0.8))
    torch.testing.assert_close(grad[3], t(0.6, -0.8))
    assert torch.equal(grad[1:3], before[1:3])


def test_clip_norm_is_torchs_seed_by_seed() -> None:
    grad = torch.linspace(-3, 5, 40).reshape(4, 10) ** 3
    clipped = grad.clone()
    norms = functional.clip_norm_(clipped, 10.0)
    for row, own, norm in zip(grad, clipped, norms, strict=True):
        parameter = torch.nn.Parameter(torch.zeros(10))
        parameter.grad = row.clone()
        torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_([parameter], 10.0))
        torch.testing.assert_close(own, parameter.grad)


def test_a_seed_that_diverged_does_not_spoil_the_others() -> None:
    grad = t([math.nan, 1.0], [3.0, 4.0], [math.inf, 0.0])
    functional.clip_norm_(grad, 1.0)
    torch.testing.assert_close(grad[1], t(0.6, 0.8))


@pytest.mark.parametrize("max_norm", [0.0, -1.0])
def test_no_limit_changes_nothing(max_norm: float) -> None:
    grad = t([3.0, 4.0])
    assert functional.clip_norm_(grad, max_norm).tolist() == [5.0]
    assert grad.tolist() == [[3.0, 4.0]]


def steps(*rows: list[float]) -> Tensor:
    """(S, T, E) of one seed: each row is one env over time."""
    return torch.tensor(rows).T.unsqueeze(0)


# One env over four steps each: nothing ends; the second step terminates; the second step is cut by a time limit.
REWARD = steps([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
VALUE = steps([10.0, 20.0, 30.0, 40.0], [10.0, 20.0, 30.0, 40.0], [10.0, 20.0, 30.0, 40.0])
NEXT_VALUE = steps([20.0, 30.0, 40.0, 50.0], [20.0, math.nan, 40.0, 50.0], [20.0, 70.0, 40.0, 50.0])
TERMINATED = steps([0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]).bool()
TRUNCATED = steps([0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]).bool()


def test_gae_by_hand() -> None:
    found = functional.gae(REWARD, VALUE, NEXT_VALUE, TERMINATED, TRUNCATED, gamma=0.5, lambda_=0.5)
    # Without an end, the TD errors are 1 + 10 - 10, 2 + 15 - 20, 3 + 20 - 30 and 4 + 25 - 40, that is 1, -3, -7, -11;
    # from the last: -11, -7 - 11/4 = -9.75, -3 - 9.75/4 = -5.4375, 1 - 5.4375/4 = -0.359375.
    # A termination at the second: 2 - 20 = -18, and 1 - 18/4 = -3.5. A limit there: 2 + 35 - 20 = 17, and 1 + 17/4.
    expected = steps([-0.359375, -5.4375, -9.75, -11.0], [-3.5, -18.0, -9.75, -11.0], [5.25, 17.0, -9.75, -11.0])
    assert torch.equal(found, expected)


def test_lambda_returns_by_hand() -> None:
    found = functional.lambda_return(REWARD, NEXT_VALUE, TERMINATED, TRUNCATED, gamma=0.5, lambda_=0.5)
    # From the last: 4 + 50/2 = 29; 3 + (40/2 + 29/2)/2 = 20.25; 2 + (30/2 + 20.25/2)/2 = 14.5625; ...
    # A termination at the second: 2, and 1 + (20/2 + 2/2)/2 = 6.5. A limit there: 2 + 70/2 = 37, and 15.25 above it.
    expected = steps([9.640625, 14.5625, 20.25, 29.0], [6.5, 2.0, 20.25, 29.0], [15.25, 37.0, 20.25, 29.0])
    assert torch.equal(found, expected)


def naive_return(
    reward: Tensor, next_value: Tensor, ends: Tensor, deaths: Tensor, gamma: float, lambda_: float
) -> float:
    """By the definition, of one env from its first step on: all lengths, the longest with what weight is left."""
    total, weight, so_far = 0.0, 1.0, 0.0
    for k in range(len(reward)):
        so_far += gamma**k * float(reward[k])
        whole = so_far + (0.0 if deaths[k] else gamma ** (k + 1) * float(next_value[k]))
        if ends[k] or k == len(reward) - 1:
            return total + weight * whole
        total += weight * (1 - lambda_) * whole
        weight *= lambda_
    raise AssertionError


@pytest.mark.parametrize("lambda_", [0.0, 0.9, 1.0])
@pytest.mark.parametrize(("seeds", "length", "envs"), [(1, 1, 1), (3, 7, 5), (2, 33, 3)])
def test_returns_and_advantages_by_the_definition(lambda_: float, seeds: int, length: int, envs: int) -> None:
    source = torch.Generator().manual_seed(length)
    shape = (seeds, length, envs)
    reward, value, next_value = (torch.randn(shape, generator=source) for _ in range(3))
    chance = torch.rand(shape, generator=source)
    terminated, truncated = chance < 0.1, (chance > 0.05) & (chance < 0.2)  # some are both
    next_value[:, :-1] = torch.where((terminated | truncated)[:, :-1], next_value[:, :-1], value[:, 1:])
    rest = (reward, next_value, terminated, truncated)
    returns = functional.lambda_return(*rest, gamma=0.95, lambda_=lambda_)
    advantage = functional.gae(reward, value, *rest[1:], gamma=0.95, lambda_=lambda_)
    torch.testing.assert_close(advantage + value, returns, rtol=1e-4, atol=1e-5)
    ends = terminated | truncated
    for s in range(seeds):
        for e in range(envs):
            for t in range(length):
                at = (s, slice(t, None), e)
                naive = naive_return(reward[at], next_value[at], ends[at], terminated[at], 0.95, lambda_)
                assert returns[s, t, e].item() == pytest.approx(naive, rel=1e-4, abs=1e-5)
        one = slice(s, s + 1)
        alone = [x[one].clone() for x in rest]
        assert torch.equal(functional.lambda_return(*alone, gamma=0.95, lambda_=lambda_)[0], returns[s])
        own = functional.gae(alone[0], value[one].clone(), *alone[1:], gamma=0.95, lambda_=lambda_)
        assert torch.equal(own[0], advantage[s])


def test_advantages_are_not_broadcast() -> None:
    with pytest.raises(ValueError, match="one shape"):
        functional.gae(REWARD, VALUE[:, :1], NEXT_VALUE, TERMINATED, TRUNCATED, gamma=0.5, lambda_=0.5)
