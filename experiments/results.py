"""``python -m rlbench.experiments.results``: train every recipe on ten seeds; write RESULTS.md and the golden curves.

Seeds are 0 to 9; none is left out. The recipes were tuned on other seeds (1000 and up). Scores are mean greedy returns
of 100 fresh episodes per seed; intervals are 95 % bootstrap intervals of the interquartile mean over seeds.
"""

import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from rlbench.numbers import exact, interval, number

MEMORY_OFF = {"memory": "none"}


class Row(NamedTuple):
    """One line of the table: a recipe, or one with a few of its agent's keys changed."""

    env: str
    agent: str
    keys: Mapping[str, str] = {}
    peers: str = "-"

    @property
    def label(self) -> str:
        return ", ".join((self.agent, *(f"{key} = {value}" for key, value in self.keys.items())))

    def file(self, golden: Path, kind: str) -> Path:
        name = "-".join((self.env.replace("/", "-"), *(f"{k}-{v}" for k, v in self.keys.items())))
        return golden / self.agent / f"{name}.{kind}"


#: Environments with a recipe of the agent's own; what others publish, by the source that is named.
ROWS = (
    Row("CartPole-v1", "dqn", peers="RL Zoo 500 (one run); CleanRL 488.7 ± 16 at 500k"),
    Row("CartPole-v1", "ppo", peers="RL Zoo 500 (one run); CleanRL 490"),
    Row("CartPole-v1", "pqn", peers="CleanRL 495 at 500k"),
    Row("CartPole-v1", "reinforce"),
    Row("Acrobot-v1", "dqn", peers="RL Zoo -76.6 (one run); CleanRL -91.5 at 500k"),
    Row("Acrobot-v1", "ppo", peers="RL Zoo -73.5 at 1M (one run); CleanRL -86"),
    Row("MountainCar-v0", "dqn", peers="RL Zoo -100.8 (one run); CleanRL -195"),
    Row("LunarLander-v3", "dqn", peers="RL Zoo 154 ± 79 at 100k (v2); SLM-Lab 195 / 266 at 300k"),
    Row("LunarLander-v3", "ppo", peers="RL Zoo 242 at 1M (v2, one run)"),
    Row("Pendulum-v1", "sac", peers="RL Zoo SAC -157, TQC -151 (one run each)"),
    Row("MountainCarContinuous-v0", "sac", peers="RL Zoo 94.7 (one run)"),
    Row("LunarLanderContinuous-v3", "ppo", peers="RL Zoo SAC 260 at 500k (v2, one run)"),
    Row("LunarLanderContinuous-v3", "sac", peers="RL Zoo SAC 260 at 500k (v2, one run)"),
    Row("FrozenLake-v1", "dqn", peers="optimal 0.744"),
    Row("FrozenLake-v1", "q_learning", peers="optimal 0.744"),
    Row("FrozenLake-v1", "sarsa", peers="optimal 0.744"),
    Row("Taxi-v4", "dqn", peers="optimal 7.93"),
    Row("Taxi-v4", "q_learning", peers="optimal 7.93"),
    Row("Taxi-v4", "sarsa", peers="optimal 7.93"),
    Row("CliffWalking-v1", "dqn", peers="optimal -13"),
    Row("CliffWalking-v1", "q_learning", peers="optimal -13"),
    Row("CliffWalking-v1", "sarsa", peers="optimal -13"),
    Row("rlbench/Catch-v0", "dqn", peers="optimal 1"),
    Row("rlbench/TMaze-v0", "dqn", peers="optimal 1"),
    Row("rlbench/TMaze-v0", "dqn", MEMORY_OFF, peers="at best 0 without memory"),
    Row("rlbench/TMaze-v0", "ppo", peers="optimal 1"),
    Row("rlbench/TMaze-v0", "ppo", MEMORY_OFF, peers="at best 0 without memory"),
)
#: Nothing was tuned on these: the agent's default recipe.
UNTUNED = (Row("FrozenLake8x8-v1", "dqn"), Row("Blackjack-v1", "dqn"))


@click.command()
@click.argument("envs", nargs=-1)
@click.option("--agent", "agents", multiple=True, help="Rows of this agent alone; may be repeated.")
@click.option("--workers", default=2, show_default=True)
@click.option("--folder", default="experiments", show_default=True, type=click.Path(path_type=Path))
def main(envs: tuple[str, ...], agents: tuple[str, ...], workers: int, folder: Path) -> None:
    """Train the rows of ENVS (default: all) and bring RESULTS.md and golden/ in FOLDER up to date."""
    golden = folder / "golden"
    wanted = [row for row in (*ROWS, *UNTUNED) if (not envs or row.env in envs) and (not agents or row.agent in agents)]
    if not wanted:
        raise click.UsageError("no row of the table has such an environment and agent.")
    for row in wanted:
        _train(row, workers, golden)
    (folder / "RESULTS.md").write_text(page(golden), encoding="utf-8")


def _train(row: Row, workers: int, golden: Path) -> None:
    from rlbench import train

    keys: dict[str, Any] = {row.agent: dict(row.keys)} if row.keys else {}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        run = train(row.env, agent=row.agent, seed=0, seeds=10, workers=workers, out=out, **keys)
        with (run.folder / "evaluations.csv").open(encoding="utf-8") as file:
            evaluations = list(csv.DictReader(file))
        facts = json.loads((run.folder / "run.json").read_text())
    curve = row.file(golden, "csv")
    curve.parent.mkdir(parents=True, exist_ok=True)
    with curve.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("seed", "env_steps", "mean_return"))
        writer.writerows((line["seed"], line["env_steps"], line["mean_return"]) for line in evaluations)
    summary = {**run.summary, "versions": facts["versions"], "commit": facts["commit"], "python": facts["python"]}
    row.file(golden, "json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    click.echo(_line(row, run.summary))


def _line(row: Row, s: Mapping[str, Any]) -> str:
    solved = [at for at in s["solved_at_env_steps"].values() if at is not None]
    when = f"{len(solved)} of {len(s['seeds'])}"
    if solved:
        when += f", median {sorted(solved)[len(solved) // 2]:,}"
    cells = (
        row.env,
        row.label,
        f"{s['env_steps']:,}",
        _score(list(s["final_eval_return"].values())),
        _score(list(s["best_eval_return"].values())),
        "-" if s["solved_at"] is None else f"{exact(s['solved_at'])}: {when}",
        f"{s['wall_seconds']:.0f} s",
        row.peers,
    )
    return "| " + " | ".join(cells) + " |"


def _score(values: Sequence[float]) -> str:
    import numpy as np

    from rlbench.stats.intervals import bootstrap_interval, iqm

    x = np.array(values)
    low, high = bootstrap_interval(x, iqm)
    return f"{interval(float(iqm(x)), float(low), float(high))}, worst {number(float(x.min()))}"


def page(golden: Path) -> str:
    """RESULTS.md, from the summaries that lie in ``golden``."""
    made = [
        (row, json.loads(path.read_text())) for row in (*ROWS, *UNTUNED) if (path := row.file(golden, "json")).exists()
    ]
    head = (
        "| environment | agent | steps per seed | final weights: IQM [95 %], worst seed | best weights | solved "
        "| wall time | what others publish |"
    )
    table = [head, "|---" * 8 + "|"]
    versions = made[0][1]["versions"]
    return "\n".join(
        [
            "# Results",
            "",
            "Made by `python -m rlbench.experiments.results`; do not edit. Ten seeds each, 0 to 9, none left out;",
            "the recipes were tuned on other seeds. A score is the mean greedy return of 100 fresh episodes per seed;",
            "over the seeds, the interquartile mean with its 95 % bootstrap interval. Best weights are each seed's at",
            "its best evaluation during training, scored on the same fresh episodes. Wall time is of the whole run on",
            "shared CPU cores, evaluations included, for some rows beside other runs: no measure of speed.",
            "",
            *table,
            *(_line(row, summary) for row, summary in made if row in ROWS),
            "",
            "The default recipe, on environments that nothing was tuned on:",
            "",
            *table,
            *(_line(row, summary) for row, summary in made if row in UNTUNED),
            "",
            f"torch {versions['torch']}, Gymnasium {versions['gymnasium']}. Curves: `experiments/golden/*/*.csv`.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
