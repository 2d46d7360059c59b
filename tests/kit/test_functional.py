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
