"""What a learner, written for one seed, shows of itself reaches the record of all seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_spec

import rlbench
from rlbench.errors import AgentError
from rlbench.learner import lift
from rlbench.rng import Streams


class Shows(rlbench.Learner):
    """Shows what it is given to show."""

    shown: Any = staticmethod(lambda one: {})

    def __init__(self, spec: Any, config: Any, rng: np.random.Generator) -> None:
        self.first = float(rng.random())
        self.steps = 0

    def act(self, obs: Any, *, explore: bool) -> Any:
        return torch.zeros(len(obs), dtype=torch.int64)

    def observe(self, transition: Any) -> None:
        self.steps += 1

    def update(self) -> dict[str, float]:
        self.updates += 1
        return {"loss": 1.0}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.updates = state["steps"], state["updates"]

    def diagnostics(self) -> Any:
        return type(self).shown(self)

    def explain(self, obs: Any) -> Any:
        return type(self).shown(self)


def lifted(shown: Any, seeds: int = 3) -> Any:
    Shows.shown = staticmethod(shown)
    return lift(Shows)(make_spec(num_seeds=seeds), Shows.Config(), Streams(range(seeds)))


def test_numbers_and_tensors_of_all_learners_get_the_seed_axis() -> None:
    agent = lifted(lambda one: {"first": one.first, "q_values": torch.full((4, 2), one.first), "count": np.int64(3)})
    found = agent.diagnostics()
    firsts = [one.first for one in agent.learners]
    assert len(set(firsts)) == 3
    assert found["first"].tolist() == pytest.approx(firsts)
    assert found["q_values"].shape == (3, 4, 2)
    assert found["q_values"][:, 0, 0].tolist() == pytest.approx(firsts)
    assert found["count"].tolist() == [3, 3, 3]


def test_a_learner_may_show_nothing() -> None:
    assert lifted(lambda one: {}).diagnostics() == {}
    assert lift(Shows)  # a base class's own is enough
    assert rlbench.Learner.diagnostics(object()) == {}  # type: ignore[arg-type]


def test_what_only_some_show_or_in_other_shapes_is_left_out() -> None:
    agent = lifted(lambda one: {"all": 1.0, "odd": torch.zeros(1 + int(one.first * 1000)), f"x{one.first}": 1.0})
    assert agent.diagnostics().keys() == {"all"}


@pytest.mark.parametrize(
    ("shown", "wrong"),
    [(lambda one: [1.0], "Shows.diagnostics gave a list"), (lambda one: {"a": "much"}, "that is no number")],
)
def test_what_a_learner_may_not_show(shown: Any, wrong: str) -> None:
    with pytest.raises(AgentError, match=wrong):
        lifted(shown).diagnostics()


def test_what_learners_explain_gets_the_seed_axis() -> None:
    agent = lifted(lambda one: {"value": torch.full((2,), one.first), f"x{one.first}": torch.zeros(2)})
    found = agent.explain(torch.zeros(3, 2, 1))
    assert found.keys() == {"value"}
    assert found["value"][:, 0].tolist() == pytest.approx([one.first for one in agent.learners])


@pytest.mark.parametrize(
    ("shown", "wrong"),
    [
        (lambda one: None, "Shows.explain gave a NoneType, expected a dict of tensors"),
        (lambda one: {"value": 1.0}, "Shows.explain gave no tensors of one shape"),
        (lambda one: {"value": torch.zeros(1 + int(one.first * 1000))}, "Shows.explain gave no tensors of one shape"),
    ],
)
def test_what_a_learner_may_not_explain(shown: Any, wrong: str) -> None:
    with pytest.raises(AgentError, match=wrong):
        lifted(shown).explain(torch.zeros(3, 2, 1))


class Remembers(Shows):
    """Remembers a number for each environment."""

    def begin(self, started: Any, *, explore: bool) -> None:
        self.kept = torch.zeros(started.shape)

    def act(self, obs: Any, *, explore: bool) -> Any:
        self.kept = self.kept + self.first
        return super().act(obs, explore=explore)

    def recall(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def remember(self, memory: Any) -> None:
        self.kept = memory["kept"]


def test_what_learners_remember_gets_the_seed_axis() -> None:
    agent: Any = lift(Remembers)(make_spec(num_seeds=3), Remembers.Config(), Streams(range(3)))
    agent.begin(torch.ones(3, 2, dtype=torch.bool), explore=False)
    assert agent.recall()["kept"].tolist() == torch.zeros(3, 2).tolist()
    agent.act(torch.zeros(3, 2, 4), explore=False)
    kept = agent.recall()["kept"]
    assert kept[:, 1].tolist() == pytest.approx([one.first for one in agent.learners])
    agent.begin(torch.ones(3, 5, dtype=torch.bool), explore=False)
    agent.remember({"kept": kept})
    assert [one.kept.tolist() for one in agent.learners] == kept.tolist()
    assert lifted(lambda one: {}).recall() == {}


def test_it_is_recorded(tmp_path: Path) -> None:
    Shows.shown = staticmethod(lambda one: {"steps": one.steps})
    keys: dict[str, Any] = {"eval_every": 0, "final_eval_episodes": 0, "track": "none", "log_every": 10}
    run = rlbench.train("CartPole-v1", agent=Shows, seeds=2, num_envs=1, total_steps=60, out=tmp_path / "run", **keys)
    assert run.updates().steps.tolist() == run.updates().env_steps.tolist()
    assert len(run.updates()) == 12
