"""One CartPole observation: the exported file beside the live agent and beside Stable-Baselines3."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

NAMES = ("live", "onnx", "onnx, by a call", "sb3")
LIMITS = {"live": 1 / 3, "sb3": 1 / 5}  # of the file's p50 over theirs
OBSERVATIONS = 1_000


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--calls", default=3_000, show_default=True, help="Of each in each round, after a third of a second.")
def ship(rounds: int, calls: int) -> None:
    """Time from an observation, as env.step gives it, to the action, as env.step takes it, in turns: of the live agent,
    rlbench.load(...).act(obs); of its ONNX file, PolicyFile.act(obs); and of SB3's model.predict(obs).

    Networks have two layers of 64 (ours with normalisation of layers, which is in its recipe). One thread, a process
    for each and round. "By a call" is PolicyFile's other way, which takes batches and checks every number.
    """
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder))
        for _ in range(rounds):
            for name in NAMES:
                taken[name].append(_measure(name, folder, calls))
    click.echo(f"microseconds, one observation, medians of {rounds} rounds of {calls:,} calls")
    click.echo(f"{'':18}{'p50':>9}{'[least, most]':>18}{'p95':>9}{'p99':>9}{'onnx / it':>11}")
    for name, values in taken.items():
        p50 = [v["p50"] for v in values]
        ratio = statistics.median(a["p50"] / b for a, b in zip(taken["onnx"], p50, strict=True))
        spread = f"[{min(p50):.1f}, {max(p50):.1f}]"
        tails = "".join(f"{statistics.median(v[q] for v in values):>9.1f}" for q in ("p95", "p99"))
        limit = f"   at most {LIMITS[name]:.2f}: {'yes' if ratio <= LIMITS[name] else 'NO'}" if name in LIMITS else ""
        click.echo(f"{name:18}{statistics.median(p50):>9.1f}{spread:>18}{tails}{ratio:>11.3f}{limit}")


@click.command(hidden=True)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("calls", type=int)
def ship_one(name: str, folder: Path, calls: int) -> None:
    """One measurement, in this process."""
    from rlbench.timing.latency import times_of
    from rlbench.timing.stopwatch import timed, warmed_up

    call, observations = _ready(name, folder), _observations()
    warmed_up(call, observations, 0.3)
    taken = [timed(call, observations, calls)]
    times = times_of(1, taken, taken)
    click.echo(json.dumps({"p50": 1e6 * times.p50, "p95": 1e6 * times.p95, "p99": 1e6 * times.p99}))


def _prepare(folder: Path) -> None:
    """A short run, and its file: how long an answer takes does not depend on what was learned."""
    from rlbench import train
    from rlbench.ship.export import export
    from rlbench.trained.load import load

    keys: dict[str, Any] = {"seeds": 1, "total_steps": 2_000, "final_eval_episodes": 1, "eval_every": 0}
    train("CartPole-v1", out=folder / "run", progress="none", **keys)
    export(load(folder / "run", seed="best", device="cpu"), "onnx", folder / "policy.onnx", episodes=2)


def _ready(name: str, folder: Path) -> Callable[[Any], Any]:
    if name == "sb3":
        os.environ.pop("MKL_CBWR", None)  # rlbench chose it for itself, and the peer runs without
        import torch
        from stable_baselines3 import DQN

        torch.set_num_threads(1)
        model = DQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [64, 64]}, device="cpu")
        return lambda obs: model.predict(obs, deterministic=True)[0]
    if name == "live":
        import torch

        import rlbench

        torch.set_num_threads(1)
        act: Callable[[Any], Any] = rlbench.load(folder / "run", seed="best", device="cpu").act
        return act
    from rlbench.policyfile.opened import open_policy

    file = open_policy(folder / "policy.onnx")
    return file.act if name == "onnx" else lambda obs: file(file.inputs([obs]), ["action"])["action"][0]


def _observations() -> list[Any]:
    """Of episodes that are played at random."""
    import gymnasium as gym

    env = gym.make("CartPole-v1")
    env.action_space.seed(0)
    found = [env.reset(seed=0)[0]]
    while len(found) < OBSERVATIONS:
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        found.append(env.reset()[0] if terminated or truncated else obs)
    return found


def _measure(name: str, folder: str, calls: int) -> dict[str, float]:
    command = [sys.executable, "-m", "rlbench.experiments.bench", "ship-one", name, folder, str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
