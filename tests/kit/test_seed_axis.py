"""Tests of rlbench.seed_axis: what is of the seeds is found by comparing, and what has no axis of theirs is named."""

from typing import Any

import pytest
import torch

from rlbench.agent_state import join, merge, nbytes, pick, same, snapshot, split, widen
from rlbench.seed_axis import SEEDS, SHARED, AxisError, Shared, axes_of, late


def state(seeds: int) -> dict[str, Any]:
    """Of a learner with four observations, four layers and two groups of an optimiser: as many as there are seeds."""
    rows = torch.arange(float(seeds))
    return {
        "net": {"0.weight": rows.view(-1, 1, 1).repeat(1, 4, 2), "0.bias": rows.view(-1, 1).clone()},
        "layers": [rows.clone() + 10 * i for i in range(4)],
        "learners": [{"name": str(s), "table": torch.full((4,), float(s))} for s in range(seeds)],
        "hidden": [64, 64, 32, 32],
        "adam": {"state": {}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]} for _ in range(4)]},
        "bounds": Shared(torch.tensor([1.0, 2.0, 3.0, 4.0])),
        "count": torch.tensor(3),
        "steps": 7,
        "mode": "train",
        "later": None,
        "queue": [],
        "rows": torch.zeros(0),
    }


AXES = axes_of(state(4), state(1), (4, 1))


def test_what_grows_with_the_seeds_belongs_to_them() -> None:
    assert AXES == {
        "net": {"0.weight": SEEDS, "0.bias": SEEDS},
        "layers": [SEEDS] * 4,
        "learners": SEEDS,
        "hidden": SHARED,
        "adam": {"state": {}, "param_groups": [{"lr": SHARED, "betas": SHARED, "params": SHARED}] * 4},
        "bounds": SHARED,
        "count": SHARED,
        "steps": SHARED,
        "mode": SHARED,
        "later": None,
        "queue": None,
        "rows": None,
    }
    assert axes_of(state(1), state(2), (1, 2)) == AXES  # found of any two numbers of seeds


def test_one_seed_is_picked_by_what_is_known_where_sizes_would_mislead() -> None:
    whole, wrong = state(4), pick(state(4), 2, 4)
    one = pick(snapshot(whole), 2, 4, AXES)
    assert len(wrong["hidden"]) == 1  # what a size alone makes of it
    assert one["net"]["0.weight"].tolist() == [[[2.0, 2.0]] * 4]
    assert [layer.tolist() for layer in one["layers"]] == [[2.0], [12.0], [22.0], [32.0]]
    assert [learner["name"] for learner in one["learners"]] == ["2"]
    assert one["hidden"] == [64, 64, 32, 32]
    assert len(one["adam"]["param_groups"]) == 4
    assert one["adam"]["param_groups"][0]["betas"] == [0.9, 0.999]
    assert one["bounds"].value.tolist() == [1.0, 2.0, 3.0, 4.0]
    grown = {"adam": {"state": {0: {"step": torch.tensor(1.0), "mean": torch.ones(4, 2)}}}}
    assert pick(grown, 2, 4, AXES)["adam"]["state"][0]["mean"].shape == (1, 2)  # unknown then: seen by its size


def test_states_are_joined_and_merged_by_what_is_known() -> None:
    whole = snapshot(state(4))
    parts = [pick(whole, s, 4, AXES) for s in range(4)]
    assert same(join(parts, [1] * 4, AXES), whole)
    new, old = snapshot(whole), snapshot(whole)
    for layer, value in ((new["layers"][1], 5.0), (old["layers"][1], 6.0)):
        layer.fill_(value)
    old["hidden"], old["bounds"] = [1, 2, 3, 4], Shared(torch.zeros(4))
    merged = merge(new, old, [True, False, True, False], AXES)
    assert merged["layers"][1].tolist() == [5.0, 6.0, 5.0, 6.0]
    assert merged["hidden"] == [64, 64, 32, 32]
    assert merged["bounds"].value.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_seeds_that_go_on_take_along_what_is_shared_and_their_part_of_lists() -> None:
    whole = state(4)
    kept, left = split(whole, state(2), [1, 3], 4)
    assert [layer.tolist() for layer in kept["layers"]] == [[1.0, 3.0], [11.0, 13.0], [21.0, 23.0], [31.0, 33.0]]
    assert kept["bounds"].value.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert kept["hidden"] == [64, 64, 32, 32]
    assert same(widen(kept, left, [1, 3], 4), whole)


def test_copies_comparisons_and_sizes_look_into_what_is_shared() -> None:
    shared = Shared(torch.ones(3))
    kept = snapshot({"x": shared})["x"]
    shared.value.fill_(2)
    assert kept.value.tolist() == [1.0] * 3
    assert not same(kept, shared)
    assert not same(kept, torch.ones(3))
    assert same(kept, Shared(torch.ones(3)))
    assert nbytes([kept]) == 12
    assert repr(Shared(3)) == "Shared(3)"


@pytest.mark.parametrize(
    ("four", "one", "text"),
    [
        (
            torch.ones(4),
            torch.ones(4),
            r"^state_dict\(\)\['x'\] of shape \(4,\) has no seed axis.*rlbench\.Shared\(val",
        ),
        (
            torch.ones(1, 3),
            torch.ones(1, 3),
            r"\['x'\] of shape \(1, 3\) has no seed axis: .* 4 seeds and for one seed",
        ),
        (torch.ones(7, 4, 2), torch.ones(7, 1, 2), r"\(7, 4, 2\) has its seed axis in place 1.*x\.movedim\(1, 0\)"),
        (torch.ones(0, 4), torch.ones(0, 1), "has its seed axis in place 1"),
        (torch.ones(8), torch.ones(2), r"the shapes \(8,\) and \(2,\) for 4 seeds and for one seed: give it a leading"),
        (torch.ones(4, 4), torch.ones(1, 1), "no other that depends on how many there are"),
        (torch.ones(4), torch.ones(()), r"the shapes \(4,\) and \(\)"),
        ([1] * 8, [1] * 2, r"\['x'\] has 8 and 2 entries for 4 seeds and for one seed"),
        ([1, torch.ones(2)], [1, torch.ones(2)], r"\['x'\]\[1\] of shape \(2,\) has no seed axis"),
        ({"a": {0: torch.ones(3)}}, {"a": {0: torch.ones(3)}}, r"\['x'\]\['a'\]\[0\] of shape"),
        (dict.fromkeys(range(4), 0), {0: 0}, r"\['x'\] has other keys for 4 seeds and for one seed \(1, 2, 3\)"),
        (Shared(torch.ones(4, 2)), Shared(torch.ones(1, 2)), "is Shared, but looks otherwise"),
        (Shared([torch.ones(4)]), Shared([torch.ones(1)]), "is Shared, but looks otherwise"),
    ],
)
def test_what_has_no_axis_of_the_seeds_is_named(four: Any, one: Any, text: str) -> None:
    with pytest.raises(AxisError, match=text) as e:
        axes_of({"x": four}, {"x": one}, (4, 1))
    assert "\n" not in str(e.value)


def test_what_differs_in_kind_is_not_judged() -> None:
    for four, one in (({}, 1), ([1], None), (torch.ones(4), 3)):
        assert axes_of({"x": four}, {"x": one}, (4, 1)) == {"x": None}


def test_what_comes_later_without_a_row_for_each_seed_is_found() -> None:
    grown = snapshot(state(4))
    assert late(grown, AXES, 4) == []
    grown["adam"]["state"] = {0: {"step": torch.tensor(1.0), "mean": torch.ones(4, 2), "flat": torch.ones(9)}}
    grown["rows"], grown["hidden"] = torch.ones(6, 4), [1]
    grown["bounds"] = Shared(torch.ones(9))
    assert late(grown, AXES, 4) == [
        "state_dict()['adam']['state'][0]['flat'] of shape (9,)",
        "state_dict()['rows'] of shape (6, 4)",
    ]
