"""What is timed: the same work for rlbench and its peers, as functions that do it and return env steps per second."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

from rlbench.live.progress import PlainLines
from rlbench.recipe import Recipe
from rlbench.recipe.build import build, make_envs
from rlbench.record.watcher import Status
from rlbench.rollout.loop import run
from rlbench.training.train import train

WARM_UP = 1_000  # env steps before the clock starts: buffers filled, updates running


class Workload(NamedTuple):
    """CartPole-v1 settings that all contenders can be given."""

    name: str
    hidden: tuple[int, int]
    batch_size: int
    learning_rate: float
    capacity: int
    train_every: int
    tau: float
    target_update_every: int


CLASSIC = Workload("classic", (64, 64), 64, 5e-4, 100_000, 4, 0.001, 1)
CLEANRL = Workload("cleanrl", (120, 84), 128, 2.5e-4, 10_000, 10, 1.0, 50)
WORKLOADS = {w.name: w for w in (CLASSIC, CLEANRL)}
GAMMA, EPSILON = 0.99, 0.05


def recipe(work: Workload, seeds: int) -> Recipe:
    """The workload as a recipe."""
    return Recipe.load(
        "classic",
        overrides={
            "seeds": seeds,
            "dqn.hidden": work.hidden,
            "dqn.batch_size": work.batch_size,
            "dqn.learning_rate": work.learning_rate,
            "dqn.capacity": work.capacity,
            "dqn.train_every": work.train_every,
            "dqn.tau": work.tau,
            "dqn.target_update_every": work.target_update_every,
            "dqn.learning_starts": work.batch_size,
            "dqn.epsilon_decay": 0.0,
            "dqn.epsilon_steps": 0,
            "dqn.epsilon_end": EPSILON,
        },
    )


def rlbench_rate(work: Workload, seeds: int, steps: int) -> float:
    """Env steps per second of all seeds together: the runner with agent and environments, one thread."""
    made = recipe(work, seeds)
    parts = build(made, made.seed_numbers, "cpu")
    envs = make_envs(parts, made)
    loop = run(parts.agent, envs)
    for _ in range(WARM_UP):
        next(loop)
    began = time.perf_counter()
    for _ in range(steps):
        next(loop)
    seconds = time.perf_counter() - began
    envs.close()
    return seeds * steps / seconds


class _Clock(PlainLines):
    """Reads the clock whenever a run reports, which is a few times a second, besides printing what users see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, float]] = []

    def tick(self, status: Status) -> None:
        super().tick(status)
        if status.env_steps >= WARM_UP and not status.evaluating:  # the run's last evaluation is no part of its loop
            self.seen.append((status.env_steps, time.perf_counter()))


def train_rate(made: Recipe, steps: int, workers: int = 1) -> float:
    """Env steps per second of a run as `rlbench train` makes it, its record, checkpoints and progress included."""
    made = made.replace(total_steps=WARM_UP + steps, final_eval_episodes=0, workers=workers)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr), clock:
        train(recipe=made, out=Path(folder) / "run", watcher=clock)
    (first, began), (last, ended) = clock.seen[0], clock.seen[-1]
    return made.seeds * (last - first) / (ended - began)


def sb3_rate(work: Workload, steps: int) -> float:
    """Stable-Baselines3's DQN, one learner, one thread."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):
        began = 0.0

        def _on_step(self) -> bool:
            if self.num_timesteps == WARM_UP:
                self.began = time.perf_counter()
            return True

    torch.set_num_threads(1)
    model = DQN(
        "MlpPolicy",
        "CartPole-v1",
        learning_rate=work.learning_rate,
        buffer_size=work.capacity,
        learning_starts=work.batch_size,
        batch_size=work.batch_size,
        tau=work.tau,
        gamma=GAMMA,
        train_freq=work.train_every,
        gradient_steps=1,
        target_update_interval=work.train_every * work.target_update_every,
        exploration_initial_eps=EPSILON,
        exploration_final_eps=EPSILON,
        policy_kwargs={"net_arch": list(work.hidden)},
        device="cpu",
        seed=0,
    )
    clock = Clock()
    model.learn(WARM_UP + steps, callback=clock)
    return steps / (time.perf_counter() - clock.began)


def textbook_rate(work: Workload, steps: int) -> float:
    """The loop of the textbook listing: a deque of tuples, one network, one environment, one thread."""
    import random
    from collections import deque

    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(1)

    def network() -> nn.Module:
        a, b = work.hidden
        return nn.Sequential(nn.Linear(4, a), nn.ReLU(), nn.Linear(a, b), nn.ReLU(), nn.Linear(b, 2))

    rng = random.Random(0)
    env = gym.make("CartPole-v1")
    online, target = network(), network()
    target.load_state_dict(online.state_dict())
    adam = torch.optim.Adam(online.parameters(), lr=work.learning_rate)
    memory: deque[Any] = deque(maxlen=work.capacity)
    updates = 0
    began = 0.0
    obs, _ = env.reset(seed=0)
    for step in range(1, WARM_UP + steps + 1):
        if step == WARM_UP + 1:
            began = time.perf_counter()
        if rng.random() < EPSILON:
            action = rng.randrange(2)
        else:
            with torch.no_grad():
                action = int(online(torch.from_numpy(obs).unsqueeze(0)).argmax())
        next_obs, reward, terminated, truncated, _ = env.step(action)
        memory.append((obs, action, reward, next_obs, terminated))
        obs = next_obs
        if terminated or truncated:
            obs, _ = env.reset()
        if step % work.train_every or len(memory) <= work.batch_size:
            continue
        batch = rng.sample(memory, work.batch_size)
        b_obs, b_next = (torch.from_numpy(np.stack([row[i] for row in batch])) for i in (0, 3))
        b_action = torch.tensor([row[1] for row in batch]).unsqueeze(1)
        b_reward, b_end = (torch.tensor([float(row[i]) for row in batch]).unsqueeze(1) for i in (2, 4))
        with torch.no_grad():
            goal = b_reward + GAMMA * (1 - b_end) * target(b_next).max(1, keepdim=True).values
        loss = F.mse_loss(online(b_obs).gather(1, b_action), goal)
        adam.zero_grad()
        loss.backward()
        adam.step()
        updates += 1
        if updates % work.target_update_every == 0:
            with torch.no_grad():
                for t, o in zip(target.parameters(), online.parameters(), strict=True):
                    t.lerp_(o, work.tau)
    return steps / (time.perf_counter() - began)


CONTENDERS: dict[str, Callable[[Workload, int], float]] = {
    "sb3": sb3_rate,
    "textbook": textbook_rate,
    "rlbench x1": lambda work, steps: rlbench_rate(work, 1, steps),
    "rlbench x5": lambda work, steps: rlbench_rate(work, 5, steps),
    "rlbench x10": lambda work, steps: rlbench_rate(work, 10, steps),
    "train x1": lambda work, steps: train_rate(recipe(work, 1), steps),
    "train x10": lambda work, steps: train_rate(recipe(work, 10), steps),
    "train x10 on two": lambda work, steps: train_rate(recipe(work, 10), steps, workers=2),
}
