"""Runs whose actions are several choices at once: learned, resumed, run again, shown, and seeds side by side."""

import json
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from command import succeeds
from conftest import registering
from test_promises import opened, rows

import rlbench
from rlbench import Learner, Spec, Transition
from rlbench.training import train as training


class Locks(gym.Env[Any, Any]):
    """Each of several locks has a number, shown at first; whoever dials it is paid for it. Three steps an episode."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(self, binary: bool = False, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = gym.spaces.MultiDiscrete([2, 2])
        several = gym.spaces.MultiDiscrete([[3], [2]], start=[[4], [-1]])
        self.action_space = gym.spaces.MultiBinary((2, 1)) if binary else several
        self.low = np.zeros((2, 1), int) if binary else several.start

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.right = 0, self.np_random.integers(2, size=2)
        return self.right.copy(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.t += 1
        paid = float((action - self.low == self.right[:, None]).sum())
        self.right = self.np_random.integers(2, size=2)
        return self.right.copy(), paid, self.t == 3, False, {}

    def render(self) -> Any:
        return np.full((16, 16, 3), 80 * self.t, np.uint8)


class Dialler(Learner):
    """A table of what each number of each lock paid where that lock showed what it did."""

    def __init__(self, spec: Spec, config: Any, rng: np.random.Generator) -> None:
        assert spec.action_sizes is not None
        self.sizes, self.rng = spec.action_sizes, rng
        self.q = torch.zeros(len(self.sizes), 2, max(self.sizes))

    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:  # (E, 4) -> (E, 2)
        shown = obs.view(-1, 2, 2).argmax(-1)  # (E, 2)
        best = torch.stack([self.q[i, shown[:, i], :n].argmax(-1) for i, n in enumerate(self.sizes)], -1)
        if not explore:
            return best
        drawn = torch.from_numpy(self.rng.integers(self.sizes, size=best.shape))
        return torch.where(torch.from_numpy(self.rng.random(best.shape)) < 0.3, drawn, best)

    def observe(self, transition: Transition) -> None:
        self.newest = transition

    def update(self) -> dict[str, float]:
        t = self.newest
        for i in range(len(self.sizes)):
            at = t.obs.view(-1, 2, 2).argmax(-1)[:, i]
            self.q[i, at, t.action[:, i]] += 0.2 * (t.reward - self.q[i, at, t.action[:, i]])
        self.updates += 1
        return {"q": float(self.q.mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"q": self.q, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q.copy_(state["q"])
        self.updates = state["updates"]


registered = registering({"test/Locks-v0": Locks})
KEYS: dict[str, Any] = {
    "device": "cpu", "seeds": 2, "eval_every": 0, "final_eval_episodes": 5, "log_every": 50, "num_envs": 2,
}  # fmt: skip


def trained(out: Path, steps: int = 900, binary: bool = False, **keys: Any) -> Any:
    how = {**KEYS, "total_steps": steps, "env_kwargs": {"binary": binary}, **keys}
    return rlbench.train("test/Locks-v0", **{"agent": Dialler, **how}, out=out)


@pytest.mark.parametrize("binary", [False, True])
def test_an_agent_learns_what_to_choose(binary: bool, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", steps=3000, binary=binary)
    assert run.summary["final_eval_return"] == {"0": 6.0, "1": 6.0}
    assert run.summary["updates"] > 0


def test_a_seed_alone_is_that_among_others(tmp_path: Path) -> None:
    both, alone = trained(tmp_path / "both"), trained(tmp_path / "alone", seeds=1, seed=1)
    assert rows(both.folder, 1) == rows(alone.folder)


@pytest.mark.parametrize("agent", [Dialler, "random"])
def test_resume_is_exact_in_mid_episode(agent: Any, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", agent=agent).folder
    cut = trained(tmp_path / "cut", steps=508, agent=agent).folder
    assert opened(cut)["training"]["envs"]["actions"][0].shape[1:] == (2, 1)
    done = training.resume(cut, total_steps=900, agent=agent)
    assert done.summary["exact"] is True
    assert rows(done.folder) == rows(whole)
    for file in (whole / "journal").glob("*.bin"):
        assert (done.folder / "journal" / file.name).read_bytes() == file.read_bytes()


def test_every_episode_runs_again_and_its_page_shows_what_was_chosen(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", agent="random", num_envs=1).folder
    assert "agree" in succeeds("verify", run)
    page = tmp_path / "page.html"
    succeeds("play", run, "--episode", "0,1", "--seed", "0", "--html", page)
    found = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    episodes = json.loads(found[1])["reels"]
    chosen = [action for one in episodes for action in one["actions"]]
    assert len(chosen) == 6
    assert {len(action) for action in chosen} == {2}
    assert all(0 <= action[0] <= 2 and 0 <= action[1] <= 1 for action in chosen)  # as the agent has them
    succeeds("play", run, "--html", page, "--episodes", "1")
