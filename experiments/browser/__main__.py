"""``python -m rlbench.experiments.browser pack|lander``: the page, packed, and how true its lander is."""

import sys
from pathlib import Path

import click

from ...errors import RlbenchError
from ...units import byte_size
from .pack import pack as packed

FOLDER = Path("build/browser")


@click.group()
def browser() -> None:
    """A page in which exported policies play, computed by ONNX Runtime Web."""


@browser.command()
@click.argument("policies", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="The folder to fill.")
def pack(policies: tuple[Path, ...], out: Path) -> None:
    """Lay the page, its packages and POLICIES (.onnx) into one folder. Needs npm, and network the first time."""
    packed(policies, out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    click.echo(f"{out}: {byte_size(size)}, {len(policies)} policies")
    click.echo(f"See it: python -m http.server --bind 127.0.0.1 --directory {out}   and open http://127.0.0.1:8000/")


@browser.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--episodes", default=100, show_default=True, type=click.IntRange(min=2))
@click.option("--out", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Where `pack` packed.")
def lander(policy: Path, episodes: int, out: Path) -> None:
    """Play the same episodes of LunarLander in JavaScript and in Gymnasium. Needs Node.js and `pack`."""
    import numpy as np

    from ...stats.intervals import mean_interval
    from .lander import measure

    found = measure(policy, out / "packages", episodes)
    for steps, gaps in found.gaps.items():
        click.echo(f"after {steps:>3} steps of the same actions: observations within {np.median(gaps):.1e} (median)")
    for name, returns in (
        ("Gymnasium", found.there),
        ("JavaScript", found.here),
        ("difference", found.here - found.there),
    ):
        low, high = mean_interval(returns)
        click.echo(
            f"{name:<11} mean return {returns.mean():8.1f} [{low:.1f}, {high:.1f}]   median {np.median(returns):8.1f}"
        )


if __name__ == "__main__":
    try:
        browser(prog_name="python -m rlbench.experiments.browser")
    except RlbenchError as e:
        click.echo(f"Error: {e}", err=True)
        sys.exit(e.exit_code)
