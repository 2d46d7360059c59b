"""Operations that torch may rename: their stand-ins do the same, and a run goes on where torch lacks the originals."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlbench.nn import kernels
from rlbench.rng import Streams
from rlbench.training.train import train

NAMES = (
    "adam_step", "relu_back", "relu_back_over", "tanh_back", "tanh_back_over", "log_softmax_back", "layer_norm",
    "layer_norm_back",
)  # fmt: skip


def noise(*shape: int) -> Tensor:
    return Streams([3])["noise"].normal(int(torch.Size(shape).numel())).view(shape).clone()


def test_adam_in_parts_takes_the_same_steps() -> None:
    ours, parts = ([noise(2, 128), torch.zeros(2, 128), torch.zeros(2, 128)] for _ in range(2))
    for step in range(1, 6):
        grad, count = noise(2, 128) * step, torch.tensor(float(step))
        for function, (params, first, second) in ((kernels.adam_step, ours), (kernels.adam_step_in_parts, parts)):
            function(params, grad, first, second, count, learning_rate=0.01, betas=(0.9, 0.999), epsilon=1e-8)
    assert not torch.equal(ours[0], noise(2, 128))
    for one, other in zip(ours, parts, strict=True):
        torch.testing.assert_close(one, other)


def test_relu_tanh_softmax_and_layer_norm_in_parts() -> None:
    x, grad = noise(2, 5, 7), noise(2, 5, 7) + 0.1
    torch.testing.assert_close(kernels.tanh_back(grad, x.tanh()), kernels.tanh_back_in_parts(grad, x.tanh()))
    for over in (kernels.tanh_back_over, kernels.tanh_back_over_in_parts):
        given = grad.clone()
        torch.testing.assert_close(over(given, x.tanh()), kernels.tanh_back(grad, x.tanh()))
        assert not torch.equal(given, grad)  # in its place
    assert torch.equal(kernels.relu_back(grad, x.relu()), kernels.relu_back_in_parts(grad, x.relu()))
    for over in (kernels.relu_back_over, kernels.relu_back_over_in_parts):
        given = grad.clone()
        assert torch.equal(over(given, x.relu()), kernels.relu_back(grad, x.relu()))
        assert not torch.equal(given, grad)  # in its place
    log_probs = x.log_softmax(-1)
    back = kernels.log_softmax_back(grad, log_probs)
    torch.testing.assert_close(back, kernels.log_softmax_back_in_parts(grad, log_probs))
    leaf = x.clone().requires_grad_()
    (leaf.log_softmax(-1) * grad).sum().backward()
    torch.testing.assert_close(back, leaf.grad)
    normed, mean, rstd = kernels.layer_norm(x)
    for one, other in zip((normed, mean, rstd), kernels.layer_norm_in_parts(x), strict=True):
        torch.testing.assert_close(one, other)
    back = kernels.layer_norm_back(grad, x, mean, rstd)
    torch.testing.assert_close(back, kernels.layer_norm_back_in_parts(grad, x, mean, rstd))
    leaf = x.clone().requires_grad_()
    (torch.layer_norm(leaf, (7,)) * grad).sum().backward()
    torch.testing.assert_close(back, leaf.grad)


@pytest.fixture
def without() -> Iterator[None]:
    """kernels as it is where torch lacks every private name."""
    original = {name: getattr(kernels, name) for name in NAMES}
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(torch, "_fused_adam_")
        patch.delattr(torch, "native_layer_norm")
        patch.setattr(torch.ops, "aten", object())
        importlib.reload(kernels)
        assert all(getattr(kernels, name) is getattr(kernels, f"{name}_in_parts") for name in NAMES)
        yield
    importlib.reload(kernels)
    assert all(getattr(kernels, name).__name__ == name for name in original)


@pytest.mark.usefixtures("without")
def test_a_run_learns_without_them(tmp_path: Path) -> None:
    more = {"dqn": {"learning_starts": 64, "layer_norm": True, "hidden": [16]}}
    run = train(
        "CartPole-v1", out=tmp_path / "run", seeds=2, total_steps=300, eval_every=0, final_eval_episodes=1, **more
    )
    assert run.summary["updates"] > 0
