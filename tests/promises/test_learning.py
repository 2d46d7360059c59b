"""Learning happened: DQN on the probes learns the values that are known, and time limits are no deaths."""

import hashlib
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from rlbench.agents.dqn import DQN

import rlbench
from rlbench import envs
from rlbench.recipe import Recipe
from rlbench.recipe.build import build
from rlbench.runfolder import checkpoint_file

GAMMA = 0.8
HYPER = {
    "hidden": (32,), "learning_rate": 3e-3, "gamma": GAMMA, "batch_size": 32, "learning_starts": 64, "capacity": 1000,
    "tau": 0.1, "epsilon_start": 1.0, "epsilon_end": 1.0, "loss": "squared",
}  # fmt: skip
PROBES = [env_id for env_id in envs.IDS if "Probe" in env_id and env_id not in envs.FAULTY_IDS]
SEEDS = 3


def learn(env: str, folder: Path, *, total_steps: int = 1_200, seed: int = 0, keys: Any = (), hyper: Any = ()) -> Any:
    """The agent after training, with its run."""
    recipe = Recipe(
        env=env, device="cpu", seed=seed, seeds=SEEDS, total_steps=total_steps, eval_every=0, final_eval_episodes=0,
        hyper={**HYPER, **dict(hyper)}, **dict(keys),
    )  # fmt: skip
    run = rlbench.train(recipe=recipe, out=folder)
    return rlbench.load(folder / "checkpoint.pth").agent, run


@torch.no_grad()
def assert_true_values(env: str, agent: DQN, tolerance: float = 0.1) -> None:
    """Every seed has learned the value of every action at every observation."""
    obs, q = gymnasium.make(env).unwrapped.true_q(GAMMA)  # type: ignore[attr-defined]
    learned = agent.q_net(torch.from_numpy(obs).expand(SEEDS, -1, -1))  # (S, N, 2)
    torch.testing.assert_close(learned.double(), torch.from_numpy(q).expand_as(learned), atol=tolerance, rtol=0)


@pytest.mark.parametrize("env", PROBES)
def test_the_known_values_are_learned(env: str, tmp_path: Path) -> None:
    agent, run = learn(env, tmp_path / "run")
    assert agent.updates == run.summary["updates"] == 1_200 - 64
    fresh = build(rlbench.load(run.folder / "checkpoint.pth").recipe, range(SEEDS), "cpu").agent
    for new, old in zip(agent.q_net.parameters(), fresh.q_net.parameters(), strict=True):  # type: ignore[attr-defined]
        assert (new != old).flatten(1).any(1).all()
    assert_true_values(env, agent)


VARIANTS = [
    {"double": True},
    {"n_step": 3},
    {"tau": 1.0, "target_update_every": 10},
    {"layer_norm": True, "loss": "huber", "epsilon_decay": 0.999},
]


@pytest.mark.slow
@pytest.mark.parametrize("hyper", VARIANTS)
@pytest.mark.parametrize("env", ["rlbench/ProbeDelayedReward-v0", "rlbench/ProbeTruncated-v0"])
def test_variants_learn_the_same_values(env: str, hyper: Any, tmp_path: Path) -> None:
    agent, _ = learn(env, tmp_path / "run", hyper=hyper, total_steps=2_400, keys={"num_envs": 2})
    assert_true_values(env, agent, tolerance=0.15)


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_limit_of_the_recipe_is_no_death_either(n_step: int, tmp_path: Path) -> None:
    """Two steps an episode: who takes the limit for a death learns 1 / (1 - 0.8 / 2) = 1.67, or less, and not 5."""
    env = "rlbench/ProbeTruncated-v0"
    keys = {"max_episode_steps": 2, "env_kwargs": {"max_steps": 10**6}}
    agent, run = learn(env, tmp_path / "run", keys=keys, hyper={"n_step": n_step})
    assert set(run.summary["episodes"].values()) == {600}
    assert_true_values(env, agent, tolerance=0.15)


def test_a_termination_at_the_limit_is_a_death(tmp_path: Path) -> None:
    agent, _ = learn("rlbench/ProbeTerminated-v0", tmp_path / "run", keys={"max_episode_steps": 1})
    assert_true_values("rlbench/ProbeTerminated-v0", agent)


@pytest.mark.parametrize(
    ("double", "n_step", "value"), [(False, 1, 1 + 0.8 * 7), (True, 1, 1 + 0.8 * 5), (True, 2, 5.0)]
)
def test_the_target_by_hand(double: bool, n_step: int, value: float) -> None:
    """The online network says [2, 1] and the target network [5, 7], whatever is seen; reward 1 a step, action 0."""
    recipe = Recipe(
        env="rlbench/ProbeTruncated-v0",
        hyper={**HYPER, "double": double, "n_step": n_step, "learning_starts": 1, "batch_size": 8},
    )
    agent: Any = build(recipe, [0, 1], "cpu").agent
    for net, values in ((agent.q_net, [2.0, 1.0]), (agent.target_net, [5.0, 7.0])):
        *_, weight, bias = net.parameters()
        weight.data.zero_()
        bias.data.copy_(torch.tensor(values))
    one, no = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool)
    see = one.unsqueeze(-1)
    for _ in range(2):
        agent.observe(rlbench.Transition(see, torch.zeros(2, 1, dtype=torch.int64), one, see, no, no))
    metrics = agent.update()
    assert metrics["q_value"].tolist() == [2, 2]
    if n_step == 1:
        assert metrics["loss"].tolist() == pytest.approx([(2 - value) ** 2] * 2)
    else:  # two steps ahead from the first of them, one from the second
        ends = [(2 - (1 + 0.8 + 0.64 * value)) ** 2, (2 - (1 + 0.8 * value)) ** 2]
        assert all(min(ends) - 1e-4 < loss < max(ends) + 1e-4 for loss in metrics["loss"].tolist())


def snapshot(folder: Path, seed: int = 0) -> tuple[str, torch.Tensor]:
    """A hash of everything the agent holds after 200 steps, and the actions it took, (S, steps)."""
    hyper = {"epsilon_end": 0.2, "epsilon_steps": 100}
    _, run = learn("CartPole-v1", folder, total_steps=200, seed=seed, hyper=hyper)
    agent = checkpoint_file.load(run.folder / "checkpoint.pth", "checkpoint")["agent"]
    digest = hashlib.sha256()
    for part in ("q_net", "target_net"):
        for name, tensor in sorted(agent[part].items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
    stored = checkpoint_file.load(run.folder / "replay.pth", "replay")["replay"]["rows"]
    return digest.hexdigest(), torch.stack(stored)[:, :, 0, 0]


def test_the_same_seeds_give_the_same_run_and_others_another(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first, actions = snapshot(tmp_path / "first")
    torch.manual_seed(2)  # no global generator has a say
    torch.rand(3)
    again, actions_again = snapshot(tmp_path / "again")
    assert first == again
    assert torch.equal(actions, actions_again)
    other, actions_other = snapshot(tmp_path / "other", seed=SEEDS)
    assert other != first
    starts = {tuple(row.tolist()) for row in [*actions[:, :20], *actions_other[:, :20]]}
    assert len(starts) == 2 * SEEDS  # different seeds, different first actions
