"""`rlbench eval`: returns of a trained agent on fresh environments, greedy or as it explores."""

from pathlib import Path

import click

from ..numbers import number
from . import options


@click.command("eval")
@click.argument("path", type=options.Place())
@click.option("--episodes", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="Per seed.")
@click.option("--seed", metavar="K", type=int, help="Only this seed.  [default: all]")
@click.option(
    "--stochastic",
    is_flag=True,
    help="Let the agent act as it explores, by random numbers of this evaluation's own, in place of greedily.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.out("Write JSON to this file.")
@options.agent_code
@options.env_code
@options.imports
@options.device
@click.pass_context
def evaluate(
    ctx: click.Context,
    path: Path,
    episodes: int,
    seed: int | None,
    stochastic: bool,
    as_json: bool,
    out: Path | None,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    """Play greedy episodes with a checkpoint or a run folder's best one, all seeds at once.

    What --stochastic gives is no score: it is recorded nowhere, and nothing compares it with greedy ones.

    Ctrl-C ends it with the figures of the episodes that have ended, marked as partial.

    \b
    rlbench eval runs/CartPole-v1/dqn-20260101-120000 --episodes 100
    """
    import json

    import numpy as np

    from rlbench.judge.verdict import interval
    from rlbench.live.words import rests_on
    from rlbench.process.places import shown
    from rlbench.stats.estimates import aggregate
    from rlbench.stats.intervals import summary
    from rlbench.trained import load as trained
    from rlbench.trained.score import score
    from rlbench.user_code.commands import ref

    imports = options.with_env(imports, env)
    opened = trained.load(
        path, seed="all" if seed is None else seed, agent=agent, imports=imports, device=device or "auto"
    )
    options.tell(opened.notes)
    scored = score(opened, episodes, stochastic=stochastic)
    policy = "stochastic" if stochastic else "greedy"
    if scored.cut_off:
        click.echo(scored.cut_off, err=True)
    played = dict(zip(opened.seeds, scored.returns, strict=True))
    known = {seed: returns for seed, returns in played.items() if len(returns)}
    means = np.array([returns.mean() for returns in known.values()])
    several = len(known) > 1
    estimates = aggregate([means]) if several else None
    if as_json or out:
        content = {
            "path": shown(opened.path),
            "env": opened.recipe.env,
            "agent": opened.recipe.agent,
            "env_steps": opened.env_steps,
            "episodes": episodes,
            "policy": policy,
            "partial": bool(scored.cut_off),
            "seeds": {
                str(seed): {"returns": returns.tolist(), **(summary(returns) if len(returns) else {})}
                for seed, returns in played.items()
            },
            "over_seeds": summary(means) if known else None,
            "intervals": {name: [e.low, e.high] for name, e in estimates._asdict().items()} if estimates else None,
        }
        text = json.dumps(content, indent=2)
        if out:
            options.write(out, text)
        if as_json:
            click.echo(text)
    if not as_json and known:
        count = f"{episodes} {policy} episodes per seed"
        if scored.cut_off:
            count = f"PARTIAL: {rests_on({seed: len(r) for seed, r in known.items()}, policy)} per seed, of {episodes}"
        click.echo(f"{shown(opened.path)}: {ref(opened.recipe.agent)} on {opened.recipe.env}, {count}")
        columns = ("mean", "median", "iqm", "min", "max")
        click.echo(f"{'seed':>8}" + "".join(f"{name:>10}" for name in columns))
        for seed, returns in known.items():
            click.echo(f"{seed:>8}" + _row(summary(returns), columns))
        if estimates:
            click.echo(f"{'of means':>8}" + _row(summary(means), columns))
            words = {"IQM": estimates.iqm, "mean": estimates.mean, "median": estimates.median}
            click.echo("over seeds, with 95 % intervals: " + ", ".join(f"{k} {interval(e)}" for k, e in words.items()))
        else:
            click.echo("one seed: there is no interval over seeds, and another seed may score otherwise")
    if scored.signal:
        ctx.exit(128 + scored.signal)


def _row(values: dict[str, float], columns: tuple[str, ...]) -> str:
    return "".join(f" {number(values[name]):>9}" for name in columns)
