"""Tests of rlbench.agent_state: copies of nested states, and single seeds picked out of them."""

from typing import Any

import pytest
import torch

from rlbench.agent_state import join, merge, nbytes, pick, same, snapshot, split, widen


def state(offset: float, steps: int) -> dict[str, Any]:
    """A state of S = 3 learners with every kind of leaf."""
    return {
        "net": {"weight": torch.arange(12.0).view(3, 2, 2) + offset, "count": torch.tensor([1, 2, 3]) + int(offset)},
        "learners": [{"table": torch.full((2,), offset + s), "name": f"{s}@{offset}"} for s in range(3)],
        "steps": steps,
        "scale": torch.tensor(offset),
        "shared": torch.full((5,), offset),
        "flags": [True, False],
    }


def test_snapshot_is_deep_and_keeps_everything() -> None:
    live = state(0.0, 7)
    live["parameter"] = torch.nn.Parameter(torch.ones(3, 2))
    live["pair"] = (torch.zeros(3), 1)
    kept = snapshot(live)
    for tensor in (live["net"]["weight"], live["learners"][1]["table"], live["parameter"].data, live["pair"][0]):
        tensor.fill_(99)
    live["flags"].append(True)
    live["net"]["new"] = 1
    assert kept["net"]["weight"].tolist() == state(0.0, 7)["net"]["weight"].tolist()
    assert kept["learners"][1]["table"].tolist() == [1.0, 1.0]
    assert kept["parameter"].tolist() == [[1.0, 1.0]] * 3
    assert not kept["parameter"].requires_grad
    assert kept["pair"][0].tolist() == [0.0] * 3
    assert kept["pair"][1] == 1
    assert kept["flags"] == [True, False]
    assert "new" not in kept["net"]
    assert kept["net"]["count"].dtype == torch.int64


def test_snapshot_of_a_view_does_not_hold_the_whole_storage() -> None:
    kept = snapshot({"row": torch.zeros(1000, 10)[3:4]})
    assert kept["row"].untyped_storage().nbytes() == 40


def test_merge_takes_the_new_of_some_seeds_and_the_old_of_the_others() -> None:
    new, old = state(100.0, 9), state(0.0, 7)
    merged = merge(new, old, [True, False, True])
    for leaf in ("weight", "count"):
        for s, source in enumerate((new, old, new)):
            assert torch.equal(merged["net"][leaf][s], source["net"][leaf][s])
        assert merged["net"][leaf].dtype == new["net"][leaf].dtype
    assert [one["name"] for one in merged["learners"]] == ["0@100.0", "1@0.0", "2@100.0"]
    assert merged["learners"][1]["table"].tolist() == [1.0, 1.0]
    assert merged["steps"] == 9  # what all seeds share is the new one's
    assert merged["scale"] == 100
    assert merged["shared"].tolist() == [100.0] * 5
    assert merged["flags"] == [True, False]


def test_merge_of_all_and_of_none() -> None:
    new, old = state(100.0, 9), state(0.0, 7)
    assert torch.equal(merge(new, old, [True] * 3)["net"]["weight"], new["net"]["weight"])
    assert torch.equal(merge(new, old, [False] * 3)["net"]["weight"], old["net"]["weight"])
    assert merge({"later": torch.ones(3)}, {}, [False] * 3)["later"].tolist() == [1.0] * 3  # nothing old to take


def test_merge_does_not_carry_a_diverged_seed_over() -> None:
    new, old = {"w": torch.full((2, 2), float("nan"))}, {"w": torch.ones(2, 2)}
    assert merge(new, old, [False, True])["w"][0].tolist() == [1.0, 1.0]


def test_pick_takes_one_seed_with_its_axis() -> None:
    whole = state(0.0, 7)
    one = pick(whole, 1, 3)
    assert one["net"]["weight"].tolist() == [[[4.0, 5.0], [6.0, 7.0]]]
    assert one["net"]["count"].tolist() == [2]
    assert one["learners"] == [whole["learners"][1]]
    assert one["steps"] == 7
    assert one["scale"].shape == ()
    assert one["shared"].shape == (5,)
    assert one["flags"] == [True, False]
    one["net"]["weight"].fill_(-1)
    assert whole["net"]["weight"].min() == 0


def test_join_puts_together_what_pick_took_apart() -> None:
    whole = state(0.0, 7)
    alone = [pick(whole, s, 3) for s in range(3)]
    joined = join(alone, [1, 1, 1])
    assert torch.equal(joined["net"]["weight"], whole["net"]["weight"])
    assert joined["net"]["count"].tolist() == [1, 2, 3]
    assert joined["learners"] == whole["learners"]
    assert joined["steps"] == 7
    assert joined["scale"].shape == ()
    assert joined["shared"].shape == (5,)
    assert joined["flags"] == [True, False]
    pair = join(alone[:2], [1, 1])
    assert torch.equal(join([pair, alone[2]], [2, 1])["net"]["weight"], whole["net"]["weight"])


def test_split_and_widen_are_each_others_inverse() -> None:
    whole, like = state(0.0, 7), {**pick(state(0.0, 0), 0, 3), "flags": [True, False]}
    like["net"].update({key: torch.zeros(2, *t.shape[1:]) for key, t in like["net"].items()})
    like["learners"] = [{}, {}]
    kept, left = split(whole, like, [0, 2], 3)
    assert kept["net"]["count"].tolist() == [1, 3]
    assert kept["learners"] == [whole["learners"][0], whole["learners"][2]]
    assert kept["flags"] == [True, False]  # as long as those kept, and shared
    assert same(widen(kept, left, [0, 2], 3), whole)
    whole["net"]["count"].fill_(9)
    whole["learners"][1]["table"].fill_(9)
    assert same(widen(kept, left, [0, 2], 3), state(0.0, 7))  # a copy


def test_what_is_as_long_as_there_are_seeds_is_shared_where_fewer_seeds_have_as_much() -> None:
    kept, left = split(
        {"mean": torch.ones(3), "sizes": [1, 2, 3]}, {"mean": torch.zeros(3), "sizes": [4, 5, 6]}, [1], 3
    )
    assert kept == {"mean": kept["mean"], "sizes": [1, 2, 3]}
    assert kept["mean"].tolist() == [1, 1, 1]
    assert widen({"mean": torch.zeros(3), "sizes": [7]}, left, [1], 3)["sizes"] == [7]  # of now


@pytest.mark.parametrize(
    ("whole", "like"),
    [
        (torch.ones(6), torch.ones(4)),
        (torch.ones(5, 3), torch.ones(5, 2)),
        (torch.ones(3, 3), torch.ones(0, 2)),
        ([torch.ones(5), torch.ones(3)], [torch.ones(4), torch.ones(2)]),
        ([[torch.ones(3)], [torch.ones(6)], 1], [[torch.ones(2)], [torch.ones(4)], 1]),
        ([1, 2, 3], []),
        (torch.ones(3), 0.0),
    ],
)
def test_what_cannot_be_split_is_refused(whole: Any, like: Any) -> None:
    with pytest.raises(ValueError, match="neither shared nor has a row"):
        split({"x": whole}, {"x": like}, [0, 1], 3)


def test_what_comes_into_being_after_a_split_has_zeros_for_the_others() -> None:
    kept, left = split({"adam": {}, "later": None, "steps": 0}, {"adam": {}, "later": None, "steps": 0}, [1], 3)
    assert kept == {"adam": {}, "later": None, "steps": 0}
    grown = {"adam": {"mean": torch.ones(1, 2)}, "later": [torch.ones(2)], "steps": 4}
    wide = widen(grown, left, [1], 3)
    assert wide["adam"]["mean"].tolist() == [[0, 0], [1, 1], [0, 0]]
    assert [x.tolist() for x in wide["later"]] == [[0, 0], [1, 1], [0, 0]]
    assert wide["steps"] == 4
    kept, left = split({"adam": {"mean": torch.ones(3, 2)}}, {"adam": {}}, [1], 3)
    assert kept["adam"]["mean"].shape == (1, 2)


def test_rows_that_have_grown_are_filled_up_with_zeros() -> None:
    kept, left = split(
        {"rows": [torch.full((2, 1), s) for s in range(3)], "ring": torch.ones(3, 2, 1)},
        {"rows": [torch.zeros(0, 1)], "ring": torch.zeros(1, 0, 1)},
        [1],
        3,
    )
    assert kept["ring"].shape == (1, 2, 1)
    wide = widen({"rows": [torch.full((3, 1), 5)], "ring": torch.full((1, 3, 1), 5.0)}, left, [1], 3)
    assert [x.flatten().tolist() for x in wide["rows"]] == [[0, 0, 0], [5, 5, 5], [2, 2, 0]]
    assert wide["ring"].flatten(1).tolist() == [[1, 1, 0], [5, 5, 5], [1, 1, 0]]


def test_same_and_nbytes() -> None:
    assert same(
        {"a": [torch.tensor([1.0, float("nan")]), float("nan")]},
        {"a": (torch.tensor([1.0, float("nan")]), float("nan"))},
    )
    assert not same({"a": torch.tensor([1.0, float("nan")])}, {"a": torch.tensor([1.0, 2.0])})
    assert not same({"a": 1}, {"b": 1})
    assert not same([1], [1, 2])
    assert nbytes({"a": [torch.zeros(3), 1], "b": torch.zeros(2, dtype=torch.uint8)}) == 14
