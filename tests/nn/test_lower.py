"""Networks that multiply in bfloat16: near those that do not, by hand as by autograd, with weights of float32."""

from pathlib import Path

import pytest
import torch
from conftest import make_spec

import rlbench
from rlbench import nn
from rlbench.errors import UsageError
from rlbench.nn.lower import LowConv2d, lowered
from rlbench.recipe import Recipe
from rlbench.rng import Streams

PIXELS = {"obs_shape": (2, 10, 10), "obs_dtype": torch.uint8}
KINDS = pytest.mark.parametrize(
    "form", [{}, {"layer_norm": True}, {"activation": "tanh"}, {"activation": "silu", "orthogonal": True}]
)


def pair(form: dict, **spec: object) -> tuple[nn.Network, nn.Network]:
    """The same network in float32 and in bfloat16."""
    made = make_spec(**{**PIXELS, **spec}, num_seeds=3)
    return tuple(
        nn.network(made._replace(precision=p), (24, 16), 4, Streams([0, 1, 2])["init"], **form)
        for p in ("float32", "bf16")
    )  # type: ignore[return-value]


def images() -> torch.Tensor:
    """(S, N, *O)."""
    return torch.randint(0, 256, (3, 9, 2, 10, 10), generator=torch.Generator().manual_seed(0)).byte()


@KINDS
def test_it_is_near_the_other_and_begins_with_the_same_weights(form: dict) -> None:
    full, low = pair(form)
    x = images()
    for one, two in zip(full.parameters(), low.parameters(), strict=True):
        assert torch.equal(one, two)
        assert two.dtype == torch.float32
    a, b = full(x), low(x)
    assert b.dtype == torch.float32
    assert not torch.equal(a, b)
    torch.testing.assert_close(a, b, atol=0.03, rtol=0.03)


@KINDS
def test_its_way_back_is_near_that_of_float32_and_of_autograd(form: dict) -> None:
    full, low = pair(form)
    assert low.by_hand
    x = images()
    upstream = torch.rand(3, 9, 4, generator=torch.Generator().manual_seed(1)) - 0.5
    by_autograd = torch.autograd.grad((low(x) * upstream).sum(), list(low.parameters()))
    found = []
    for net in (full, low):
        grads = [torch.empty_like(p) for p in net.parameters()]
        with torch.no_grad():
            _, pull = nn.vjp(net, x)
            pull(upstream, grads)
        found.append(grads)
    for exact, ours, theirs in zip(*found, by_autograd, strict=True):
        assert ours.dtype == torch.float32
        scale = float(exact.abs().max())
        # a unit near 0 may be off in one of them: so direction and length, not number by number
        assert torch.cosine_similarity(ours.flatten(1), exact.flatten(1)).min() > 0.98
        torch.testing.assert_close(ours.flatten(1).norm(dim=1), exact.flatten(1).norm(dim=1), atol=0, rtol=0.05)
        torch.testing.assert_close(ours, theirs, atol=0.04 * scale, rtol=0)


def test_what_has_no_convolutions_stays_as_it_is() -> None:
    full, low = pair({}, obs_shape=(3,), obs_dtype=torch.float32)
    x = torch.linspace(-1, 1, 45).view(3, 5, 3)
    assert torch.equal(full(x), low(x))


def test_a_run_trains_resumes_and_plays_in_it(tmp_path: Path) -> None:
    made = Recipe.load(
        env="rlbench/Catch-v0",
        overrides={
            "precision": "bf16", "seeds": 2, "total_steps": 300, "dqn.learning_starts": 64, "eval_every": 0,
            "final_eval_episodes": 2, "debug_every": 100,
        },
    )  # fmt: skip
    run = rlbench.train(recipe=made, out=tmp_path / "run")
    agent = rlbench.load(run.folder).agent
    assert lowered(agent)
    assert any(isinstance(layer, LowConv2d) for layer in agent.q_net.modules())  # type: ignore[attr-defined]
    state = torch.load(run.folder / "checkpoint.pth", weights_only=True)["agent"]
    assert state["updates"] > 20
    assert {x.dtype for x in state["q_net"].values()} == {torch.float32}
    more = rlbench.resume(run.folder, total_steps=400)
    assert more.summary["env_steps"] == 400


def test_where_there_is_nothing_to_be_lowered_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="precision = bf16 is for networks with convolutions; dqn has none for Cart"):
        rlbench.train("CartPole-v1", precision="bf16", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
