"""Agents of users' own that are made of the kit: they learn, and keep the promises of width and of resuming."""

from pathlib import Path
from typing import Any

import pytest

import rlbench
from rlbench.agent_state import pick, same
from rlbench.recipe import Recipe
from rlbench.runfolder import checkpoint_file
from rlbench.training.train import resume

HERE = Path(__file__).parents[1] / "user_agents"
DUELING = f"{HERE}/dueling.py:Dueling"


def train(folder: Path, agent: str, env: str, total_steps: int, **keys: Any) -> rlbench.Run:
    quiet = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "seeds": 3, "device": "cpu"}
    return rlbench.train(
        recipe=Recipe(**{"env": env, "agent": agent, "total_steps": total_steps, **quiet, **keys}), out=folder
    )


def content(folder: Path) -> tuple[Any, Any]:
    """What the agent is, and what its buffer holds."""
    replay = checkpoint_file.load(folder / "replay.pth", "replay")
    return checkpoint_file.load(folder / "checkpoint.pth", "checkpoint")["agent"], replay["replay"]


def episodes(folder: Path, seed: int | None = None) -> list[list[str]]:
    rows = [line.split(",")[:-1] for line in (folder / "episodes.csv").read_text().splitlines()[1:]]
    return [row for row in rows if seed in (None, int(row[0]))]


AGENTS: dict[str, tuple[str, str, int, dict[str, Any]]] = {  # agent, environment, E, hyper-parameters
    "dueling": (DUELING, "CartPole-v1", 1, {"learning_starts": 30, "batch_size": 15, "hidden": [17, 9]}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_they_keep_the_promises_of_width_and_resume(name: str, tmp_path: Path) -> None:
    agent, env, num_envs, hyper = AGENTS[name]
    keys = {"num_envs": num_envs, "hyper": hyper, "eval_every": 100, "eval_episodes": 2}
    whole = train(tmp_path / "whole", agent, env, 300, **keys)
    assert whole.summary["updates"] > 3
    alone = train(tmp_path / "alone", agent, env, 300, seed=1, **{**keys, "seeds": 1})
    for together, apart in zip(content(whole.folder), content(alone.folder), strict=True):
        assert same(pick(together, 1, 3), apart)
    assert episodes(whole.folder, 1) == episodes(alone.folder)
    cut = train(tmp_path / "cut", agent, env, 150, **keys)  # stands in the middle of episodes
    again = resume(cut.folder, agent=agent, total_steps=300)
    assert again.summary.get("inexact_resumes_at", []) == []
    assert same(content(cut.folder), content(whole.folder))
    assert episodes(cut.folder) == episodes(whole.folder)
