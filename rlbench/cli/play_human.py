"""`rlbench play --human`: a person at the keyboard, alone or in turns with an agent."""

from typing import TYPE_CHECKING

import click

from ..numbers import number

if TYPE_CHECKING:
    from rlbench.play.human import HumanPlayed
    from rlbench.trained.load import Trained


def alone(env: str, imports: tuple[str, ...], seed: int | None, episodes: int, speed: float | None) -> None:
    """Play an environment without an agent."""
    from rlbench.border.make import env_maker, import_modules, known_as
    from rlbench.play import human
    from rlbench.play.keymap import key_map
    from rlbench.rng import episode_seed

    env, imports = known_as(env, imports)
    maker = env_maker(env, classes=import_modules(imports))
    keys = key_map(maker)
    _before(maker.env_id, keys.line, "")
    seeds = [episode_seed(seed or 0, "human", 0, k) for k in range(episodes)]
    _after(human.play_human(maker, keys, seeds, None, speed, _print), episodes)


def with_agent(opened: "Trained", episodes: int, speed: float | None) -> None:
    """Play in turns with a trained agent."""
    from rlbench.play import human
    from rlbench.play.keymap import key_map
    from rlbench.rng import episode_seed

    keys = key_map(opened.maker)
    _before(opened.recipe.env, keys.line, "The agent plays until you press one of these; Tab hands over and back. ")
    seeds = [episode_seed(opened.seeds[0], "human", 0, k) for k in range(episodes)]
    _after(human.play_human(opened.maker, keys, seeds, opened.act, speed, _print), episodes)


def _before(env_id: str, keys: str, more: str) -> None:
    click.echo(f"{env_id}: {keys}. {more}q or Escape stops.")


def _after(played: "list[HumanPlayed]", episodes: int) -> None:
    if len(played) < episodes:
        click.echo(f"the window was closed in episode {len(played) + 1}")


def _print(played: "HumanPlayed") -> None:
    alone = "" if played.alone is None else f"; the agent alone: {number(played.alone)}"
    click.echo(
        f"episode {played.episode}  return {number(played.episode_return)}  length {played.episode_length}, "
        f"{played.yours} of them yours{alone}"
    )
