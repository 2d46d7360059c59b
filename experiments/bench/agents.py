"""``rlbench train`` of the other agents, as used, beside a peer that has the same settings and the same work."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import click
import torch

from rlbench.recipe import Recipe

from . import pqn_loop
from .workloads import WARM_UP, train_rate


class Match(NamedTuple):
    """What is timed: our recipe, and the peer's loop, of (env steps before the clock starts, env steps)."""

    env: str
    agent: str
    keys: dict[str, Any]  # of the agent
    num_envs: int
    peer: str
    peer_rate: Callable[[int, int], float]

    def recipe(self, seeds: int) -> Recipe:
        made = Recipe(env=self.env, agent=self.agent, hyper=self.keys, num_envs=self.num_envs, seeds=seeds)
        return made.replace(device="cpu", eval_every=0)  # peers do not evaluate either


def _sb3_rate(algorithm: str, env: str, num_envs: int, warm_up: int, steps: int, **keys: Any) -> float:
    """Stable-Baselines3, one learner, one thread."""
    import stable_baselines3 as sb3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Clock(BaseCallback):  # type: ignore[misc]
        began, at = 0.0, 0

        def _on_step(self) -> bool:
            if not self.began and self.num_timesteps >= warm_up:
                self.began, self.at = time.perf_counter(), self.num_timesteps
            return True

    torch.set_num_threads(1)
    model = getattr(sb3, algorithm)("MlpPolicy", make_vec_env(env, num_envs, seed=0), device="cpu", seed=0, **keys)
    clock = Clock()
    model.learn(warm_up + steps, callback=clock)
    return (model.num_timesteps - clock.at) / (time.perf_counter() - clock.began)


def _sb3_ppo(num_envs: int, rollout: int, batch: int, epochs: int, rate: float) -> Callable[[int, int], float]:
    keys = {"n_steps": rollout, "batch_size": batch, "n_epochs": epochs, "learning_rate": rate}
    return lambda warm_up, steps: _sb3_rate("PPO", "CartPole-v1", num_envs, warm_up, steps, **keys)


def _sb3_sac(hidden: tuple[int, ...]) -> Callable[[int, int], float]:
    keys = {"learning_starts": 100, "learning_rate": 1e-3, "policy_kwargs": {"net_arch": list(hidden)}}
    return lambda warm_up, steps: _sb3_rate("SAC", "Pendulum-v1", 1, warm_up, steps, **keys)


def _ppo(rollout: int, batch: int, epochs: int, rate: float) -> dict[str, Any]:
    """The settings of SB3's PPO by our names: what it leaves out is left out here."""
    return {
        "hidden": (64, 64),
        "activation": "tanh",
        "rollout_steps": rollout,
        "batch_size": batch,
        "epochs": epochs,
        "learning_rate": rate,
        "entropy_weight": 0.0,
        "value_weight": 0.5,
        "normalise_obs": False,
        "normalise_rewards": False,
    }


def _sac(hidden: tuple[int, ...]) -> dict[str, Any]:
    return {
        "hidden": hidden,
        "batch_size": 256,
        "learning_starts": 100,
        "learning_rate": 1e-3,
        "train_every": 1,
        "tau": 0.005,
    }


PQN = {
    "hidden": pqn_loop.HIDDEN,
    "rollout_steps": pqn_loop.ROLLOUT_STEPS,
    "epochs": pqn_loop.EPOCHS,
    "batch_size": pqn_loop.BATCH_SIZE,
    "learning_rate": pqn_loop.LEARNING_RATE,
    "max_grad_norm": pqn_loop.MAX_GRAD_NORM,
    "gamma": pqn_loop.GAMMA,
    "q_lambda": pqn_loop.Q_LAMBDA,
    "epsilon_start": pqn_loop.EPSILON,
    "epsilon_end": pqn_loop.EPSILON,
}
MATCHES = {
    # SB3's defaults, and those of RL Zoo for CartPole-v1 (rl-baselines3-zoo, hyperparams/ppo.yml).
    "ppo": Match("CartPole-v1", "ppo", _ppo(2048, 64, 10, 3e-4), 1, "sb3", _sb3_ppo(1, 2048, 64, 10, 3e-4)),
    "ppo-zoo": Match("CartPole-v1", "ppo", _ppo(32, 256, 20, 1e-3), 8, "sb3", _sb3_ppo(8, 32, 256, 20, 1e-3)),
    "sac": Match("Pendulum-v1", "sac", _sac((256, 256)), 1, "sb3", _sb3_sac((256, 256))),
    "sac-small": Match("Pendulum-v1", "sac", _sac((64, 64)), 1, "sb3", _sb3_sac((64, 64))),
    "pqn": Match("CartPole-v1", "pqn", PQN, pqn_loop.NUM_ENVS, "single file", pqn_loop.pqn_loop_rate),
}
OURS = {"train x1": (1, 1), "train x10": (10, 1), "train x10 on two": (10, 2)}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MATCHES)))
@click.option("--rounds", default=3, show_default=True)
@click.option("--steps", default=10_240, show_default=True, help="Env steps per seed and round.")
def agents(names: tuple[str, ...], rounds: int, steps: int) -> None:
    """`rlbench train` of other agents, as used, beside a peer with the same settings: one learner, ten, ten on both
    cores, in turns."""
    for name in names or MATCHES:
        match = MATCHES[name]
        contenders = (match.peer, *OURS)
        rates: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(rounds):
            for contender in contenders:
                rates[contender].append(_measure(name, contender, steps))
        click.echo(f"{name}, {match.env}: {rounds} rounds of {steps:,} env steps, one thread a process")
        for contender, values in rates.items():
            ratio = statistics.median(a / b for a, b in zip(values, rates[match.peer], strict=True))
            row = f"{statistics.median(values):>10,.0f}{min(values):>10,.0f}{max(values):>10,.0f}{ratio:>9.1f}x"
            click.echo(f"{contender:18}{row}")


@click.command(hidden=True)
@click.argument("name")
@click.argument("contender")
@click.argument("steps", type=int)
def agents_one(name: str, contender: str, steps: int) -> None:
    """One measurement, in a process of its own."""
    match = MATCHES[name]
    if contender == match.peer:
        click.echo(match.peer_rate(WARM_UP, steps))
    else:
        seeds, workers = OURS[contender]
        click.echo(train_rate(match.recipe(seeds), steps, workers))


def _measure(name: str, contender: str, steps: int) -> float:
    command = [sys.executable, "-m", "rlbench.experiments.bench", "agents-one", name, contender, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{name}, {contender}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])
