"""`rlbench eval`: greedy returns of a trained agent on fresh environments."""

from pathlib import Path

import click

from ..numbers import number
from . import options


@click.command("eval")
@click.argument("path", type=options.Place())
@click.option("--episodes", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="Per seed.")
@click.option("--seed", metavar="K", type=int, help="Only this seed.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.out("Write JSON to this file.")
@options.agent_code
@options.env_code
@options.imports
@options.device
def evaluate(
    path: Path,
    episodes: int,
    seed: int | None,
    as_json: bool,
    out: Path | None,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    """Play greedy episodes with a checkpoint or a run folder's best one, all seeds at once.

    \b
    rlbench eval runs/CartPole-v1/dqn-20260101-120000 --episodes 100
    """
    import json

    from rlbench import trained
    from rlbench.commands import ref
    from rlbench.estimates import aggregate
    from rlbench.places import shown
    from rlbench.registry import agent_code
    from rlbench.stats import summary
    from rlbench.verdict import interval

    imports = options.with_env(imports, env)
    opened = trained.load(
        path, seed="all" if seed is None else seed, agent=agent, imports=imports, device=device or "auto"
    )
    options.tell(opened.notes)
    with agent_code(opened.recipe.agent):
        returns = trained.evaluate(opened, episodes)
    over_seeds = summary(returns.mean(1))
    estimates = aggregate([returns.mean(1)])
    several = len(opened.seeds) > 1
    if as_json or out:
        content = {
            "path": shown(opened.path),
            "env": opened.recipe.env,
            "agent": opened.recipe.agent,
            "env_steps": opened.env_steps,
            "episodes": episodes,
            "seeds": {
                str(s): {"returns": r.tolist(), **summary(r)} for s, r in zip(opened.seeds, returns, strict=True)
            },
            "over_seeds": over_seeds,
            "intervals": {name: [e.low, e.high] for name, e in estimates._asdict().items()} if several else None,
        }
        text = json.dumps(content, indent=2)
        if out:
            options.write(out, text)
        if as_json:
            click.echo(text)
            return
    click.echo(
        f"{shown(opened.path)}: {ref(opened.recipe.agent)} on {opened.recipe.env}, {episodes} greedy episodes per seed"
    )
    columns = ("mean", "median", "iqm", "min", "max")
    click.echo(f"{'seed':>8}" + "".join(f"{name:>10}" for name in columns))
    for s, r in zip(opened.seeds, returns, strict=True):
        click.echo(f"{s:>8}" + _row(summary(r), columns))
    if several:
        click.echo(f"{'of means':>8}" + _row(over_seeds, columns))
        words = {"IQM": estimates.iqm, "mean": estimates.mean, "median": estimates.median}
        click.echo("over seeds, with 95 % intervals: " + ", ".join(f"{k} {interval(e)}" for k, e in words.items()))
    else:
        click.echo("one seed: there is no interval over seeds, and another seed may score otherwise")


def _row(values: dict[str, float], columns: tuple[str, ...]) -> str:
    return "".join(f" {number(values[name]):>9}" for name in columns)
