"""Whether training episodes run again as they were, environment by environment, and whether resuming is exact there."""

import json
import sys
import tempfile
from pathlib import Path

import click

ENVS = (
    "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "LunarLander-v3", "FrozenLake-v1", "Taxi-v4", "rlbench/Catch-v0",
)  # fmt: skip


@click.command()
@click.argument("envs", nargs=-1)
@click.option("--import", "imports", multiple=True, help="Modules that register environments.")
@click.option("--agent", default="dqn", show_default=True, help="`random` where actions are continuous.")
@click.option("--seeds", default=10, show_default=True)
@click.option("--steps", type=int, help="Env steps per seed.  [default: the recipe's]")
@click.option("--fresh-envs", is_flag=True, help="Make environments again for every episode.")
def journal(
    envs: tuple[str, ...], imports: tuple[str, ...], agent: str, seeds: int, steps: int | None, fresh_envs: bool
) -> None:
    """Train, stop half-way, resume, and run every recorded episode again. Without ENVS: those with a recipe."""
    from rlbench.recipe import Recipe
    from rlbench.recipe.shares import cores
    from rlbench.runfolder.journal import files
    from rlbench.trained.recording import open_recording
    from rlbench.trained.verify import check_seeds, read_tables
    from rlbench.training import train as training

    click.echo(f"{'':32}{'episodes':>10}{'agree':>10}{'steps':>13}{'bytes/M steps':>15}   resume")
    wrong = 0
    for env in envs or ENVS:
        keys = {"seeds": seeds, "eval_every": 0, "final_eval_episodes": 0, "workers": min(cores(), seeds)}
        keys["fresh_envs"] = fresh_envs
        given = {} if steps is None else {"total_steps": steps}
        made = Recipe.load(env=env, agent=agent, imports=imports, overrides={**keys, **given})
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "run"
            training.train(recipe=made.replace(total_steps=made.total_steps // 2 + 7), out=folder)
            training.resume(folder, imports=imports, total_steps=made.total_steps)
            exact = json.loads((folder / "summary.json").read_text())["exact"]
            recording = open_recording(folder, imports=imports)
            rows, problems = read_tables(recording.reader)
            reports = list(check_seeds(recording, sorted(recording.journals), rows, None))
            size = sum(path.stat().st_size for path in files(folder))
            taken = sum(entry.episode_length for seed in recording.journals for entry in recording.entries(seed))
        episodes, agree = (sum(getattr(report, name) for report in reports) for name in ("episodes", "agree"))
        problems += [problem for report in reports for problem in report.problems]
        click.echo(
            f"{env:32}{episodes:>10,}{agree:>10,}{taken:>13,}{1e6 * size / taken:>15,.0f}   "
            + ("exact" if exact else "not exact")
        )
        for problem in problems[:3]:
            click.echo(f"    {problem}")
        wrong += bool(problems) or not exact
    click.echo(f"{wrong} of {len(envs or ENVS)} do not replay or resume exactly")
    sys.exit(bool(wrong))
