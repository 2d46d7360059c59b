"""A run says once, with a value that would do, when its evaluations cost more than its training."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from test_evaluations import recipe

import rlbench
from rlbench.recipe import Recipe
from rlbench.recipe.eval_cost import Cost, advice
from rlbench.record.watcher import Watcher
from rlbench.rollout.env_batch import EnvBatch
from rlbench.training import train as training


class Listener(Watcher):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, text: str) -> None:
        self.heard.append(text)

    @property
    def of_cost(self) -> list[str]:
        return [text for text in self.heard if text.startswith("evaluations have taken")]


def on_a_clock(monkeypatch: pytest.MonkeyPatch, training: float, evaluating: float) -> None:
    """A step of each takes so many seconds, by the clock that the run looks at."""

    class Clock:
        now = 1000.0

        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def perf_counter(self) -> float:
            return self.now

    clock, step = Clock(), EnvBatch.step

    def slow(self: EnvBatch, *asked: Any) -> Any:
        clock.now += evaluating if self.pausing else training
        return step(self, *asked)

    monkeypatch.setattr(EnvBatch, "step", slow)
    for module in ("session", "evaluations"):
        monkeypatch.setattr(f"rlbench.training.{module}.time", clock)


def asked(text: str) -> tuple[str, int]:
    """The one change that a note advises, which a recipe takes."""
    ((key, value),) = re.findall(r"--set (\w+)=(\d+)", text)
    changed = Recipe.load("default", env="CartPole-v1", overrides=[f"{key}={value}"])
    assert getattr(changed, key) == int(value)
    return key, int(value)


KEYS = {"eval_share": 0.25, "eval_episodes": 10}


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_said_once_while_the_run_goes_on(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_clock(monkeypatch, 0.1, 0.5)
    listener = Listener()
    keys = {**KEYS, "eval_every": 40, "final_eval_episodes": 0, "workers": workers}
    rlbench.train(recipe=recipe(**keys), out=tmp_path / "run", watcher=listener)
    (said,) = listener.of_cost
    assert re.search(r"^evaluations have taken \d\d % of the time so far, \d+s of \d+s: more than training\. ", said)
    key, value = asked(said)
    assert key == "eval_every"
    assert value > 40


def test_a_value_is_named_that_would_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_a_clock(monkeypatch, 0.1, 1.0)
    listener = Listener()
    keys = {**KEYS, "total_steps": 1500, "seeds": 1, "final_eval_episodes": 0}
    rlbench.train(recipe=recipe(**keys, eval_every=50), out=tmp_path / "dear", watcher=listener)
    (said,) = listener.of_cost
    key, value = asked(said)
    cheap = Listener()
    run = rlbench.train(recipe=recipe(**keys, **{key: value}), out=tmp_path / "cheap", watcher=cheap)
    assert cheap.of_cost == []
    cost = Cost(*training.newest(run.folder).content["training"]["eval_cost"])
    assert 0 < cost.seconds <= 0.5 * 150  # a quarter was meant, of runs whose episodes differ in length


def test_of_evaluations_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_a_clock(monkeypatch, 0.1, 2.0)
    listener = Listener()
    rlbench.train(recipe=recipe(**KEYS, eval_every=0), out=tmp_path / "run", watcher=listener)
    (said,) = listener.of_cost
    assert asked(said)[0] in ("eval_episodes", "final_eval_episodes")


@pytest.mark.parametrize(
    ("training", "evaluating"),
    [
        (0.1, 0.001),  # training takes longer
        (0.001, 0.01),  # all is over soon
        (0.1, 0.0),
    ],
)
def test_nothing_is_said_where_it_matters_to_nobody(
    training: float, evaluating: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_clock(monkeypatch, training, evaluating)
    listener = Listener()
    rlbench.train(recipe=recipe(**KEYS, eval_every=40), out=tmp_path / "run", watcher=listener)
    assert listener.of_cost == []


def test_a_resumed_run_knows_what_was_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_clock(monkeypatch, 0.1, 0.5)
    rlbench.train(recipe=recipe(**KEYS, eval_every=40), out=tmp_path / "run")
    before = Cost(*training.newest(tmp_path / "run").content["training"]["eval_cost"])
    training.resume(tmp_path / "run", total_steps=320)
    after = Cost(*training.newest(tmp_path / "run").content["training"]["eval_cost"])
    assert (before.evaluations, after.evaluations) == (6, 8)
    assert after.seconds > before.seconds > 0


ADVICE = Recipe.load("default", env="CartPole-v1", overrides=["total_steps=100_000", "eval_every=1_000"])


@pytest.mark.parametrize(
    ("cost", "env_steps", "train_seconds", "words"),
    [
        (Cost(), 0, 0.0, ""),
        (Cost(1, 4.9), 1_000, 1.0, ""),  # too early to tell
        (Cost(1, 12.0), 1_000, 7.9, ""),  # a short run
        (Cost(10, 40.0), 10_000, 41.0, ""),
        (Cost(10, 40.0), 10_000, 20.0, "67 % of the time so far, 40s of 1m00s: .*--set eval_every=10000, .*a quarter"),
        (Cost(10, 40.0), 10_000, 0.2, "--set eval_every=100000, those during training would take less"),
        (Cost(0, 0.0, 30.0, 20.0), 100_000, 12.0, "--set final_eval_episodes=1, those at the end .* a quarter"),
        (Cost(0, 0.0, 90.0, 60.0), 100_000, 60.0, "--set final_eval_episodes=5, those at the end .* a quarter"),
        (Cost(0, 0.0, 90.0, 0.0), 100_000, 60.0, "--set final_eval_episodes=1, those at the end would take less"),
    ],
)
def test_what_is_advised(cost: Cost, env_steps: int, train_seconds: float, words: str) -> None:
    said = advice(ADVICE, cost, env_steps, train_seconds)
    assert re.search(words, said) if words else not said, said
    if words:
        asked(said)


def test_the_only_one_is_made_shorter_and_not_rarer() -> None:
    only = ADVICE.replace(eval_every=0, eval_episodes=40)
    assert asked(advice(only, Cost(1, 80.0), 100_000, 60.0)) == ("eval_episodes", 7)
    assert advice(only.replace(eval_episodes=1), Cost(1, 80.0), 100_000, 60.0).endswith("They are as few as can be.")
