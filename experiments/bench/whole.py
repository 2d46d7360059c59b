"""A whole training from the shell: `rlbench train --env CartPole-v1` beside Stable-Baselines3 with RL Zoo's recipe."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

# RL Zoo's hyper-parameters of DQN on CartPole-v1 (rl-baselines3-zoo, hyperparams/dqn.yml).
ZOO = """
import torch
torch.set_num_threads(1)
from stable_baselines3 import DQN
from stable_baselines3.common.evaluation import evaluate_policy
model = DQN("MlpPolicy", "CartPole-v1", learning_rate=2.3e-3, batch_size=64, buffer_size=100_000,
            learning_starts=1000, gamma=0.99, target_update_interval=10, train_freq=256, gradient_steps=128,
            exploration_fraction=0.16, exploration_final_eps=0.04, policy_kwargs=dict(net_arch=[256, 256]),
            device="cpu", seed={seed})
model.learn(50_000)
print("RETURN", evaluate_policy(model, model.get_env(), 100, warn=False)[0])
"""


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--workers", default=2, show_default=True)
def whole(rounds: int, workers: int) -> None:
    """Wall time of the whole process: ten seeds of ours, one seed of 50,000 steps of the peer's and its evaluation."""
    ours, peers = [], []
    for k in range(rounds):
        began = time.perf_counter()
        out = _run([sys.executable, "-c", ZOO.format(seed=k)])
        peers.append(time.perf_counter() - began)
        click.echo(f"sb3, zoo recipe, seed {k}: {peers[-1]:.1f} s, greedy return {float(out.split()[-1]):.1f}")
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            command = [sys.executable, "-m", "rlbench", "train", "--env", "CartPole-v1", "--out", str(run)]
            began = time.perf_counter()
            _run([*command, "--workers", str(workers), "--progress", "none"])
            ours.append(time.perf_counter() - began)
            summary = json.loads((run / "summary.json").read_text())
        best = list(summary["best_eval_return"].values())
        good = sum(value >= 475 for value in best)
        click.echo(
            f"rlbench, {len(best)} seeds, {workers} workers: {ours[-1]:.1f} s, "
            f"{good} at 475 or more over {summary['eval_episodes']} episodes, lowest {min(best):.1f}"
        )
    ratio = statistics.median(a / b for a, b in zip(ours, peers, strict=True))
    click.echo(f"rlbench / sb3, wall time, median of {rounds} pairs: {ratio:.2f}")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr.strip().splitlines()[-1])
    return done.stdout
