"""Values, returns and the buffer against numbers worked out by hand; what is said of them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_spec, random_transitions

from rlbench.inspection.buffer import buffer_stats, distinct
from rlbench.inspection.findings import findings, percent
from rlbench.inspection.layers import LayerStats, Rank
from rlbench.inspection.look import PolicyStats, SeedLook
from rlbench.inspection.observed import SeenEpisode
from rlbench.inspection.values import Gap, ValueStats, estimates, excess, possible, value_stats
from rlbench.replay import Replay
from rlbench.rng import Stream
from rlbench.types import Transition


def course(rewards: list[float], terminated: bool) -> SeenEpisode:
    return SeenEpisode(torch.zeros(len(rewards), 1), {}, rewards, terminated)


def test_discounted_returns_of_a_course() -> None:
    returns, known = course([1.0, 0.0, 4.0], True).returns(0.5)
    assert returns.tolist() == [2.0, 2.0, 4.0]
    assert known.all()
    _, known = course([1.0] * 5, False).returns(0.5)  # a tenth or less beyond the cut: 0.5**4 is, and 0.5**3 is not
    assert known.tolist() == [True, True, False, False, False]
    assert not course([1.0] * 5, False).returns(1.0)[1].any()


def test_returns_that_are_possible() -> None:
    assert possible(0.0, 1.0, 0.9, 50) == pytest.approx((0.0, 10.0))  # a time limit is no end of a value
    assert possible(1.0, 1.0, 0.5, None) == (1.0, 2.0)  # one step at least
    assert possible(-2.0, -1.0, 0.5, None) == (-4.0, -1.0)
    assert possible(0.0, 1.0, 1.0, 200) == (0.0, 200.0)
    assert possible(0.0, 1.0, 1.0, None) is None
    assert possible(0.0, 1.0, None, 200) is None


def test_estimates_beside_returns() -> None:
    q = torch.tensor([[1.0, 5.0], [9.0, -math.inf], [3.0, 2.0]])
    found = value_stats({"q_values": q}, np.array([4.0, 8.0, 0.0]), np.array([True, True, False]), 0.9, (0.0, 3.0))
    assert found is not None
    assert (found.estimate.low, found.estimate.high) == (3.0, 9.0)
    assert found.q_values is not None
    assert found.q_values.low == 1.0  # an action that is not legal has no value
    assert (found.bias, found.known, found.excess) == (1.0, 2, 3.0)
    assert sum(found.came_counts) == 2
    assert found.pairs == [(4.0, 5.0), (8.0, 9.0)]
    assert value_stats({}, np.zeros(3), np.full(3, True), 0.9, None) is None
    told = estimates({"value": torch.tensor([2.0])})
    assert told is not None
    assert told[1] == "value"
    assert excess(np.array([1.0]), (0.0, 0.0)) is None


def test_what_a_buffer_holds() -> None:
    spec = make_spec((2,), num_envs=1)
    replay = Replay(spec, 8, Stream([0], "replay"))
    for i in range(12):  # over the oldest four

        def leaf(x: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.tensor([[x]], dtype=dtype)

        obs = torch.full((1, 1, 2), float(i % 4))
        end = leaf(i % 4 == 3, torch.bool)
        never = leaf(False, torch.bool)
        replay.add(Transition(obs, leaf(i % 2 if i < 8 else 0, torch.int64), leaf(i // 4), obs + 1, end, never))
    found = buffer_stats(replay)
    assert found is not None
    assert (found.held, found.capacity, found.looked_at, found.age) == (8, 8, 8, 8)
    assert (found.distinct_obs, found.distinct) == (0.5, 1.0)
    assert (found.rewards.low, found.rewards.high, found.zero, found.positive) == (1.0, 2.0, 0.0, 1.0)
    assert found.actions == [0.75, 0.25]
    assert (found.terminated, found.truncated) == (0.25, 0.0)
    assert sum(found.reward_counts) == 8
    assert [float(x) for x in replay.held()[2][0, :, 0]] == [1.0] * 4 + [2.0] * 4  # the oldest first
    assert replay.held(3)[2].shape == (1, 3, 1)
    assert buffer_stats(Replay(spec, 8, Stream([0], "replay"))) is None
    assert buffer_stats(object()) is None


def test_continuous_actions_have_no_shares() -> None:
    spec = make_spec(num_actions=None, action_shape=(2,))
    replay = Replay(spec, 50, Stream([0], "replay"))
    for transition in random_transitions(spec, 50):
        replay.add(transition)
    found = buffer_stats(replay)
    assert found is not None
    assert (found.actions, found.distinct) == ([], 1.0)
    assert found.numbers is not None
    assert found.numbers.low < 0 < found.numbers.high


def test_distinct_rows() -> None:
    assert distinct(np.array([1, 1, 2]), np.array([[0.0], [0.0], [0.0]])) == pytest.approx(2 / 3)


def seed(**changes: Any) -> SeedLook:
    """One of which nothing stands out."""
    own: dict[str, Any] = {
        "seed": 0, "observations": 500, "networks": [], "layers": [], "ranks": [], "values": None,
        "policy": PolicyStats([0.5, 0.5], None, None, None), "tables": [],
    }  # fmt: skip
    return SeedLook(**{**own, **changes})


def layer(**changes: Any) -> LayerStats:
    own: dict[str, Any] = {
        "network": "q_net", "place": 2, "kind": "ReLU", "units": 50, "mean": 0.0, "std": 1.0, "low": 0.0, "high": 1.0,
        "dead": 0.1, "saturated": None, "dormant": 0.1, "edges": [], "counts": [],
    }  # fmt: skip
    return LayerStats(**{**own, **changes})


def expected(most: float, returns: float, gamma: float = 0.9) -> ValueStats:
    found = value_stats(
        {"value": torch.full((200,), most)}, np.full(200, returns), np.full(200, True), gamma, possible(0, 1, gamma, 9)
    )
    assert found is not None
    return found


REPLAY = Replay(make_spec(), 2000, Stream([0], "replay"))
for _one in random_transitions(make_spec(), 2000):
    REPLAY.add(_one._replace(reward=_one.reward * 0, action=_one.action * 0))


@pytest.mark.parametrize(
    ("look", "kind", "says"),
    [
        (seed(layers=[layer(dead=0.82)]), "dead", "82 % of the units of layer 2 of q_net never fire"),
        (
            seed(layers=[layer(kind="Tanh", saturated=0.97)]),
            "saturated",
            "97 % of the units of layer 2 of q_net",
        ),
        (seed(layers=[layer(dormant=0.85)]), "dormant", "85 % of the units of layer 2 of q_net are dormant"),
        (seed(ranks=[Rank("q_net", 2, 128, [])]), "rank", "their effective rank is 2 of 128"),
        (seed(values=expected(100.0, 5.0)), "values", "values exceed the largest possible return, 10 by size, tenfold"),
        (seed(values=expected(30.0, 5.0)), "values", "3 times: overestimation"),
        (seed(values=expected(math.nan, 5.0)), "values", "values are not finite"),
        (
            seed(values=expected(9.0, 2.0)._replace(gap=Gap(20, 9.0, 2.0, 6.5, 7.5, 2.0))),
            "bias",
            "values lie far above what comes: 9 is expected and 2 came, in the mean of 20 episodes that it played, a "
            "difference of 6.5 at least: overestimation",
        ),
        (
            seed(policy=PolicyStats([0.0, 1.0], None, None, None)),
            "policy",
            "greedy action is 1 in every one of 500",
        ),
        (seed(buffer=buffer_stats(REPLAY)), "reward", "every reward in the buffer is 0, of 2,000"),
        (seed(buffer=buffer_stats(REPLAY)), "actions", "no transition with action 1"),
    ],
)
def test_what_stands_out_is_said_in_words(look: SeedLook, kind: str, says: str) -> None:
    found = {one.kind: one.text for one in findings(look)}
    assert says in found[kind]


@pytest.mark.parametrize(
    "look",
    [
        seed(),
        seed(layers=[layer(dead=0.7, dormant=0.7), layer(place=0, dead=None, dormant=None)]),
        seed(ranks=[Rank("q_net", 2, 8, []), Rank("q_net", 12, 64, [])]),
        seed(ranks=[Rank("value_net", 1, 64, [])], layers=[layer(network="value_net", place=0, units=1, dead=None)]),
        seed(values=expected(9.5, 8.0)),
        seed(values=expected(9.0, 2.0)._replace(gap=Gap(20, 9.0, 2.0, 1.5, 12.5, 2.0))),  # it may be no more than that
        seed(observations=20, policy=PolicyStats([1.0, 0.0], None, None, None)),
    ],
)
def test_nothing_stands_out_of_what_is_well(look: SeedLook) -> None:
    assert findings(look) == []


def test_shares_in_words() -> None:
    assert [percent(x) for x in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "under 1 %", "50 %", "nearly all", "100 %"]
