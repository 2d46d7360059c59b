"""Policies as pages: of numbers and pictures, with memory and without, alone and voting. Each page is proved."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from plainjs import needs_node

from rlbench.api.train import train
from rlbench.errors import RunWarning
from rlbench.ship.html import export_page
from rlbench.trained.load import load

STEPS = {"total_steps": 1500, "seeds": 2, "final_eval_episodes": 1, "eval_every": 0}


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "env_id", "keys", "seed"),
    [
        ("dqn", "rlbench/Catch-v0", {}, "best"),
        ("dqn", "MountainCar-v0", {"dqn": {"memory": "gru"}}, 1),
        ("ppo", "Acrobot-v1", {"ppo": {"memory": "gru"}}, "best"),
        ("ppo", "Pendulum-v1", {"total_steps": 5000}, "all"),
        ("pqn", "CartPole-v1", {"total_steps": 5000}, "all"),
        ("sac", "Pendulum-v1", {}, "best"),
        ("sac", "CartPole-v1", {}, "all"),
        ("reinforce", "CartPole-v1", {}, "best"),
    ],
)
def test_the_page_is_the_policy(agent: str, env_id: str, keys: dict[str, Any], seed: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)  # of runs so short
        train(env_id, agent=agent, out=tmp_path / "run", progress="none", **{**STEPS, **keys})
    done = export_page(load(tmp_path / "run", seed=seed, device="cpu"), tmp_path / "look.html", episodes=2)
    assert "observations: all actions" in done.tried
    assert "Gymnasium's" in done.tried
    assert done.nbytes < 1_000_000
