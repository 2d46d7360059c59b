"""Running moments: NumPy over all values as oracle, whatever their order and size; width; frozen unless told."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from rlbench import nn
from rlbench.rng import Stream, Streams

SEEDS = [3, 8, 5]


def values(*shape: int, seeds: list[int] = SEEDS, mean: float = 0.0) -> Tensor:
    return Stream(seeds, "x").normal(*shape) * 3 + mean


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3)])
def test_batches_of_any_size_give_the_moments_of_all_values(shape: tuple[int, ...]) -> None:
    x = values(60, *shape, mean=7.0)
    moments = nn.RunningMoments(shape, Streams(SEEDS)["init"])
    for part in x.split([1, 2, 7, 0, 33, 17], 1):
        moments.update(part)
    oracle = x.double().numpy()
    assert moments.count.tolist() == [60.0] * 3
    np.testing.assert_allclose(moments.mean.numpy(), oracle.mean(1), rtol=1e-12)
    np.testing.assert_allclose(moments.variance.numpy(), oracle.var(1), rtol=1e-12)
    normed = moments(x)
    assert (normed.dtype, normed.shape) == (torch.float32, x.shape)
    np.testing.assert_allclose(
        normed.numpy(), (oracle - oracle.mean(1, keepdims=True)) / oracle.std(1, keepdims=True), rtol=1e-5
    )


def test_a_mean_that_is_large_beside_the_deviation_costs_nothing() -> None:
    x = (values(1000, 2).double() * 0.01 + 1e6).float().double()  # of which the square's mean keeps no digit in float32
    moments = nn.RunningMoments((2,), Streams(SEEDS)["init"])
    for part in x.split(9, 1):
        moments.update(part.float())
    np.testing.assert_allclose(moments.variance.numpy(), x.numpy().var(1), rtol=1e-6)


def test_before_two_values_only_what_is_too_large_changes() -> None:
    moments = nn.RunningMoments((2,), Streams([0])["init"], clip=5.0)
    x = torch.tensor([[[1.5, -99.0], [0.0, 4.0]]])
    assert moments(x).tolist() == [[[1.5, -5.0], [0.0, 4.0]]]
    moments.update(x[:, :1])
    assert moments.variance.tolist() == [[1.0, 1.0]]


def test_only_an_update_moves_them_and_the_state_is_all_of_them() -> None:
    moments = nn.RunningMoments((5,), Streams(SEEDS)["init"])
    moments.update(values(20, 5))
    before = copy.deepcopy(moments.state_dict())
    moments.train()
    first = moments(values(50, 5, mean=3.0))
    again = nn.RunningMoments((5,), Streams(SEEDS)["init"])
    again.load_state_dict(before)
    assert torch.equal(again(values(50, 5, mean=3.0)), first)
    assert all(torch.equal(value, before[name]) for name, value in moments.state_dict().items())
    assert all(len(value) == 3 for value in before.values())  # the seeds' axis, for whoever takes seeds apart
    moments.update(values(1, 5))
    assert not torch.equal(again(values(50, 5, mean=3.0)), moments(values(50, 5, mean=3.0)))


@pytest.mark.parametrize("size", [1, 2, 7, 17, 33, 64, 101])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (17,), (33,)])
def test_width_of_moments_with_odd_sizes(size: int, shape: tuple[int, ...]) -> None:
    def used(seeds: list[int]) -> list[Tensor]:
        moments = nn.RunningMoments(shape, Streams(seeds)["init"])
        x = values(3, size, *shape, seeds=seeds, mean=0.3)
        for i in range(3):
            moments.update(x[:, i])
        return [*moments.state_dict().values(), moments.variance, moments(x[:, 0])]

    together = used(SEEDS)
    for s, seed in enumerate(SEEDS):
        for one, other in zip(used([seed]), together, strict=True):
            assert torch.equal(one[0], other[s])


def test_as_the_first_layer_of_a_network_they_are_passed_on_the_way_back() -> None:
    init = Streams(SEEDS)["init"]
    moments = nn.RunningMoments((3,), init)
    moments.update(values(20, 3, mean=4.0))
    network = nn.Network([moments, *nn.mlp(3, [5], 2, init)])
    flat, x = nn.Flat(network), values(7, 3)
    expected = flat.gradient(network(x).sum())
    network.requires_grad_(False)
    out, pull = network.vjp(x)
    pull(torch.ones_like(out), flat.grads)
    torch.testing.assert_close(flat.grad, expected)
    assert "layers.0.mean" in network.state_dict()


def test_rewards_are_divided_by_the_deviation_of_their_returns() -> None:
    scale = nn.RewardScale(2, Streams([0])["init"], gamma=0.5)
    assert scale(torch.tensor([[2.0, -99.0]])).tolist() == [[2.0, -10.0]]
    rewards = torch.tensor([[[1.0, 2.0]], [[4.0, 0.0]], [[8.0, 1.0]]])  # three steps of (S, E)
    ended = torch.tensor([[[False, True]], [[False, False]], [[False, False]]])
    for reward, end in zip(rewards, ended, strict=True):
        scale.update(reward, end)
    # Returns so far: 1 and 2; 4.5 and (after an end) 0; 10.25 and 1.
    assert scale.returns.tolist() == [[10.25, 1.0]]
    seen = np.array([1, 2, 4.5, 0, 10.25, 1])
    assert scale.moments.count.item() == 6
    np.testing.assert_allclose(
        scale(torch.tensor([[3.0, -3.0]])).numpy(), [[3 / seen.std(), -3 / seen.std()]], rtol=1e-6
    )
    assert scale(torch.ones(1, 4, 2)).shape == (1, 4, 2)  # a rollout, too
    assert set(scale.state_dict()) == {"returns", "moments.count", "moments.mean", "moments.squares"}


@pytest.mark.parametrize("envs", [1, 7, 33])
def test_width_of_scaled_rewards(envs: int) -> None:
    def used(seeds: list[int]) -> list[Tensor]:
        scale = nn.RewardScale(envs, Streams(seeds)["init"], gamma=0.97)
        rewards = values(5, envs, seeds=seeds)
        for i in range(5):
            scale.update(rewards[:, i], rewards[:, i] > 2)
        return [*scale.state_dict().values(), scale(rewards)]

    together = used(SEEDS)
    for s, seed in enumerate(SEEDS):
        assert all(torch.equal(one[0], other[s]) for one, other in zip(used([seed]), together, strict=True))
