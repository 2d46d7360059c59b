"""`rlbench play --html`: episodes as a page that needs no network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..units import byte_size

if TYPE_CHECKING:
    from rlbench.play.greedy import Played
    from rlbench.trained.load import Trained
    from rlbench.trained.recording import Chosen, Recording
    from rlbench.trained.rerun import Replayed


def greedy(
    opened: "Trained", path: Path, episodes: int, speed: float, tell: "Callable[[Played], Any]"
) -> "tuple[list[Played], str]":
    """Write greedy episodes; the episodes, and what to say of the file."""
    from rlbench.play import html_page, player, reel
    from rlbench.process.places import shown
    from rlbench.user_code.commands import ref

    html_page.check_name(path, "--html out.html")
    played: list[Played] = []

    def on_episode(one: "Played") -> None:
        played.append(one)
        tell(one)

    reels = reel.reels(opened, episodes, on_episode)
    about = (
        f"Seed {opened.seeds[0]} of {shown(opened.path)}, {opened.env_steps:,} env steps of training. Greedy episodes."
    )
    title = f"{ref(opened.recipe.agent)} on {opened.recipe.env}"
    html = player.page(reels, opened.recipe.env, title, about, speed=speed)
    size = html_page.write_page(path, html, "--html FILE")
    return played, f"; {shown(path)}: {_size(size, [one.pictures for one in reels])}"


def training(
    recording: "Recording",
    chosen: "Sequence[Chosen]",
    path: Path,
    speed: float,
    on_episode: "Callable[[Replayed], Any]",
    agent: str | None,
    imports: tuple[str, ...],
    device: str | None,
) -> None:
    """Write episodes of training, with the estimates of the run's own checkpoint where it can be loaded."""
    from rlbench.errors import RlbenchError
    from rlbench.play import html_page, player, reel
    from rlbench.process.places import shown
    from rlbench.trained import load as trained
    from rlbench.user_code.commands import ref

    html_page.check_name(path, "--html out.html")
    opened, why_not = None, ""
    try:
        seed = chosen[0].entry.seed
        opened = trained.load(recording.reader, seed=seed, agent=agent, imports=imports, device=device or "auto")
    except RlbenchError as e:  # the record is worth seeing without them
        why_not = f", and no others could be loaded: {e}"
        click.echo(f"no Q-values: {e}", err=True)
    reels = reel.training_reels(recording, chosen, opened, on_episode, why_not)
    title = f"{ref(recording.recipe.agent)} on {recording.recipe.env}: episodes of training"
    about = f"Seed {chosen[0].entry.seed} of {shown(recording.folder)}."
    html = player.page(reels, recording.recipe.env, title, about, speed=speed)
    size = html_page.write_page(path, html, "--html FILE")
    click.echo(f"{shown(path)}: {_size(size, [one.pictures for one in reels])}")


def _size(size: int, pictures: list[list[str]]) -> str:
    return f"{sum(map(len, pictures)):,} pictures, {byte_size(size)}"
