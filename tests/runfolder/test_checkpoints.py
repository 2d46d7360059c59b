"""Checkpoints of a run: the newest pair that is whole, older ones, and going on from them without loss."""

import os
from pathlib import Path
from typing import Any

import pytest
from command import rlbench, succeeds

from rlbench.errors import CheckpointError, RunFolderError
from rlbench.recipe import Recipe
from rlbench.record.watcher import Watcher
from rlbench.runfolder import checkpoint_file
from rlbench.runfolder.checkpoints import Keeper, newest, older
from rlbench.training import train as training


def content(step: int, **more: Any) -> dict[str, Any]:
    return {"env_steps": step, "has_replay": True, "agent": {"x": step}, **more}


def kept(folder: Path, steps: list[int], keep: int = 2) -> Keeper:
    keeper = Keeper(folder, keep)
    for step in steps:
        keeper.save(content(step), {"rows": step}, None)
    return keeper


def harm(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()  # the older one may be the same file
    path.write_bytes(data[: len(data) * 2 // 3])


def test_the_last_ones_stay_as_pairs(tmp_path: Path) -> None:
    kept(tmp_path, [10, 20, 30, 40], keep=3)
    assert [place.name for place in older(tmp_path)] == ["30", "20"]
    for place in (tmp_path, *older(tmp_path)):
        step = checkpoint_file.load(place / "checkpoint.pth", "checkpoint")["env_steps"]
        assert checkpoint_file.load(place / "replay.pth", "replay")["env_steps"] == step
        assert place == tmp_path or place.name == str(step)


def test_one_is_enough_where_so_wished(tmp_path: Path) -> None:
    kept(tmp_path, [10, 20], keep=1)
    assert older(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.pth", "replay.pth"]


@pytest.mark.parametrize("name", ["checkpoint.pth", "replay.pth"])
def test_a_damaged_file_is_named_and_the_pair_before_it_taken(name: str, tmp_path: Path) -> None:
    kept(tmp_path, [10, 20, 30], keep=3)
    harm(tmp_path / name)
    found = newest(tmp_path)
    assert (found.content["env_steps"], found.replay) == (20, {"rows": 20})
    assert found.place == tmp_path / "checkpoints" / "20"
    (note,) = found.notes
    assert str(tmp_path / name) in note
    assert "damaged" in note
    assert "of step 20" in note
    (tmp_path / "checkpoints" / "20" / "checkpoint.pth").unlink()
    assert newest(tmp_path).content["env_steps"] == 10


def test_nothing_whole_is_an_error_about_the_newest(tmp_path: Path) -> None:
    kept(tmp_path, [10, 20])
    for place in (tmp_path, *older(tmp_path)):
        harm(place / "checkpoint.pth")
    with pytest.raises(CheckpointError, match=r"checkpoint\.pth is damaged"):
        newest(tmp_path)


def test_a_pair_that_does_not_fit_is_used_only_if_there_is_no_other(tmp_path: Path) -> None:
    kept(tmp_path, [10, 20])
    os.replace(tmp_path / "checkpoints" / "10" / "replay.pth", tmp_path / "replay.pth")
    found = newest(tmp_path)
    assert found.mismatched
    assert found.content["env_steps"] == 20
    assert "not exact" in found.notes[0]


def test_a_save_that_fails_leaves_the_pair_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = kept(tmp_path, [10, 20])

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match="No space left"):
        keeper.save(content(30), {"rows": 30}, None)
    monkeypatch.undo()
    found = newest(tmp_path)
    assert (found.content["env_steps"], found.replay, found.notes) == (20, {"rows": 20}, [])
    keeper.save(content(40), {"rows": 40}, None)
    assert newest(tmp_path).content["env_steps"] == 40
    assert [place.name for place in older(tmp_path)] == ["20"]


class Notes(Watcher):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize("workers", [1, 2])
def test_resuming_past_a_damaged_checkpoint_ends_the_same(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbench.runfolder.checkpoints.SAVE_SHARE", 1e9)
    recipe = Recipe(
        env="CartPole-v1", seeds=2, workers=workers, total_steps=400, checkpoint_every=100, eval_every=150,
        eval_episodes=2, final_eval_episodes=2, log_every=50, device="cpu",
        hyper={"hidden": (8,), "capacity": 300, "learning_starts": 20, "batch_size": 8},
    )  # fmt: skip
    whole = training.train(recipe=recipe, out=tmp_path / "whole")
    training.train(recipe=recipe.replace(total_steps=250), out=tmp_path / "run")
    place = tmp_path / "run" / "workers" / "1" if workers == 2 else tmp_path / "run"
    harm(place / "checkpoint.pth")
    notes = Notes()
    done = training.resume(tmp_path / "run", total_steps=400, watcher=notes)
    assert any("damaged" in note and "of step 200" in note for note in notes.said)

    def rows(folder: Path) -> list[str]:
        return [line.rpartition(",")[0] for line in (folder / "episodes.csv").read_text().splitlines()]

    assert rows(done.folder) == rows(whole.folder)
    assert done.summary["final_eval_return"] == whole.summary["final_eval_return"]
    assert done.summary["exact"] is True


def test_a_damaged_file_of_a_run_is_named_by_play_with_another_to_open(tmp_path: Path) -> None:
    tiny = ("--seeds", "1", "--workers", "1", "--total-steps", "1100", "--device", "cpu", "--progress", "none")
    succeeds("train", "--env", "CartPole-v1", *tiny, "--set", "final_eval_episodes=1", "--out", tmp_path / "run")
    harm(tmp_path / "run" / "best.pth")
    result = rlbench("play", tmp_path / "run", "--no-render")
    assert result.exit_code == 1
    assert "best.pth is damaged" in result.output
    assert f"There is also {tmp_path}/run/checkpoint.pth" in result.output


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc")
def test_a_resumed_run_lets_go_of_the_file_it_came_from(tmp_path: Path) -> None:
    """While a buffer's old file is mapped, a large one takes its place on the disk twice."""
    keys: Any = {"eval_every": 0, "final_eval_episodes": 0, "track": "none"}
    folder = training.train("CartPole-v1", out=tmp_path / "run", seeds=1, total_steps=300, **keys).folder
    seen: list[list[str]] = []

    class Looks(Watcher):
        def tick(self, status: Any) -> None:
            seen.append([line for line in Path("/proc/self/maps").read_text().splitlines() if "replay.pth" in line])

    training.resume(folder, total_steps=400, watcher=Looks())
    assert seen
    assert seen[0] == []
