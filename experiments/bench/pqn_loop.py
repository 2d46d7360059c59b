"""The peer of our `pqn`: its loop as a single file has it, with autograd, RAdam of torch's, vector environments of
Gymnasium's, one learner, one thread. Settings and steps are those of CleanRL's pqn.py (Huang et al. 2022)."""

import time

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

NUM_ENVS, ROLLOUT_STEPS, EPOCHS, BATCH_SIZE = 4, 128, 4, 128
HIDDEN, LEARNING_RATE, MAX_GRAD_NORM = (120, 84), 2.5e-4, 10.0
GAMMA, Q_LAMBDA, EPSILON = 0.99, 0.65, 0.05


def pqn_loop_rate(warm_up: int, steps: int) -> float:
    """Env steps per second, once ``warm_up`` of them were made."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    envs = gym.vector.SyncVectorEnv(
        [lambda: gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1")) for _ in range(NUM_ENVS)]
    )
    net = _network(4, HIDDEN, 2)
    optimiser = torch.optim.RAdam(net.parameters(), lr=LEARNING_RATE)
    first, _ = envs.reset(seed=0)
    obs, done = torch.from_numpy(first), torch.zeros(NUM_ENVS)
    made, began, counted = 0, 0.0, 0
    while made < warm_up + steps:
        if not began and made >= warm_up:
            began, counted = time.perf_counter(), made
        kept: dict[str, list[Tensor]] = {name: [] for name in ("obs", "action", "reward", "done", "value")}
        for _ in range(ROLLOUT_STEPS):
            with torch.no_grad():
                q = net(obs)
            greedy, random = q.argmax(1), torch.randint(0, 2, (NUM_ENVS,))
            action = torch.where(torch.rand(NUM_ENVS) < EPSILON, random, greedy)
            next_obs, reward, terminated, truncated, _ = envs.step(action.numpy())
            for name, value in (("obs", obs), ("action", action), ("done", done), ("value", q.amax(1))):
                kept[name].append(value)
            kept["reward"].append(torch.as_tensor(reward, dtype=torch.float32))
            obs, done = torch.from_numpy(next_obs), torch.as_tensor(np.logical_or(terminated, truncated)).float()
            made += NUM_ENVS
        with torch.no_grad():
            after = net(obs).amax(1)
        returns = _returns(kept, after, done, gamma=GAMMA, q_lambda=Q_LAMBDA)
        all_obs, all_actions, goals = torch.cat(kept["obs"]), torch.cat(kept["action"]), torch.cat(returns)
        for _ in range(EPOCHS):
            for rows in torch.randperm(NUM_ENVS * ROLLOUT_STEPS).split(BATCH_SIZE):
                q = net(all_obs[rows]).gather(1, all_actions[rows].unsqueeze(1)).squeeze(1)
                loss = nn.functional.mse_loss(q, goals[rows])
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), MAX_GRAD_NORM)
                optimiser.step()
    seconds = time.perf_counter() - began
    envs.close()
    return (made - counted) / seconds


def _network(n_in: int, hidden: tuple[int, ...], n_out: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_in, width), nn.LayerNorm(width), nn.ReLU()]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))


def _returns(
    kept: dict[str, list[Tensor]], after: Tensor, done: Tensor, *, gamma: float, q_lambda: float
) -> list[Tensor]:
    """Lambda returns of every step, from the last one backwards."""
    goals: list[Tensor] = []
    beyond, ended, goal = after, done, after
    for t in range(len(kept["reward"]) - 1, -1, -1):
        mixed = q_lambda * goal + (1 - q_lambda) * beyond
        goal = kept["reward"][t] + gamma * mixed * (1 - ended)
        goals.append(goal)
        beyond, ended = kept["value"][t], kept["done"][t]
    return goals[::-1]
