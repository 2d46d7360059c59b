"""The agents that come along conform."""

import pytest

from rlbench.checks import assert_conforms
from rlbench.recipe.registry import BUILT_IN


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_it_conforms(name: str) -> None:
    assert_conforms(name, without=["cost"], seed=4, quick=True)


@pytest.mark.planted
@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "sarsa"])  # nearly all of it is q_learning's
def test_it_conforms_in_full(name: str) -> None:
    assert_conforms(name, without=["cost"], seed=4)


@pytest.mark.planted
@pytest.mark.parametrize(("name", "env"), [("dqn", "CartPole-v1"), ("sac", "Pendulum-v1"), ("q_learning", "Taxi-v4")])
def test_it_conforms_in_an_environment_of_ones_own(name: str, env: str) -> None:
    assert_conforms(name, without=["cost", "values"], env=env)
