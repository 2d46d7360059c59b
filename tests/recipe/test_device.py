"""Which device a run takes when it is told to choose: here with a card that is only pretended."""

from typing import Any

import pytest
import torch

from rlbench.recipe import Recipe, build, device
from rlbench.recipe import shares as dealing


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "resolve_device", lambda name: torch.device("cpu" if name == "cpu" else "cuda"))


@pytest.mark.parametrize(("hidden", "place"), [((64, 64), "cpu"), ((600, 600), "cuda")])
def test_workers_compute_in_one_place_however_few_seeds_each_has(
    hidden: tuple[int, ...], place: str, card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(workers=10, hyper={"hidden": hidden})
    monkeypatch.setattr(dealing, "resolve_device", build.resolve_device)
    shares, cpu = dealing.placed_shares(made)
    assert {share.device for share in shares} == {place}
    assert cpu is (place == "cpu")
    for module in (dealing, build):
        monkeypatch.setattr(module, "resolve_device", lambda name: torch.device("cpu"))
    shares, cpu = dealing.placed_shares(made)
    assert {share.device for share in shares} == {"auto"}
    assert cpu


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"env": "CartPole-v1", "seeds": 10, "hyper": {"hidden": (64, 64)}, **changes})


def test_a_few_small_networks_stay_on_the_cpu_and_that_is_said(card: None) -> None:
    parts = build.build(recipe(), [0], "auto")
    assert parts.device == torch.device("cpu")
    assert parts.notes == [device.SMALL]
    assert parts.spec.device == torch.device("cpu")
    assert build.trains_on_cpu(recipe(), 8)


def test_what_is_built_is_reckoned_by_where_its_environments_would_be(
    card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[device.Costs] = []
    monkeypatch.setattr(build, "worth_a_card", lambda *asked, costs: said.append(costs))
    for made in (recipe(), recipe(envs_on="host")):
        build.build(made, [0], "auto")
    assert said == [device.THERE, device.COSTS]


@pytest.mark.parametrize(
    ("changes", "processes", "worth"),
    [
        ({"seeds": 1}, 1, False),  # 2 networks of 4,610 parameters each
        ({"seeds": 2}, 1, True),
        ({"seeds": 10}, 16, False),  # a core for each
        ({"seeds": 100}, 16, True),
        ({"seeds": 5, "envs_on": "host"}, 1, False),
        ({"seeds": 10, "envs_on": "host"}, 1, True),
        ({"seeds": 1000, "envs_on": "host"}, 16, False),  # as many cores are as good as a card
        ({"seeds": 2, "max_episodes": 50}, 1, False),  # the host reads of every step what came of it
        ({"seeds": 2, "fresh_envs": True}, 1, False),  # on the host, then
        ({"seeds": 1000, "hyper": {"hidden": (256, 256)}}, 16, True),
        ({"seeds": 1, "hyper": {"hidden": (256, 256)}}, 1, True),
        ({"agent": "random", "seeds": 1000, "hyper": {}}, 1, False),
        ({"env": "rlbench/Catch-v0", "env_kwargs": {"rows": 84, "columns": 84}, "seeds": 1, "hyper": {}}, 1, True),
    ],
)
def test_what_is_worth_a_card(changes: dict[str, Any], processes: int, worth: bool, card: None) -> None:
    made = recipe(**changes)
    assert build.trains_on_cpu(made, processes) is not worth
    assert build.trains_on_cpu(made.replace(device="cpu"), processes)
    assert not build.trains_on_cpu(made.replace(device="cuda"), processes)
