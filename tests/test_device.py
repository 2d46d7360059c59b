"""Which device a run takes when it is told to choose: here with a card that is only pretended."""

from typing import Any

import pytest
import torch

from rlbench import build, device
from rlbench.recipe import Recipe


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "resolve_device", lambda name: torch.device("cpu" if name == "cpu" else "cuda"))


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"env": "CartPole-v1", "seeds": 10, "hyper": {"hidden": (64, 64)}, **changes})


def test_a_few_small_networks_stay_on_the_cpu_and_that_is_said(card: None) -> None:
    parts = build.build(recipe(), range(10), "auto")
    assert parts.device == torch.device("cpu")
    assert parts.notes == [device.SMALL]
    assert parts.spec.device == torch.device("cpu")
    assert build.computes_on_cpu(recipe())


@pytest.mark.parametrize(
    ("changes", "worth"),
    [
        ({}, False),  # 2 networks of 4,610 parameters each, of 10 seeds
        ({"seeds": 27}, False),
        ({"seeds": 28}, True),
        ({"seeds": 1, "hyper": {"hidden": (256, 256)}}, False),
        ({"seeds": 2, "hyper": {"hidden": (256, 256)}}, True),
        ({"agent": "random", "seeds": 1000, "hyper": {}}, False),
        ({"env": "rlbench/Catch-v0", "seeds": 1, "hyper": {}}, False),  # 10 x 5
        ({"env": "rlbench/Catch-v0", "env_kwargs": {"rows": 84, "columns": 84}, "seeds": 1, "hyper": {}}, True),
    ],
)
def test_what_is_worth_a_card(changes: dict[str, Any], worth: bool, card: None) -> None:
    made = recipe(**changes)
    parts = build.build(made, [0], "cpu")
    assert device.worth_a_card(parts.agent, parts.spec, made.seeds) is worth
    assert build.computes_on_cpu(made) is not worth
    assert build.computes_on_cpu(made.replace(device="cpu"))
    assert not build.computes_on_cpu(made.replace(device="cuda"))
