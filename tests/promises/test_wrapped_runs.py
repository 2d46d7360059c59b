"""Runs on wrapped environments: stopped and resumed, on several processes, opened again; and whose code is run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command import TINY, mistake, rlbench, succeeds
from test_promises import assert_same_run, opened, recipe, rows

import rlbench as library
from rlbench import Recipe, UsageError
from rlbench.errors import RunWarning
from rlbench.recipe.build import maker_of
from rlbench.record.watcher import Watcher
from rlbench.rollout.env_batch import EnvBatch
from rlbench.runfolder.reader import Reader
from rlbench.trained.recording import choose, open_recording
from rlbench.trained.rerun import Replayed, check, replay_returns
from rlbench.training import train as training

STACK = "gymnasium.wrappers:FrameStackObservation(stack_size=3)"
TIME = "gymnasium.wrappers:TimeAwareObservation(normalize_time=True)"
RESCALE = "gymnasium.wrappers:RescaleAction(min_action=0, max_action=1)"
STICKY = "gymnasium.wrappers:StickyAction(repeat_action_probability=0.3)"
NORMALIZE = "gymnasium.wrappers:NormalizeObservation"
KEYS: dict[str, Any] = {"seeds": 2, "num_envs": 2, "eval_every": 100, "eval_episodes": 1, "log_every": 20}
MINE = """
import gymnasium as gym

class Scaled(gym.RewardWrapper):
    def __init__(self, env, by=2.0):
        super().__init__(env)
        self.by = by
    def reward(self, reward):
        return self.by * reward
"""


class Telling(Watcher):
    """Writes notes down."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def note(self, text: str) -> None:
        self.said.append(text)


def trained(out: Path, *wrappers: str, env: str = "CartPole-v1", steps: int = 300, **keys: Any) -> Path:
    return library.train(recipe=recipe(env, wrappers=wrappers, total_steps=steps, **{**KEYS, **keys}), out=out).folder


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    return str(tmp_path / "mine.py")


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("env", "wrappers", "agent"),
    [
        ("CartPole-v1", (STACK, TIME), "dqn"),
        ("FrozenLake-v1", (TIME, STICKY), "dqn"),
        ("Pendulum-v1", (RESCALE, STACK), "random"),
    ],
)
def test_resume_is_exact(env: str, wrappers: tuple[str, ...], agent: str, fresh: bool, tmp_path: Path) -> None:
    keys: dict[str, Any] = {**KEYS, "fresh_envs": fresh, "max_episode_steps": 40, "total_steps": 300}
    made = recipe(env, agent=agent, wrappers=wrappers, **keys)
    made = made.replace(hyper={}) if agent == "random" else made
    whole = library.train(recipe=made, out=tmp_path / "whole").folder
    library.train(recipe=made.replace(total_steps=218), out=tmp_path / "cut")
    done = training.resume(tmp_path / "cut", total_steps=300)
    assert done.summary["exact"] is True
    assert rows(done.folder) == rows(whole)
    assert len(rows(whole)) > 4
    if agent == "dqn":
        assert_same_run(done.folder, whole, evaluated=False)
    assert (done.folder / "recipe.toml").read_text() == (whole / "recipe.toml").read_text()
    assert library.Recipe.load(whole / "recipe.toml").wrappers == wrappers


def test_a_seed_alone_is_that_among_others_and_on_any_number_of_processes(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", STACK)
    alone = trained(tmp_path / "alone", STACK, seeds=1, seed=1)
    assert rows(whole, 1) == rows(alone)
    split = trained(tmp_path / "split", STACK, workers=2)
    assert rows(split) == rows(whole)
    assert rows(split, name="evaluations.csv") == rows(whole, name="evaluations.csv")


def test_statistics_that_go_on_over_a_reset_make_a_resume_inexact_which_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    watcher = Telling(said)
    made = recipe(wrappers=(NORMALIZE,), total_steps=300, **KEYS)
    cut = library.train(recipe=made, out=tmp_path / "cut", watcher=watcher).folder
    assert [text for text in said if text.startswith(f"{NORMALIZE} goes on with its statistics")]
    said.clear()
    done = training.resume(cut, total_steps=400, watcher=watcher)
    assert [text for text in said if "CartPole-v1 did not come back to where it stood" in text]
    assert done.summary["exact"] is False
    made = made.replace(fresh_envs=True)
    said.clear()
    whole = library.train(recipe=made, out=tmp_path / "whole", watcher=watcher).folder
    library.train(recipe=made.replace(total_steps=218), out=tmp_path / "fresh")
    assert not [text for text in said if "statistics" in text]
    done = training.resume(tmp_path / "fresh", total_steps=300)
    assert done.summary["exact"] is True
    assert_same_run(done.folder, whole, evaluated=False)


def test_what_opens_a_run_wraps_likewise(tmp_path: Path, mine: str) -> None:
    """The file's path is in no option but --import, by whatever spelling, and in none where Gymnasium's own do."""
    out = tmp_path / "run"
    wrapped = ("--wrapper", f"{mine}:Scaled(by=3)", "--wrapper", STACK)
    said = succeeds("train", "--env", "CartPole-v1", *TINY, *wrapped, "--out", out)
    assert f"--import {mine}" in said
    made = Reader(out).model()
    assert made.wrappers == (f"{mine}:Scaled(by=3)", STACK)
    assert made.imports == (mine,)
    (fact,) = json.loads((out / "run.json").read_text())["code"].values()
    assert fact["file"] == mine
    assert all(float(row["episode_return"]) == 3 * float(row["episode_length"]) for row in rows(out))
    recording = open_recording(out, imports=[mine])
    replayed: list[Replayed] = []
    replay_returns(recording, choose(recording, "first,best,last"), replayed.append)
    check(recording, replayed)
    assert len(replayed) >= 2
    assert all(one.end.episode_return == 3 * one.end.step for one in replayed)
    for words in (("eval", out, "--episodes", "2"), ("play", out, "--no-render", "--episodes", "1"), ("verify", out)):
        assert f"--import {mine}" in mistake(*words)
        assert rlbench(*words, "--import", mine).exit_code == 0
    assert f"--import {mine}" in mistake("train", "--resume", out, "--total-steps", "200")
    succeeds("train", "--resume", out, "--total-steps", "160", "--import", mine, "--progress", "none")
    assert all(float(row["episode_return"]) == 3 * float(row["episode_length"]) for row in rows(out))


def test_a_file_that_moved_or_changed(tmp_path: Path, mine: str) -> None:
    out = trained(tmp_path / "run", f"{mine}:Scaled(by=3)", num_envs=1)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(mine, tmp_path / "elsewhere" / "mine.py")
    opened_again = library.load(out, imports=[str(moved)])  # without a warning
    assert opened_again.recipe.wrappers == (f"{moved}:Scaled(by=3)",)
    moved.write_text(MINE.replace("2.0", "4.0"))
    with pytest.warns(RunWarning, match="has changed since the run"):
        library.load(out, imports=[str(moved)])
    training.resume(out, imports=[str(moved)], total_steps=340)
    assert int(rows(out)[-1]["env_steps"]) > 300
    assert all(float(row["episode_return"]) == 3 * float(row["episode_length"]) for row in rows(out))


def test_a_recipe_cannot_run_a_file_that_its_user_did_not_name(tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n{MINE}")
    trap = str(tmp_path / "trap.py")
    file = tmp_path / "stranger.toml"
    for wrappers, imports in ((f"{trap}:Scaled", []), (f"{trap}:Scaled", [trap]), ("trap:Scaled", [])):
        file.write_text(f"env = 'CartPole-v1'\nimports = {imports}\nwrappers = ['{wrappers}']\n")
        with pytest.raises(UsageError, match=r"names code to import. If you trust it, say so: --import .*trap"):
            Recipe.load(file)
    content = {"env": "CartPole-v1", "wrappers": [f"{trap}:Scaled"]}
    with pytest.raises(UsageError, match="Say: --import"):
        Recipe.from_content(content, "a file").trusting(None, (), "a file")
    with pytest.raises(UsageError, match="is code of your own"):
        maker_of(Recipe.from_content(content, "a file"))
    assert not (tmp_path / "sprung").exists()
    file.write_text(f"env = 'CartPole-v1'\nwrappers = ['trap.py:Scaled(by=5)', '{STACK}']\n")
    found = Recipe.load(file, imports=[trap])
    assert (found.wrappers, found.imports) == ((f"{trap}:Scaled(by=5)", STACK), (trap,))
    assert not (tmp_path / "sprung").exists()  # not before it is used
    maker = maker_of(found)
    assert (tmp_path / "sprung").exists()
    assert EnvBatch(maker, [0]).reset().shape == (1, 1, 3, 4)


def test_what_the_user_types_goes_before_the_recipes(tmp_path: Path, mine: str) -> None:
    file = tmp_path / "r.toml"
    file.write_text(f"env = 'CartPole-v1'\nwrappers = ['nowhere.py:W', '{TIME}']\n")
    for typed in (STACK, [STACK]):
        assert Recipe.load(file, overrides={"wrappers": typed}).wrappers == (STACK,)
    assert Recipe.load(file, overrides=[f"wrappers={STACK}"]).wrappers == (STACK,)
    assert Recipe.load(file, overrides=["wrappers=[]"]).wrappers == ()
    named = Recipe.load(env="CartPole-v1", overrides={"wrappers": [f"{mine}:Scaled"]})
    assert (named.wrappers, named.imports) == ((f"{mine}:Scaled",), (mine,))
    both = Recipe.load(env="CartPole-v1", imports=[f"{mine}:Some"], overrides={"wrappers": [f"{mine}:Scaled"]})
    assert both.imports == (f"{mine}:Some",)
    placed = Recipe(env="CartPole-v1", wrappers=(f"{mine}:Scaled",)).placed()
    assert placed.imports == (mine,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wrappers = 3", "wrappers: must be a list of texts, got 3"),
        ("wrappers = [3]", "wrappers: must be a list of texts, got [3]"),
        ("wrappers = ['x']", "'x' is no wrapper. Say where it is: 'gymnasium.wrappers:x', or FILE.py:x"),
        ("wrappers = ['gymnasium.wrappers:FrameStackObservation(4)']", "arguments are given by name"),
        ("wrapper = ['a:B']", "unknown key 'wrapper'. Did you mean wrappers?"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_told_with_its_name(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(f"env = 'CartPole-v1'\n{text}\n")
    line = mistake("train", "--recipe", tmp_path / "r.toml")
    assert "r.toml: " in line
    assert said in line


def test_what_is_wrong_on_the_command_line_is_told_before_anything_is_written(tmp_path: Path) -> None:
    words = ("train", "--env", "CartPole-v1", *TINY, "--out", tmp_path / "run", "--wrapper")
    assert "--wrapper: 'x' is no wrapper" in mistake(*words, "x")
    assert "Did you mean FrameStackObservation?" in mistake(*words, "gymnasium.wrappers:FrameStack")
    assert "there is no file" in mistake(*words, "nowhere.py:W")
    assert "takes no 'size'" in mistake(*words, "gymnasium.wrappers:FrameStackObservation(size=4)")
    assert not (tmp_path / "run").exists()
    run = trained(tmp_path / "old", num_envs=1)
    assert "--wrapper cannot change on --resume" in mistake("train", "--resume", run, "--wrapper", STACK)


def test_runs_are_the_same_experiment_only_in_the_same_wrappers(tmp_path: Path, mine: str) -> None:
    keys = {"final_eval_episodes": 2, "num_envs": 1, "steps": 100}
    plain, stacked = trained(tmp_path / "plain", **keys), trained(tmp_path / "stacked", STACK, **keys)
    (said,) = library.compare([plain, stacked]).differences
    assert said.startswith("CartPole-v1: not the same wrappers of the environment (wrappers): plain [], stacked [")
    assert library.compare([plain, stacked]).tables[0].agents[0].seeds == 2  # none repeats another's
    one = trained(tmp_path / "one", f"{mine}:Scaled", **keys)
    (tmp_path / "copy").mkdir()
    copied = shutil.copy(mine, tmp_path / "copy")
    other = trained(tmp_path / "other", f"{copied}:Scaled", **keys)
    assert library.compare([one, other]).differences == ()  # the same file, in another folder
    Path(copied).write_text(f"{MINE}\n# changed")
    changed = trained(tmp_path / "changed", f"{copied}:Scaled", **keys)
    (said,) = library.compare([one, changed]).differences
    assert "mine.py:Scaled of " in said
    assert opened(changed)["recipe"]["wrappers"] == [f"{copied}:Scaled"]
