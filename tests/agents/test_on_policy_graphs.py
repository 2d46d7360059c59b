"""PPO and PQN as a card runs them: a few graphs, which no number of Python's is baked into, and nobody waits."""

import contextlib
import functools
from typing import Any

import pytest
import torch
from cards import Recorded, never_waiting
from conftest import make_spec, random_transitions
from rlbench.agents import ppo, pqn

from rlbench import rng
from rlbench.replay import rollout_buffer as rollouts
from rlbench.rng import Streams
from rlbench.types import Extra, Spec

SMALL: dict[str, Any] = {
    "hidden": (8,),
    "rollout_steps": 6,
    "batch_size": 4,
    "epochs": 2,
    "learning_rate": 3e-3,
    "learning_rate_end": 1e-5,
}
PPO = {**SMALL, "normalise_obs": True, "normalise_rewards": True, "clip_end": 0.05, "value_clip": 0.3}
MASK = {"action_mask": Extra((3,), torch.bool)}
CONTINUOUS: dict[str, Any] = {
    "num_actions": None, "action_shape": (2,), "action_low": -torch.ones(2), "action_high": torch.ones(2)
}  # fmt: skip
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ppo", {**PPO, "entropy_weight": 0.01}, {"num_actions": 3}),
    ("ppo", PPO, CONTINUOUS),
    ("ppo", {**PPO, "batch_size": 5}, {"num_actions": 3, "extras": MASK}),
    ("ppo", {**PPO, "memory": "gru", "memory_size": 4, "sequence_length": 3}, {"num_actions": 3, "extras": MASK}),
    ("pqn", {**SMALL, "epsilon_steps": 30}, {"num_actions": 3}),
    ("pqn", {**SMALL, "epsilon_steps": 30, "batch_size": 5}, {"num_actions": 3, "extras": MASK}),
]


def made(name: str, config: dict[str, Any], spec: Spec) -> Any:
    kind = ppo.PPO if name == "ppo" else pqn.PQN
    return kind(spec, kind.Config(**config), Streams([0, 1, 2]))  # type: ignore[arg-type]


def course(agent: Any, spec: Spec, steps: int, *, waits: bool) -> list[Any]:
    """What an agent did and said while it saw random steps."""
    said: list[Any] = []
    draw = torch.Generator().manual_seed(0)
    for transition in random_transitions(spec, steps):
        before, after = (torch.rand(3, 2, 3, generator=draw) > 0.5 for _ in range(2))
        before[..., 1] = after[..., 1] = True
        told = {"action_mask": before} if spec.extras else {}
        with contextlib.nullcontext() if waits else never_waiting():
            acted = agent.act(transition.obs, explore=True, **({"extras": told} if told else {}))
            action, extras = acted if isinstance(acted, tuple) else (acted, {})
            agent.observe(
                transition._replace(
                    action=action, extras={**told, **extras}, next_extras={"action_mask": after} if told else {}
                )
            )
            metrics = agent.update()
        said.append((action, metrics))  # as they were given: no later step may overwrite them
    return said


@pytest.mark.parametrize(("name", "config", "space"), CASES)
def test_graphs_compute_what_the_operations_do(
    name: str, config: dict[str, Any], space: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step sizes, clips, corrections and shares of chance change from call to call, and the graphs go along."""
    spec = make_spec(obs_shape=(3,), num_seeds=3, num_envs=2, **space)._replace(total_steps=120)
    plain = made(name, config, spec)
    steps = 48  # eight rollouts
    begun = plain.params.data.clone()
    expected = course(plain, spec, steps, waits=True)
    for module in (ppo, pqn):
        monkeypatch.setattr(module, "Graph", Recorded)
        monkeypatch.setattr(module, "Rollout", functools.partial(rollouts.Rollout, apart=True))
    monkeypatch.setattr(pqn, "away", lambda device: True)
    monkeypatch.setattr(rng, "away", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(Recorded, "made", [])
    there = made(name, config, spec)
    found = course(there, spec, steps, waits=False)
    assert sum(graph.repeated > 0 for graph in Recorded.made) >= 3
    assert there.updates == plain.updates > 20
    assert ((plain.params.data - begun).abs().amax(1) > 1e-3).all()
    for (action, metrics), (other, said) in zip(expected, found, strict=True):
        torch.testing.assert_close(action, other, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(metrics, said, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(plain.params.data, there.params.data, atol=1e-4, rtol=1e-3)
