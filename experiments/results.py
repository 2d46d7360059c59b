"""``python -m rlbench.experiments.results``: train every recipe on ten seeds; write RESULTS.md and the golden curves.

Seeds are 0 to 9; none is left out. The recipes were tuned on other seeds (1000 and up). Scores are mean greedy returns
of 100 fresh episodes per seed; intervals are 95 % bootstrap intervals of the interquartile mean over seeds.
"""

import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from rlbench.numbers import exact, interval, number

#: Environments with a recipe of their own, and two that nothing was tuned on, for the default recipe.
TUNED = (
    "CartPole-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "LunarLander-v3",
    "FrozenLake-v1",
    "Taxi-v4",
    "CliffWalking-v1",
    "rlbench/Catch-v0",
    "rlbench/TMaze-v0",
)
UNTUNED = ("FrozenLake8x8-v1", "Blackjack-v1")
PEERS = {
    "CartPole-v1": "RL Zoo 500 (one run); CleanRL 488.7 ± 16 at 500k",
    "Acrobot-v1": "RL Zoo -76.6 (one run); CleanRL -91.5 at 500k",
    "MountainCar-v0": "RL Zoo -100.8 (one run); CleanRL -195",
    "LunarLander-v3": "RL Zoo 154 ± 79 at 100k (v2); SLM-Lab 195 / 266 at 300k",
    "FrozenLake-v1": "optimal about 0.74",
    "rlbench/Catch-v0": "optimal 1",
    "rlbench/TMaze-v0": "optimal 1; without memory 0",
}


class Row(NamedTuple):
    """One line of the table."""

    env: str
    summary: dict[str, Any]


@click.command()
@click.argument("envs", nargs=-1)
@click.option("--workers", default=2, show_default=True)
@click.option("--folder", default="experiments", show_default=True, type=click.Path(path_type=Path))
def main(envs: tuple[str, ...], workers: int, folder: Path) -> None:
    """Train ENVS (default: all) and bring RESULTS.md and golden/ in FOLDER up to date."""
    golden = folder / "golden"
    golden.mkdir(exist_ok=True)
    for env in envs or (*TUNED, *UNTUNED):
        _train(env, workers, golden)
    rows = [
        Row(env, json.loads(path.read_text()))
        for env in (*TUNED, *UNTUNED)
        if (path := golden / f"{_name(env)}.json").exists()
    ]
    (folder / "RESULTS.md").write_text(_page(rows), encoding="utf-8")


def _train(env: str, workers: int, golden: Path) -> None:
    from rlbench import train

    with tempfile.TemporaryDirectory() as scratch:
        run = train(env, seed=0, seeds=10, workers=workers, out=Path(scratch) / "run")
        with (run.folder / "evaluations.csv").open(encoding="utf-8") as file:
            evaluations = list(csv.DictReader(file))
        facts = json.loads((run.folder / "run.json").read_text())
    with (golden / f"{_name(env)}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("seed", "env_steps", "mean_return"))
        writer.writerows((row["seed"], row["env_steps"], row["mean_return"]) for row in evaluations)
    summary = {**run.summary, "versions": facts["versions"], "commit": facts["commit"], "python": facts["python"]}
    (golden / f"{_name(env)}.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    click.echo(_line(Row(env, run.summary)))


def _name(env: str) -> str:
    return env.replace("/", "-")


def _line(row: Row) -> str:
    s = row.summary
    solved = [at for at in s["solved_at_env_steps"].values() if at is not None]
    when = f"{len(solved)} of {len(s['seeds'])}"
    if solved:
        when += f", median {sorted(solved)[len(solved) // 2]:,}"
    cells = (
        row.env,
        f"{s['env_steps']:,}",
        _score(list(s["final_eval_return"].values())),
        _score(list(s["best_eval_return"].values())),
        "-" if s["solved_at"] is None else f"{exact(s['solved_at'])}: {when}",
        f"{s['wall_seconds']:.0f} s",
        PEERS.get(row.env, "-"),
    )
    return "| " + " | ".join(cells) + " |"


def _score(values: Sequence[float]) -> str:
    import numpy as np

    from rlbench.stats.intervals import bootstrap_interval, iqm

    x = np.array(values)
    low, high = bootstrap_interval(x, iqm)
    return f"{interval(float(iqm(x)), float(low), float(high))}, worst {number(float(x.min()))}"


def _page(rows: Sequence[Row]) -> str:
    head = (
        "| environment | steps per seed | final weights: IQM [95 %], worst seed | best weights | solved | wall time "
        "| what others publish |"
    )
    table = [head, "|---" * 7 + "|"]
    versions = rows[0].summary["versions"]
    return "\n".join(
        [
            "# Results",
            "",
            "Made by `python -m rlbench.experiments.results`; do not edit. Ten seeds each, 0 to 9, none left out;",
            "the recipes were tuned on other seeds. A score is the mean greedy return of 100 fresh episodes per seed;",
            "over the seeds, the interquartile mean with its 95 % bootstrap interval. Best weights are each seed's at",
            "its best evaluation during training, scored on the same fresh episodes. Wall time is of the whole run on",
            "two shared CPU cores, evaluations included.",
            "",
            *table,
            *(_line(row) for row in rows if row.env in TUNED),
            "",
            "The default recipe, on environments that nothing was tuned on:",
            "",
            *table,
            *(_line(row) for row in rows if row.env in UNTUNED),
            "",
            f"torch {versions['torch']}, Gymnasium {versions['gymnasium']}. Curves: `experiments/golden/*.csv`.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
