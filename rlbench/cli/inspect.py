"""`rlbench inspect`: what is inside a trained agent, and what is wrong with it."""

from pathlib import Path

import click

from . import options


@click.command("inspect")
@click.argument("path", type=options.Place(), metavar="CHECKPOINT|RUN")
@click.option("--seed", metavar="K|all", default="all", show_default=True, help="Only this seed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.out("Write JSON (.json), or a page with pictures (.html).")
@click.option("--html", metavar="FILE", type=options.Place(), help="Write a page with pictures: one file.")
@options.agent_code
@options.env_code
@options.imports
def inspect_(
    path: Path,
    seed: str,
    as_json: bool,
    out: Path | None,
    html: Path | None,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
) -> None:
    """Look inside a trained agent; nothing in its folder changes. Of a run folder, the newest checkpoint counts.

    Networks, layers and units that do nothing, values beside the returns that came and those that are possible, the
    gradient of the next update, the features' effective rank, the replay buffer: asked on states of the newest episodes
    of training, which are run again. Of several seeds the median is shown, and the worst.

    \b
    rlbench inspect runs/CartPole-v1/dqn-20260101-120000
    rlbench inspect runs/CartPole-v1/dqn-20260101-120000/best.pth --seed 3 --html look.html
    """
    import json

    from rlbench.errors import UsageError
    from rlbench.inspection.text import shown as tables
    from rlbench.inspection.whole import inspect
    from rlbench.live.progress import make_console
    from rlbench.process.places import shown
    from rlbench.units import byte_size

    if seed != "all" and not (seed.isascii() and seed.isdigit()):
        raise UsageError(f"--seed takes a number from 0 on, or all; not {seed!r}")
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{shown(html)} is no name for a page: --html look.html")
    if out is not None and out.suffix.lower() not in (".json", ".html", ".htm"):
        raise UsageError(f"--out {shown(out)}: the name must end in .json or .html.")
    pages = [page for page in (html, out) if page is not None and page.suffix.lower() != ".json"]
    found = inspect(
        path, seed="all" if seed == "all" else int(seed), agent=agent, imports=options.with_env(imports, env)
    )
    options.tell(found.notes)
    text = (
        json.dumps(found.content(), indent=2, allow_nan=False)
        if as_json or pages != [p for p in (html, out) if p]
        else ""
    )
    if out is not None and out not in pages:
        options.write(out, text)
    if as_json:
        click.echo(text)
    else:
        console = make_console()
        about = f"{shown(found.path)}: {found.agent} on {found.env}, after {found.env_steps:,} env steps"
        states = sum(one.observations for one in found.seeds) // len(found.seeds)
        console.print(about, markup=False, soft_wrap=True)  # a path is copied in one piece
        console.print(f"asked about {states:,} states of a seed: {found.source}", markup=False)
        console.print(tables(found, console.width))
    for page in pages:
        from rlbench.report.inside import write_inside

        size = write_inside(found, page, "--html FILE" if page == html else "--out FILE")
        click.echo(f"{shown(page)}: {byte_size(size)}", err=as_json)
