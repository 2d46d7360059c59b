"""What every agent has to keep: interface, learning on small environments, exploration, resuming, seeds, ..."""

from rlbench.checks import assert_conforms
from rlbench.templates.learner import MyLearner


def test_my_learner() -> None:
    assert_conforms(MyLearner)
