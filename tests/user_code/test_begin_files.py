"""`rlbench new`: what it writes works at once and is tidy, and it overwrites nothing."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from command import mistake, process, succeeds

from rlbench.errors import RunFolderError
from rlbench.templates.env import MOVES, MyEnv
from rlbench.templates.learner import MyLearner
from rlbench.templates.policy import MyPolicy
from rlbench.templates.value import MyValue
from rlbench.user_code.begin_files import KINDS, TEMPLATES, begin_files

NAMES = ("my_agent", "MyAgent", "x", "rainbow_with_memory", "DQNplus2")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ran(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("what", "kind"), TEMPLATES)
def test_what_is_written_is_tidy_and_keeps_no_name_of_the_template(what: str, kind: str, tmp_path: Path) -> None:
    for name in NAMES:
        Path(f"as_{name}").mkdir()
        begun = begin_files(what, f"as_{name}/{name}", kind)
        for path in (begun.file, begun.test):
            text = path.read_text()
            for old in ("MyLearner", "MyValue", "MyPolicy", "MyEnv", "my_learner", "my_value", "my_policy", "my_env"):
                assert old not in text, f"{path.name} still says {old}"
            assert "templates" not in text
            compile(text, path.name, "exec")
    ruff = shutil.which("ruff") or str(Path(sys.executable).parent / "ruff")
    for folder in tmp_path.iterdir():
        for words in (["check", "--select", "E,F,I,W,B,UP,SIM,RUF100", "--ignore", "E501"], ["format", "--check"]):
            command = [ruff, *words, "--isolated", "--line-length", "120", "."]
            done = subprocess.run(command, text=True, capture_output=True, cwd=folder)
            assert done.returncode == 0, done.stdout + done.stderr


def test_names_of_the_file_and_of_the_class() -> None:
    made = {name: begin_files("agent", name, "value") for name in ("my_agent", "MyQNet", "DQN2", "soft_q.py")}
    assert [(one.file.name, one.name) for one in made.values()] == [
        ("my_agent.py", "MyAgent"), ("my_qnet.py", "MyQNet"), ("dqn2.py", "DQN2"), ("soft_q.py", "SoftQ"),
    ]  # fmt: skip
    assert [one.test.name for one in made.values()][:2] == ["test_my_agent.py", "test_my_qnet.py"]
    Path("ideas").mkdir()
    assert begin_files("env", "ideas/field").file == Path("ideas/field.py").resolve()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my-agent", "is no name for a file and a class"),
        ("2fast", "is no name for a file and a class"),
        ("class", "is no name for a file and a class"),
        ("naïve", "is no name for a file and a class"),
        ("__", "is no name for a file and a class"),
        ("torch", "would hide the module torch"),
        ("random", "would hide the module random"),
        ("test_mine", "is what a test would be called"),
        ("rlbench", "would hide the module rlbench"),
        ("conftest", "is what a test would be called"),
        ("None", "is no name for a file and a class"),
        ("Learner", "the file needs Learner for something else"),
        ("agent", "the file needs Agent for something else"),  # whose hyper-parameters would be AgentConfig
        ("ValueError", "the file needs ValueError for something else"),
        ("a" * 300, "cannot be written: File name too long"),
        ("nowhere/mine", "there is no folder nowhere"),
    ],
)
def test_a_bad_name_is_told_in_one_line(name: str, says: str, tmp_path: Path) -> None:
    assert says in mistake("new", "agent", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("what", "kind"), TEMPLATES)
def test_a_name_may_be_the_templates_own_or_a_word_of_its_comments(what: str, kind: str) -> None:
    own = TEMPLATES[what, kind][1]
    for name in (own, "Learn", "Steps"):
        begun = begin_files(what, name, kind)
        assert f"class {name}(" in begun.file.read_text()
        assert name in begun.test.read_text()


def test_who_has_no_pytest_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert succeeds("new", "env", "first").endswith("python -m pytest test_first.py\n")
    monkeypatch.setattr(importlib.import_module("rlbench.cli.new"), "find_spec", lambda name: None)
    assert "python -m pytest test_second.py   (after: pip install pytest)\n" in succeeds("new", "env", "second")


def test_nothing_is_overwritten() -> None:
    for taken in ("mine.py", "test_mine.py"):
        Path(taken).write_text("precious")
        said = mistake("new", "agent", "mine")
        assert f"{taken} is there already, and stays as it is" in said
        assert [path.read_text() for path in Path().iterdir()] == ["precious"]
        Path(taken).unlink()
    Path("mine.py").symlink_to("nowhere")
    assert "mine.py is there already" in mistake("new", "env", "mine")
    assert "--kind is for agents" in mistake("new", "env", "other", "--kind", "value")


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rlbench.user_code.begin_files._text", lambda template: "")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(RunFolderError, match=r"mine\.py cannot be written: No space left on device\."):
            begin_files("agent", "mine", "value")


def test_half_of_it_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(path: Path, *how: Any, **more: Any) -> Any:
        if path.name.startswith("test_"):
            raise OSError(28, "No space left on device")
        return opened(path, *how, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(RunFolderError, match=r"test_mine\.py cannot be written"):
            begin_files("agent", "mine", "value")
    assert list(Path().iterdir()) == []
    begin_files("agent", "mine", "value")


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_trains_and_resumes_as_it_was_written(kind: str) -> None:
    said = succeeds("new", "agent", f"mine_{kind}", "--kind", kind)
    code = f"mine_{kind}.py:Mine{kind.capitalize()}"
    assert f"rlbench train --env CartPole-v1 --agent {code}" in said
    quick = ("--seeds", "2", "--workers", "1", "--set", "eval_every=0", "--set", "final_eval_episodes=2")
    succeeds(
        "train", "--env", "CartPole-v1", "--agent", code, *quick, "--total-steps", "1600", "--out", "run",
        "--progress", "none",
    )  # fmt: skip
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["updates"] > 5
    assert summary["seeds"] == [0, 1]
    looked = succeeds("inspect", "run", "--agent", code)
    assert "Networks" in looked


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "steps"), [(MyLearner, 30_000), (MyValue, 30_000), (MyPolicy, 30_000)])
def test_a_template_learns_cartpole(cls: type, steps: int, tmp_path: Path) -> None:
    from rlbench.training.train import train

    run = train("CartPole-v1", agent=cls, out=tmp_path / "run", seeds=3, total_steps=steps, final_eval_episodes=20)
    best = sorted(run.summary["best_eval_return"].values())
    assert best[1] > 475, best
    assert best[0] > 300, best


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_test_beside_an_agent_passes(kind: str) -> None:
    """Which asks all rows of `rlbench check`."""
    begin_files("agent", "mine", kind)
    assert "1 passed" in ran("pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_mine.py")


@pytest.mark.slow
def test_the_test_beside_an_environment_passes() -> None:
    succeeds("new", "env", "my_field")
    assert "1 passed" in ran("pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_my_field.py")


def best_return(env: MyEnv) -> float:
    """Mean over all starts, by the length of the shortest way."""
    lengths = [2 * (env.size - 1) - row - column for row in range(env.size) for column in range(env.size)][:-1]
    return float(np.mean([1 - 0.01 * (length - 1) for length in lengths]))


@pytest.mark.slow
def test_an_environment_is_trained_on_to_its_optimum_and_played() -> None:
    succeeds("new", "env", "my_field")
    succeeds(
        "train", "--env", "my_field.py:MyField", "--total-steps", "10000", "--seeds", "3", "--out", "run",
        "--set", "final_eval_episodes=400", "--set", "eval_share=10", "--progress", "none",
    )  # fmt: skip
    returns = json.loads(Path("run/summary.json").read_text())["final_eval_return"].values()
    assert min(returns) > best_return(MyEnv()) - 0.005  # of 400 starts
    said = succeeds("play", "run", "--env", "my_field.py:MyField", "--out", "field.gif")
    assert Path("field.gif").stat().st_size > 1000
    assert "mean return" in said


@pytest.mark.slow
def test_the_environment_by_its_registered_name() -> None:
    succeeds("new", "env", "my_field")
    done = process(
        "train", "--import", "my_field.py", "--env", "MyField-v0", "--total-steps", "50", "--seeds", "1",
        "--workers", "1",
        "--set", "final_eval_episodes=1", "--set", "dqn.hidden=[8]", "--progress", "none", "--out", "run",
    )  # fmt: skip
    _, errors = done.communicate()
    assert done.returncode == 0, errors


def test_a_walk_through_the_field() -> None:
    env = gymnasium.make("rlbench.templates.env:MyEnv-v0", render_mode="rgb_array").unwrapped
    assert isinstance(env, MyEnv)
    for seed in range(5):
        obs, _ = env.reset(seed=seed)
        first, total, terminated = list(env.place), 0.0, False
        assert first != [4, 4]
        steps = 0
        while not terminated:
            action = MOVES.index((1, 0)) if env.place[0] < 4 else MOVES.index((0, 1))
            obs, reward, terminated, truncated, _ = env.step(action)
            total, steps = total + reward, steps + 1
            assert not truncated
        assert obs.tolist() == [1.0, 1.0]
        assert steps == 8 - sum(first)
        assert total == pytest.approx(1 - 0.01 * (steps - 1))
    env.place = [0, 3]
    env.step(MOVES.index((-1, 0)))  # against a wall
    assert env.place == [0, 3]
    picture = env.render()
    assert picture is not None
    assert picture.shape == (240, 240, 3)
    assert (picture == (242, 190, 110)).all(2).sum() == 20 * 20
