"""Eight cards and ten thousand seeds, on paper: what they take of memory and disk, how long, where it breaks.

Bytes are counted from agents that are built here, and what the record costs is timed on a core of this machine. How
many env steps a card makes is taken from the figures of one card, as docs/numbers.md has them; nobody has seen eight.
"""

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click

BUILT = 4  # seeds that are built to be counted
#: Env steps per second of 1,000 seeds of CartPole on one NVIDIA H200, the lower of two runs: environments and replay
#: buffers of that time were the host's, which took most of the time.
RATE = 172_201
CARD = 141 * 10**9  # bytes of its memory, by its data sheet
BANDWIDTH = 4.8e12  # bytes a second, likewise
PASSES = 14  # times that an update reads or writes each parameter, gradients and moments among them


class Bytes(NamedTuple):
    """Of one seed."""

    networks: int  # and what belongs to them
    replay: int  # of its buffer or rollout
    passing: int  # between layers, reckoned
    saved: int  # in a checkpoint, without the buffer
    params: int


def bytes_of(agent: str, hyper: dict[str, Any]) -> Bytes:
    """What a seed of ``agent`` takes on CartPole, counted from the tensors of some that are built."""
    import torch

    from rlbench.recipe import Recipe
    from rlbench.recipe.build import build
    from rlbench.recipe.card_memory import card_need
    from rlbench.recipe.held import held, tensors

    overrides = {"seeds": BUILT, "replay": "host", **{f"{agent}.{key}": value for key, value in hyper.items()}}
    made = Recipe.load(env="CartPole-v1", agent=agent, overrides=overrides)
    parts = build(made, made.seed_numbers, "cpu")
    replay = held(parts.agent.replay)
    saved = sum(nbytes for nbytes, _ in tensors(parts.agent.state_dict()))
    modules = [x for x in vars(parts.agent).values() if isinstance(x, torch.nn.Module)]
    params = sum(param.numel() for module in modules for param in module.parameters())
    need = card_need(parts.agent, parts.spec, BUILT, torch.device("cpu"), made.hyper)
    networks, passing = need.networks + max(0, need.replay - replay), need.passing
    return Bytes(*(x // BUILT for x in (networks, replay, passing, saved, params)))


def recorded(seeds: int, length: int, episodes: int) -> tuple[float, float, float]:
    """Seconds of one core, bytes of episodes.csv and bytes of the journal for an episode of ``length`` steps."""
    import gymnasium

    from rlbench.border.spaces import action_codec
    from rlbench.record.recorder import Recorder
    from rlbench.rollout.episodes import Episode

    codec = action_codec(gymnasium.spaces.Discrete(2), "CartPole-v1")
    actions = [k % 2 for k in range(length)]
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), list(range(seeds)), codec)
        began = time.perf_counter()
        for k in range(episodes):
            row = Episode(k % seeds, 0, k // seeds, float(length), length, True, 10**9 + k, actions)
            recorder.episode(row, 100_000 + k)
        recorder.flush()
        seconds = time.perf_counter() - began
        recorder.close(None)
        table = (Path(folder) / "episodes.csv").stat().st_size
        journal = sum(path.stat().st_size for path in (Path(folder) / "journal").iterdir())
    return seconds / episodes, table / episodes, journal / episodes


@click.command()
@click.option("--cards", "count", default=8, show_default=True)
@click.option("--seeds", default=10_000, show_default=True)
@click.option("--total-steps", default=500_000, show_default=True, help="Env steps of each seed.")
@click.option("--length", default=200, show_default=True, help="Steps of an episode.")
@click.option("--episodes", default=20_000, show_default=True, help="Episodes that are recorded to be timed.")
def cards(count: int, seeds: int, total_steps: int, length: int, episodes: int) -> None:
    """Many cards on paper: memory, rate, record and disk of a run that no machine here can make."""
    each = -(-seeds // count)
    click.echo(f"{seeds:,} seeds on {count} cards, {each:,} each; CartPole, {total_steps:,} env steps per seed")
    click.echo("counted from tensors; a process for each card takes about 0.6 GiB of it besides")
    click.echo(f"{'':26}{'KiB a seed':>12}{'GiB a card':>12}{'% of 141 GB':>13}{'GiB, all':>10}")
    saved = {}
    for name, agent, hyper in CASES:
        of = bytes_of(agent, hyper)
        saved[name] = of
        parts = (("networks, optimiser", of.networks), ("replay or rollout", of.replay), ("between layers", of.passing))
        click.echo(name)
        for what, x in (*parts, ("together", of.networks + of.replay + of.passing)):
            on_card, in_all = each * x, seeds * x
            row = f"{x / 1024:>12,.1f}{on_card / 2**30:>12,.2f}{100 * on_card / CARD:>13,.1f}{in_all / 2**30:>10,.1f}"
            click.echo(f"  {what:24}{row}")
    rate, whole = count * RATE, seeds * total_steps
    dqn = saved[CASES[0][0]]
    floor = each * 4 * PASSES * dqn.params / 2 / BANDWIDTH
    click.echo(
        f"\nrate, if {count} cards are {count} times one with {RATE:,} env steps/s, its environments the host's:"
    )
    click.echo(f"  {rate:,} env steps/s; {whole / 1e9:,.1f} billion steps take {whole / rate / 3600:,.1f} h")
    click.echo(f"  an update of a card's {each:,} seeds, by its bytes alone: {1e6 * floor:,.0f} us")
    seconds, table, journal = recorded(min(each, 1_250), length, episodes)
    at_once, rows = rate / length, whole / length
    click.echo(f"\nrecord, at episodes of {length} steps, timed on a core of this machine:")
    click.echo(
        f"  {at_once:,.0f} episodes/s come, and a core writes {1 / seconds:,.0f}/s: "
        f"{100 * at_once / count * seconds:,.1f} % of the time of each card's process"
    )
    click.echo(
        f"  episodes.csv: {rows / 1e6:,.0f} million rows, {rows * table / 1e9:,.1f} GB; "
        f"journals: {rows * journal / 1e9:,.1f} GB"
    )
    click.echo("\nhost memory and disk:")
    for name, of in saved.items():
        best, check = 2 * seeds * of.saved / 2**30, seeds * of.saved / 2**30
        buffers = seeds * of.replay / 2**30
        click.echo(
            f"  {name}: checkpoints {check:,.1f} GiB, buffers {buffers:,.1f} GiB a set, two sets and one being written "
            f"{3 * (check + buffers):,.1f} GiB; copies in memory (best, being saved) {best:,.1f} GiB"
        )


CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("DQN, a buffer of 10,000", "dqn", {"hidden": [64, 64], "batch_size": 64, "capacity": 10_000}),
    ("DQN, a buffer of 100,000", "dqn", {"hidden": [64, 64], "batch_size": 64, "capacity": 100_000}),
    ("PPO, its recipe", "ppo", {}),
)
