"""Tests of rlbench.optim: torch.optim as oracle."""

import copy
from typing import Any

import pytest
import torch

from rlbench import nn
from rlbench.optim import Adam, RAdam
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


@pytest.mark.parametrize("kind", ["Adam", "RAdam"])
@pytest.mark.parametrize("width", [1, 3, 7, 33, 64])
def test_a_row_alone_takes_the_same_steps_to_the_last_bit(kind: str, width: int) -> None:
    seeds = 11  # rows of 3 numbers do not fill vectors, and where one ends another begins
    start = Streams(range(seeds))["start"].normal(width)
    together, alone = start.clone(), [row.clone() for row in start.split(1)]
    adam, *others = (KINDS[kind][0](params, 1e-2) for params in (together, *alone))
    for grad in gradients(20, seeds, width):
        adam.step(grad)
        for own, row in zip(others, grad.split(1), strict=True):
            own.step(row.clone())
    assert torch.equal(together, torch.cat(alone))


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


KINDS: dict[str, Any] = {"Adam": (Adam, torch.optim.AdamW), "RAdam": (RAdam, torch.optim.RAdam)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.8)])
def test_decay_and_rates_of_groups_are_torchs(kind: str, betas: tuple[float, float]) -> None:
    """Three groups of columns, each with a rate and a weight decay of its own; one does not move at all."""
    ours, torchs = KINDS[kind]
    start = Streams([2, 3, 4])["start"].normal(64)
    groups = [(slice(0, 20), 1.0, 0.1), (slice(20, 41), 0.3, 0.0), (slice(41, 60), 2.0, 0.5), (slice(60, 64), 0.0, 0.5)]
    rates, decay = torch.empty(64), torch.empty(64)
    oracles = []
    for columns, rate, wanted in groups:
        rates[columns], decay[columns] = rate, wanted
        oracles.append(torch.nn.Parameter(start[:, columns].clone()))
    extra = {"decoupled_weight_decay": True} if kind == "RAdam" else {}
    options = [{"lr": 0.01 * rate, "weight_decay": wanted} for _, rate, wanted in groups]
    oracle = torchs([{"params": [p], **o} for p, o in zip(oracles, options, strict=True)], betas=betas, **extra)
    own = start.clone()
    adam = ours(own, 0.01, betas, weight_decay=decay, rates=rates)
    for step, grad in enumerate(gradients(50)):
        adam.step(grad)
        for p, (columns, _, _) in zip(oracles, groups, strict=True):
            p.grad = grad[:, columns].clone()
        oracle.step()
        torch.testing.assert_close(
            own, torch.cat([p.detach() for p in oracles], 1), rtol=1e-5, atol=1e-6, msg=str(step)
        )
    assert torch.equal(own[:, 60:], start[:, 60:])
    assert (own - start)[:, :60].abs().max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_one_decay_for_all_is_that_of_every_column(kind: str) -> None:
    start = Streams([2, 3, 4])["start"].normal(64)
    one, other, without = start.clone(), start.clone(), start.clone()
    pairs = [
        KINDS[kind][0](one, 0.01, weight_decay=0.1),
        KINDS[kind][0](other, 0.01, weight_decay=torch.full((64,), 0.1)),
        KINDS[kind][0](without, 0.01),
    ]
    for grad in gradients(20):
        for adam in pairs:
            adam.step(grad)
    torch.testing.assert_close(one, other)
    assert (one.abs().sum(1) < without.abs().sum(1)).all()


@pytest.mark.parametrize(
    ("learning_rate", "betas", "epsilon"),
    [(1e-3, (0.9, 0.999), 1e-8), (0.1, (0.5, 0.9), 1e-2), (3e-4, (0.9, 0.99), 1e-5)],
)
def test_fifty_steps_of_radam_are_torchs(learning_rate: float, betas: tuple[float, float], epsilon: float) -> None:
    start = Streams([2, 3, 4])["start"].normal(64)
    own, oracle = start.clone(), torch.nn.Parameter(start.clone())
    radam = RAdam(own, learning_rate, betas, epsilon)
    torchs = torch.optim.RAdam([oracle], lr=learning_rate, betas=betas, eps=epsilon)
    for step, grad in enumerate(gradients(50)):
        radam.step(grad)
        oracle.grad = grad.clone()
        torchs.step()
        torch.testing.assert_close(own, oracle.detach(), rtol=1e-5, atol=1e-6, msg=lambda m, s=step: f"step {s}: {m}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_and_a_restored_state_go_on_the_same_with_all_options(kind: str) -> None:
    start = Streams([2, 3, 4])["start"].normal(64)
    options = {"weight_decay": torch.linspace(0, 1, 64), "rates": torch.linspace(0, 3, 64)}
    together, alone, restored = start.clone(), start[1:2].clone(), start.clone()
    one, other, third = (KINDS[kind][0](p, 1e-2, **options) for p in (together, alone, restored))
    for step, grad in enumerate(gradients(20)):
        if step == 11:
            third.load_state_dict(copy.deepcopy(one.state_dict()))
            restored.copy_(together)
        one.step(grad)
        other.step(grad[1:2].clone())
        if step >= 11:
            third.step(grad)
    assert torch.equal(together[1], alone[0])
    assert torch.equal(together, restored)


def test_columns_are_those_of_their_parameters() -> None:
    network = nn.Network(nn.mlp(3, [5], 2, Streams([0, 1])["init"]))
    flat = nn.Flat(network)
    column = flat.columns(lambda name, p: len(name) + p[0].numel() / 1000)
    flat.data.copy_(column.expand(2, -1))
    for name, p in network.named_parameters():
        assert p.unique().tolist() == [pytest.approx(len(name) + p[0].numel() / 1000)]
    for p in network.parameters():
        p.data.zero_()
    assert not flat.data.any()  # elsewhere there was nothing
