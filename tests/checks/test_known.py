"""Small environments whose values are known: the tables have the values that are worked out beside them, and a walk
does what its table says."""

import numpy as np
import pytest
import torch
from sound import Sound, SoundConfig
from torch import Tensor

from rlbench import AgentConfig, Spec, Streams
from rlbench.checks import check
from rlbench.checks.results import FAILS, LEFT_OUT
from rlbench.lessons import probes
from rlbench.lessons.known import Known, Walk, mistaken, solve

BY_HAND = {
    "CONSTANT": [(1, 1), (0, 0)],
    "TERMINATED": [(1, 1)],
    "OBSERVED": [(1, 1), (-1, -1), (1, 1)],
    "DELAYED": [(0.64, 0.64), (0.8, 0.8), (1, 1)],
    "ACTED": [(-1, 1)],
    "BOTH": [(1, -1), (-1, 1)],
    "CUT": [(10 / 3, 10 / 3), (5 / 3, 5 / 3)],
    "TIMED": [(1.992, 1.992), (1.24, 1.24), (2.8, 2.8), (1, 1)],
    "WAITING": [(1, 2.4), (3, 1)],
    "BRANCHED": [(0.48, 0.48), (1, 1), (0, 0)],
    "LARGE": [(10, 10), (-10, -10)],
    "MASKED": [(0.8, 0.8), (1, 5), (1, 5)],
    "CHOSEN": [(0.8, 0.8), (0, 1)],
    "FORCED": [(3, 0), (0, 1)],
}


def test_every_table_is_worked_by_hand() -> None:
    assert set(BY_HAND) == {name for name in vars(probes) if name.isupper()}


@pytest.mark.parametrize("name", BY_HAND)
def test_values_are_those_worked_by_hand(name: str) -> None:
    known: Known = getattr(probes, name)
    np.testing.assert_allclose(solve(known, 0.8), BY_HAND[name], atol=1e-9)


def test_mistakes_lead_to_other_values() -> None:
    """Two states in turns, cut after 3 steps, which are 0, 1, 0: of two visits to state 0 one is the last, of state 1's
    none. Who takes that for a death finds v0 = 2 + 0.4 v1 and v1 = -1 + 0.8 v0; who believes that state 0 followed,
    v0 = 2 + 0.4 v1 + 0.4 v0."""
    wrong = mistaken(probes.CUT, 0.8)
    dead, summed, again = (q for text, q in wrong.items() if "time limit" in text)
    np.testing.assert_allclose(dead[:, 0], [(2 - 0.4) / (1 - 0.32), -1 + 0.8 * (2 - 0.4) / (1 - 0.32)], atol=1e-9)
    np.testing.assert_allclose(summed[:, 0], [((2 - 0.8 + 0.64 * 2) + 2) / 2, -1 + 0.8 * 2], atol=1e-9)
    first = (2 - 0.4) / (1 - 0.32 - 0.4)
    np.testing.assert_allclose(again[:, 0], [first, -1 + 0.8 * first], atol=1e-9)
    beyond = mistaken(probes.TERMINATED, 0.8)["the value of what follows is counted on after a termination too"]
    np.testing.assert_allclose(beyond, [[5, 5]], atol=1e-9)


def walked(known: Known, actions: list[int]) -> list[tuple[float, bool, bool]]:
    env = Walk(known, "index")
    env.reset(seed=0)
    return [env.step(np.int64(a))[1:4] for a in actions]


def test_a_walk_does_what_the_table_says() -> None:
    assert walked(probes.CUT, [0, 1, 0]) == [(2.0, False, False), (-1.0, False, False), (2.0, False, True)]
    assert walked(probes.WAITING, [1, 0]) == [(0.0, False, False), (3.0, True, False)]
    assert walked(probes.WAITING, [0]) == [(1.0, True, False)]
    env = Walk(probes.MASKED, "index")
    while env.reset()[0] != 0:
        pass
    assert env.step(np.int64(0))[4]["action_mask"].tolist() == [True, False]
    with pytest.raises(RuntimeError, match="forbids"):
        env.step(np.int64(1))


def test_chance_is_that_of_the_table() -> None:
    env = Walk(probes.BRANCHED, "index")
    led = []
    for seed in range(400):
        env.reset(seed=seed)
        led.append(int(env.step(np.int64(0))[0]) == 1)
    assert np.mean(led) == pytest.approx(0.6, abs=0.1)


def test_states_are_told_apart_in_every_form() -> None:
    for form in ("vector", "index", "pixels"):
        env = Walk(probes.OBSERVED, form)
        seen = {np.asarray(env.reset(seed=seed)[0]).tobytes() for seed in range(30)}
        assert len(seen) == 3
        assert env.observation_space.contains(env.reset(seed=0)[0])


def test_what_needs_no_discount_is_asked_of_an_agent_that_has_none() -> None:
    class NoGammaConfig(AgentConfig):
        pass

    class Idle(Sound):
        """Learns nothing, explains nothing, and always does the same."""

        Config = NoGammaConfig

        def __init__(self, spec: Spec, config: NoGammaConfig, streams: Streams) -> None:
            super().__init__(spec, SoundConfig(), streams)

        def act(self, obs: Tensor, *, explore: bool) -> Tensor:
            return torch.zeros(obs.shape[:2], dtype=torch.int64)

        def explain(self, obs: Tensor) -> dict[str, Tensor]:
            return {}

    found = {row.name: row.status for row in check(Idle, rows=["rewarded-action", "delayed-reward"]).rows}
    assert (found["rewarded-action"], found["delayed-reward"]) == (FAILS, LEFT_OUT)
