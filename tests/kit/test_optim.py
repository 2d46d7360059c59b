"""Tests of rlbench.optim: torch.optim.Adam as oracle."""

import copy

import pytest
import torch

from rlbench.optim import Adam
from rlbench.rng import Streams


def gradients(steps: int, seeds: int = 3, width: int = 64) -> torch.Tensor:
    """(steps, S, P), of very different sizes, with exact zeros among them."""
    values = Streams([1])["gradients"].normal(steps * seeds * width).view(steps, seeds, width)
    values = values * torch.logspace(-6, 3, width)
    values[:, :, ::7] = 0
    return values


@pytest.mark.parametrize(
    ("learning_rate", "betas", "epsilon"),
    [(1e-3, (0.9, 0.999), 1e-8), (0.1, (0.5, 0.9), 1e-2), (3e-4, (0.9, 0.99), 1e-5)],
)
def test_fifty_steps_are_torchs(learning_rate: float, betas: tuple[float, float], epsilon: float) -> None:
    start = Streams([2, 3, 4])["start"].normal(64)
    own, oracle = start.clone(), torch.nn.Parameter(start.clone())
    adam = Adam(own, learning_rate, betas, epsilon)
    torchs = torch.optim.Adam([oracle], lr=learning_rate, betas=betas, eps=epsilon)
    for step, grad in enumerate(gradients(50)):
        adam.step(grad)
        oracle.grad = grad.clone()
        torchs.step()
        torch.testing.assert_close(own, oracle.detach(), rtol=1e-6, atol=1e-6, msg=lambda m, s=step: f"step {s}: {m}")
    assert adam.steps == 50
    assert (own - start).abs().max() > learning_rate


def test_the_first_step_by_hand() -> None:
    params = torch.zeros(1, 3)
    Adam(params, 0.5, epsilon=1.0).step(torch.tensor([[3.0, -1.0, 0.0]]))
    torch.testing.assert_close(params, torch.tensor([[-0.5 * 3 / 4, 0.5 * 1 / 2, 0.0]]))  # g / (|g| + epsilon)


def test_a_row_alone_takes_the_same_steps_to_the_last_bit() -> None:
    start = Streams([2, 3, 4])["start"].normal(64)
    together, alone = start.clone(), start[1:2].clone()
    one, other = Adam(together, 1e-2), Adam(alone, 1e-2)
    for grad in gradients(20):
        one.step(grad)
        other.step(grad[1:2].clone())
    assert torch.equal(together[1], alone[0])


def test_a_saved_state_goes_on_to_the_last_bit() -> None:
    grads = gradients(20)
    params = Streams([2, 3, 4])["start"].normal(64)
    adam = Adam(params, 1e-2)
    for grad in grads[:11]:
        adam.step(grad)
    saved, copied = copy.deepcopy(adam.state_dict()), params.clone()
    restored = Adam(copied, 1e-2)
    restored.load_state_dict(saved)
    for grad in grads[11:]:
        adam.step(grad)
        restored.step(grad)
    assert torch.equal(params, copied)
    assert restored.steps == 20
    assert saved["steps"] == 11  # loading copied: the steps since have not written into it
    assert not torch.equal(saved["first"], restored.first)


def test_the_learning_rate_may_change_between_steps() -> None:
    params = torch.zeros(1, 2)
    adam = Adam(params, 0.5)
    adam.learning_rate = 0.0
    adam.step(torch.ones(1, 2))
    assert not params.any()
    adam.learning_rate = 0.25
    adam.step(torch.ones(1, 2))
    torch.testing.assert_close(params, torch.full((1, 2), -0.25))
