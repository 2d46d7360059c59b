"""updates.csv: a row only where there was an update since the last one, with the means over all of them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rlbench.agents.random import Random
from test_promises import rows
from torch import Tensor

import rlbench
from rlbench.recipe import Recipe
from rlbench.recipe.build import KEEP_COPIES, build, make_envs
from rlbench.rollout.loop import run
from rlbench.training import session
from rlbench.training import train as training
from rlbench.training.learned import CHUNK, Learned


def random_metrics(count: int, seeds: int, missing: float = 0.0) -> list[dict[str, Tensor]]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        values = rng.normal(size=(2, 5))  # of five seeds; those asked for are the first
        values[rng.random((2, 5)) < missing] = np.nan
        found.append(
            {name: torch.from_numpy(x[:seeds].astype(np.float32)) for name, x in zip("ab", values, strict=True)}
        )
    return found


def collected(metrics: list[dict[str, Tensor]], lasting: bool = False) -> Learned:
    learned = Learned(lasting=lasting)
    for one in metrics:
        learned.add(one)
    return learned


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_means_are_those_of_a_naive_loop(count: int, lasting: bool) -> None:
    metrics = random_metrics(count, 3, missing=0.2)
    means = collected(metrics, lasting).means()
    for name in "ab":
        for s in range(3):
            known = [float(one[name][s]) for one in metrics if not math.isnan(one[name][s])]
            wanted = math.fsum(known) / len(known) if known else math.nan
            assert float(means[name][s]) == pytest.approx(wanted, rel=1e-12, nan_ok=True)


def test_what_was_infinite_is_remembered_once_it_is_written_down() -> None:
    signs = [torch.tensor([1.0, math.inf, math.inf, math.nan]), torch.tensor([1.0, -math.inf, 1.0, math.nan])]
    learned = collected([{"a": one, "b": torch.ones(4)} for one in signs])
    assert {name: wild.tolist() for name, wild in learned.infinite().items()} == {"a": [False, True, True, False]}
    saved = learned.state_dict()
    learned.clear()
    learned.add({"a": torch.tensor([math.inf, 0.0, 0.0, 0.0]), "b": torch.ones(4)})
    assert learned.infinite()["a"].tolist() == [True, True, True, False]
    learned.load_state_dict(saved)
    learned.add({"a": torch.zeros(4), "b": torch.ones(4)})
    assert learned.infinite()["a"].tolist() == [False, True, True, False]


def test_a_seed_has_the_same_bits_alone_and_among_others() -> None:
    count = 2 * CHUNK + 5
    wide, alone = collected(random_metrics(count, 5)).means(), collected(random_metrics(count, 1)).means()
    assert all(wide[name][0] == alone[name][0] for name in "ab")


def test_looking_and_saving_in_between_change_no_bit() -> None:
    metrics = random_metrics(2 * CHUNK + 5, 3, missing=0.1)
    whole, cut = collected(metrics), Learned()
    for i, one in enumerate(metrics):
        cut.add(one)
        if i % 7 == 3:
            cut.means()
        if i % 31 == 5:
            state, cut = cut.state_dict(), Learned()
            cut.load_state_dict(state)
    assert all(torch.equal(whole.means()[name], cut.means()[name]) for name in "ab")


def test_an_agent_may_give_the_same_tensors_every_time() -> None:
    learned, mine = Learned(), torch.zeros(2)
    for value in (1.0, 2.0, 6.0):
        mine.fill_(value)
        learned.add({"loss": mine})
    assert learned.means()["loss"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("agent", "env", "keys"),
    [("dqn", "CartPole-v1", {"learning_starts": 20, "batch_size": 8, "train_every": 1}),
     ("sac", "Pendulum-v1", {"learning_starts": 20, "batch_size": 8}),
     ("ppo", "CartPole-v1", {"rollout_steps": 8, "batch_size": 16}),
     ("pqn", "CartPole-v1", {"rollout_steps": 8, "batch_size": 16})],
)  # fmt: skip
def test_agents_that_are_said_to_write_to_no_metric_again_do_not(agent: str, env: str, keys: dict[str, int]) -> None:
    hyper = {f"{agent}.{key}": value for key, value in {"hidden": (8,), **keys}.items()}
    recipe = Recipe.load(agent=agent, env=env, overrides={"num_envs": 2, "seeds": 2, **hyper})
    parts = build(recipe, [0, 1], "cpu")
    envs = make_envs(parts, recipe)
    given, copied = [], []
    for step, _ in zip(run(parts.agent, envs), range(60), strict=False):
        given.append(step.metrics)
        copied.append({name: x.clone() for name, x in step.metrics.items()})
    envs.close()
    assert agent in KEEP_COPIES
    assert sum(map(bool, given)) >= 3
    for one, other in zip(given, copied, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)
        assert not any(x.requires_grad for x in one.values())


def test_no_graph_is_kept_of_a_loss_that_has_one() -> None:
    learned = Learned()
    learned.add({"loss": torch.ones(2, requires_grad=True) * 2})
    assert not learned.means()["loss"].requires_grad


def test_names_may_come_and_go() -> None:
    learned = Learned()
    for one in ({"a": 1.0}, {"a": 3.0, "b": 5.0}, {"b": 7.0}):
        learned.add({name: torch.tensor([value]) for name, value in one.items()})
    assert {name: x.tolist() for name, x in learned.means().items()} == {"a": [2.0], "b": [6.0]}


@pytest.mark.parametrize(
    "odd", [{"a": 1.0}, {"a": torch.tensor(1.0)}, {"a": torch.ones(2), "b": torch.ones(3)}, [1], 7]
)
def test_what_has_another_form_is_passed_over(odd: Any) -> None:
    learned = Learned()
    learned.add(odd)
    assert all(x.dim() for x in learned.means().values())
    learned.add({"c": torch.ones(2)})
    assert learned.means()["c"].tolist() == [1.0, 1.0]


class Counts(Random):
    """An update every third step, whose number is how many there have been."""

    def __init__(self, spec: Any, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.steps = torch.zeros(spec.num_seeds)

    def update(self) -> dict[str, Tensor]:
        self.steps += 1
        if int(self.steps[0]) % 3:
            return {}
        return {"number": self.steps / 3}

    @property
    def updates(self) -> int:  # type: ignore[override]
        return int(self.steps[0]) // 3

    def diagnostics(self) -> dict[str, Tensor]:
        return {"now": self.steps.clone()}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps.copy_(state["steps"])


KEYS: dict[str, Any] = {
    "seeds": 2, "num_envs": 1, "eval_every": 0, "final_eval_episodes": 0, "track": "none", "log_every": 5,
}  # fmt: skip


def test_rows_hold_the_means_since_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    run = rlbench.train("CartPole-v1", agent=Counts, total_steps=31, out=tmp_path / "run", **KEYS)
    found = [(r.env_steps, r.updates, r.number, r.now) for r in run.updates() if r.seed == 1]
    # Updates come at steps 3, 6, 9, ... with the numbers 1, 2, 3, ...; rows are due at 5, 10, 15, ...
    assert found == [
        (5, 1, 1, 5),
        (10, 3, 2.5, 10),
        (15, 5, 4.5, 15),
        (20, 6, 6, 20),
        (25, 8, 7.5, 25),
        (30, 10, 9.5, 30),
    ]


def test_there_is_no_row_without_an_update(tmp_path: Path) -> None:
    run = rlbench.train("CartPole-v1", agent=Counts, total_steps=20, out=tmp_path / "run", **{**KEYS, "log_every": 1})
    mine = run.updates()[run.updates().seed == 0]
    assert mine.env_steps.tolist() == [3, 6, 9, 12, 15, 18]
    assert (np.diff(mine.updates) > 0).all()


@pytest.mark.parametrize("at", [11, 13, 25])
def test_a_resumed_run_has_the_same_rows(at: int, tmp_path: Path) -> None:
    """Stopped between two rows, and between updates of one."""
    keys = {**KEYS, "log_every": 20}
    whole = training.train("CartPole-v1", agent=Counts, total_steps=60, out=tmp_path / "whole", **keys)
    training.train("CartPole-v1", agent=Counts, total_steps=at, out=tmp_path / "cut", **keys)
    cut = training.resume(tmp_path / "cut", agent=Counts, total_steps=60)
    assert rows(cut.folder, name="updates.csv") == rows(whole.folder, name="updates.csv")
    assert len(rows(whole.folder, name="updates.csv")) == 6
