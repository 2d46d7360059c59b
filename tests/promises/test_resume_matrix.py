"""Exact resume where it could break: environments, E, S, workers, agents of one's own; and with a part left out."""

import copy
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from test_promises import At, assert_same, assert_same_run, opened, recipe, rows
from torch import Tensor

import rlbench
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder import checkpoint_file, checkpoints
from rlbench.runfolder.layout import worker_folders
from rlbench.training import session
from rlbench.training import train as training

REINFORCE = f"{Path(__file__).parents[1] / 'user_agents' / 'reinforce.py'}:Reinforce"
TABULAR = f"{Path(__file__).parents[1] / 'user_agents' / 'tabular_q.py'}:TabularQ"
ENVS = ["CartPole-v1", "Acrobot-v1", "LunarLander-v3", "FrozenLake-v1", "rlbench/Catch-v0"]
KEYS: dict[str, Any] = {
    "total_steps": 480, "eval_every": 160, "eval_episodes": 1, "log_every": 40, "checkpoint_every": 100,
    "max_episode_steps": 60,
}  # fmt: skip


def keep_every_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "SAVE_SHARE", 1e9)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("seeds", "num_envs"), [(1, 1), (3, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("env", ENVS)
def test_environments(
    env: str, seeds: int, num_envs: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if workers > seeds:
        pytest.skip("a seed cannot be split")
    keep_every_checkpoint(monkeypatch)
    made = recipe(env, seeds=seeds, num_envs=num_envs, workers=workers, **KEYS)
    whole = rlbench.train(recipe=made, out=tmp_path / "whole")
    rlbench.train(recipe=made.replace(total_steps=276), out=tmp_path / "cut")  # mid-episode
    done = training.resume(tmp_path / "cut", total_steps=480)
    for name in ("episodes.csv", "updates.csv"):
        assert rows(done.folder, name=name) == rows(whole.folder, name=name)
        assert rows(done.folder, name=name)
    assert done.summary["final_eval_return"] == whole.summary["final_eval_return"]
    places = zip(
        [done.folder, *worker_folders(done.folder)], [whole.folder, *worker_folders(whole.folder)], strict=True
    )
    for ours, theirs in places:
        assert_same(opened(ours)["agent"], opened(theirs)["agent"])
        if (theirs / "replay.pth").exists():
            assert_same(opened(ours, "replay"), opened(theirs, "replay"))
        for file in (theirs / "journal").glob("*.bin"):
            assert (ours / "journal" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(("agent", "env"), [(REINFORCE, "CartPole-v1"), (TABULAR, "FrozenLake-v1")])
def test_agents_of_ones_own(agent: str, env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_every_checkpoint(monkeypatch)
    keys = {"seeds": 2, "num_envs": 2, "device": "cpu", **KEYS, "final_eval_episodes": 2}
    whole = rlbench.train(env, agent=agent, out=tmp_path / "whole", **keys)
    with pytest.raises(Interrupted):
        rlbench.train(env, agent=agent, out=tmp_path / "cut", watcher=At(278, signal.SIGTERM), **keys)
    done = training.resume(tmp_path / "cut", agent=agent)
    assert_same(opened(done.folder)["agent"], opened(whole.folder)["agent"])
    assert rows(done.folder) == rows(whole.folder)


def reset(value: Any) -> Any:
    """``value`` as if it had not been saved: the zeros and empty lists that a new run begins with."""
    if isinstance(value, Tensor):
        return torch.zeros_like(value)
    if isinstance(value, dict):
        return {key: reset(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [reset(inner) for inner in value]
    return type(value)(0) if isinstance(value, (int, float)) else None


PARTS = [
    "agent.q_net", "agent.target_net", "agent.adam.first", "agent.adam.second", "agent.adam.steps", "agent.env_steps",
    "agent.updates", "agent.episodes", "training.streams.explore", "training.streams.replay", "training.envs.episodes",
    "training.envs.actions", "training.scores.recent", "training.scores.best", "training.best", "training.sizes",
    "replay.rows", "replay.cursor", "env_steps",
]  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A whole run, and the same cut off in mid-episode."""
    place = tmp_path_factory.mktemp("parts")
    hyper = {"epsilon_decay": 0.97, "target_update_every": 7, "tau": 0.5}
    made = recipe(hyper=hyper, seeds=2, **{**KEYS, "keep_checkpoints": 1, "max_episode_steps": 0, "solved_at": 15.0})
    whole = rlbench.train(recipe=made, out=place / "whole").folder
    with pytest.MonkeyPatch.context() as patch:
        keep_every_checkpoint(patch)
        with pytest.raises(Interrupted):
            rlbench.train(recipe=made, out=place / "cut", watcher=At(277, signal.SIGTERM))
    return whole, place / "cut"


def resumed(cut: Path, place: Path, part: str | None) -> Path:
    """The cut run gone on with, after ``part`` of its state was lost."""
    shutil.copytree(cut, place)
    files = {name: opened(place, name) for name in ("checkpoint", "replay")}
    if part:
        where: Any = files["replay" if part.startswith("replay.") else "checkpoint"]
        *path, last = part.split(".")
        for key in path:
            where = where[key]
        where[last] = reset(copy.deepcopy(where[last]))
        for name, content in files.items():
            del content["rlbench"], content["format"]
            checkpoint_file.save(place / f"{name}.pth", name, content)
    return training.resume(place).folder


def assert_same_in_all(folder: Path, whole: Path) -> None:
    assert_same_run(folder, whole)
    assert_same(opened(folder)["training"]["scores"], opened(whole)["training"]["scores"])


def test_nothing_lost_is_the_same(ran: tuple[Path, Path], tmp_path: Path) -> None:
    whole, cut = ran
    assert_same_in_all(resumed(cut, tmp_path / "run", None), whole)


@pytest.mark.parametrize("part", PARTS)
def test_any_part_that_is_lost_is_noticed(part: str, ran: tuple[Path, Path], tmp_path: Path) -> None:
    whole, cut = ran
    try:
        folder = resumed(cut, tmp_path / "run", part)
    except rlbench.RlbenchError:
        return  # it does not even load
    with pytest.raises(AssertionError):
        assert_same_in_all(folder, whole)
