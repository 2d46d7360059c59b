"""The recipes still learn as the golden curves in experiments/golden/ say, within what another machine may change."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import rlbench
from rlbench.stats.intervals import bootstrap_interval, iqm

GOLDEN = Path(__file__).parents[2] / "experiments" / "golden"


def area(rows: list[dict[str, str]]) -> float:
    """Mean over evaluations of the IQM over seeds: the height of the whole curve."""
    at: dict[int, list[float]] = {}
    for row in rows:
        at.setdefault(int(row["env_steps"]), []).append(float(row["mean_return"]))
    return float(np.mean([iqm(np.array(values)) for values in at.values()]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "env", "slack"),
    [("dqn", "CartPole-v1", 25.0), ("dqn", "rlbench/Catch-v0", 0.05), ("q_learning", "CliffWalking-v1", 1.0)],
)
def test_a_recipe_learns_as_its_golden_curve_says(agent: str, env: str, slack: float, tmp_path: Path) -> None:
    name = env.replace("/", "-")
    with (GOLDEN / agent / f"{name}.csv").open(encoding="utf-8") as file:
        old = list(csv.DictReader(file))
    summary = json.loads((GOLDEN / agent / f"{name}.json").read_text(encoding="utf-8"))
    run = rlbench.train(env, agent=agent, seed=0, seeds=10, workers=2, out=tmp_path / "run")
    with (run.folder / "evaluations.csv").open(encoding="utf-8") as file:
        new = list(csv.DictReader(file))

    assert run.summary["env_steps"] == summary["env_steps"]
    assert run.summary["updates"] == summary["updates"]
    assert [(row["seed"], row["env_steps"]) for row in new] == [(row["seed"], row["env_steps"]) for row in old]
    final = iqm(np.array(list(run.summary["final_eval_return"].values())))
    low, _ = bootstrap_interval(np.array(list(summary["final_eval_return"].values())), iqm)
    assert final >= low - slack
    assert area(new) == pytest.approx(area(old), rel=0.15)
