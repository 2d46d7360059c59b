"""What a policy's numbers mean, by the space of actions."""

from typing import Any

import pytest
import torch
from conftest import make_spec

from rlbench.distributions import Categorical, DiagonalNormal, MultiCategorical
from rlbench.policies import PolicyForm

BOX = {"num_actions": None, "action_shape": (2,)}


@pytest.mark.parametrize(
    ("spec", "numbers", "kind", "shown"),
    [
        ({"num_actions": 3}, 3, Categorical, {"probabilities"}),
        ({**BOX, "action_sizes": (3, 2)}, 5, MultiCategorical, set()),
        ({**BOX, "action_low": -torch.ones(2), "action_high": torch.ones(2)}, 2, DiagonalNormal, {"mean", "std"}),
        (
            {**BOX, "action_shape": (), "action_low": -torch.ones(()), "action_high": torch.ones(())},
            1,
            DiagonalNormal,
            {"mean", "std"},
        ),
    ],
)
def test_each_space_has_its_form(spec: Any, numbers: int, kind: type, shown: set[str]) -> None:
    form = PolicyForm(make_spec(**spec))
    assert form.numbers == numbers
    assert form.chosen == (kind is not DiagonalNormal)
    shape = spec.get("action_shape", ())
    policy = form.policy(torch.zeros(2, 3, numbers), None, torch.zeros(2, 1, *shape))
    assert type(policy) is kind
    assert policy.mode.shape == (2, 3, *shape)
    assert set(form.shown(policy)) == shown
    assert all(x.shape[:2] == (2, 3) and x.dim() == 3 for x in form.shown(policy).values())
    drawn = policy.mode
    assert torch.equal(form.action(drawn), drawn)


def test_a_mask_is_handed_on() -> None:
    legal = torch.tensor([[[False, True, False]]])
    assert PolicyForm(make_spec(num_actions=3)).policy(torch.zeros(1, 1, 3), legal).probabilities.tolist() == [
        [[0, 1, 0]]
    ]
    form = PolicyForm(make_spec(**BOX, action_sizes=(1, 2)))
    policy = form.policy(torch.zeros(1, 1, 3), torch.tensor([[[True, False, True]]]))
    assert policy.mode.tolist() == [[[0, 1]]]


def test_draws_count_in_halves_of_what_lies_between_two_bounds() -> None:
    low, high = torch.tensor([0.0, -1.0, -torch.inf, -3e38]), torch.tensor([8.0, torch.inf, torch.inf, 3e38])
    spec = make_spec(num_actions=None, action_shape=(4,), action_low=low, action_high=high)
    form = PolicyForm(spec)
    drawn = torch.tensor([[[-1.0, -3.0, -7.0, 0.5], [0.0, 3.0, 7.0, -1.0], [2.0, 0.0, 0.0, 9.0]]])
    due = [[0.0, -1.0, -7.0, 1.5e38], [4.0, 3.0, 7.0, -3e38], [8.0, 0.0, 0.0, 3e38]]
    torch.testing.assert_close(form.action(drawn), torch.tensor([due]))
    shown = form.shown(form.policy(drawn, None, torch.zeros(1, 1, 4)))
    assert shown["std"][0, 0].tolist() == pytest.approx([4.0, 1.0, 1.0, 3e38])
    assert shown["mean"][0, 2, 0].item() == 12.0  # the normal's own, beyond the bound
