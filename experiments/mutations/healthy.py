"""False alarms: agents without a known mistake are checked again and again, with other seeds."""

import time
from collections.abc import Sequence

import click


@click.command()
@click.argument("agents", nargs=-1)
@click.option("--repetitions", default=10, show_default=True, help="Of each agent, with seeds of their own.")
@click.option("--first", default=0, show_default=True, help="The first of their seeds.")
@click.option("--quick", is_flag=True, help="Only the quick rows.")
@click.option("--rows", multiple=True, help="Rows or groups, or patterns of them; all if left out.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A hyper-parameter.")
def healthy(
    agents: Sequence[str], repetitions: int, first: int, quick: bool, rows: Sequence[str], overrides: Sequence[str]
) -> None:
    """Check AGENTS, all that come along if none is named, and count the rows that fail."""
    import torch

    from rlbench.checks import check
    from rlbench.recipe.registry import BUILT_IN

    torch.set_num_threads(1)
    alarms = asked = 0
    for agent in agents or sorted(BUILT_IN):
        began, failed = time.perf_counter(), []
        for seed in range(first, first + repetitions):
            found = check(agent, quick=quick, seed=seed, rows=rows, overrides=overrides)
            asked += len(found.rows)
            failed += [(seed, row) for row in found.failures]
        alarms += len(failed)
        each = (time.perf_counter() - began) / max(repetitions, 1)
        click.echo(f"{agent}: {repetitions} repetitions, {len(failed)} rows failed; {each:.0f} s each")
        for seed, row in failed:
            click.echo(f"  seed {seed}: {row.name}: {row.evidence} Likely: {row.cause}")
    click.echo(f"{asked} rows asked, {alarms} failed.")
