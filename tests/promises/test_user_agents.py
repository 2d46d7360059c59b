"""Agents in files of a user's own: they learn, resume, keep the width promise, and get clear errors when broken."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlbench
from rlbench.agent_state import pick
from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.recipe.registry import find_agent
from rlbench.runfolder import checkpoint_file
from rlbench.training import train as training
from rlbench.user_code.user_files import module_name

HERE = Path(__file__).parents[1] / "user_agents"
REINFORCE = f"{HERE}/reinforce.py:Reinforce"
TABULAR = f"{HERE}/tabular_q.py:TabularQ"


def train(folder: Path, agent: str, env: str, total_steps: int, **keys: Any) -> rlbench.Run:
    quiet = {"eval_every": 0, "final_eval_episodes": 0, "checkpoint_every": 0, "seeds": 3, "device": "cpu"}
    recipe = Recipe(**{"env": env, "agent": agent, "total_steps": total_steps, **quiet, **keys})
    return rlbench.train(recipe=recipe, out=folder)


def mean(values: dict[str, float]) -> float:
    return float(np.mean(list(values.values())))


@pytest.mark.slow
@pytest.mark.parametrize("num_envs", [1, 4])
def test_reinforce_learns_cartpole(num_envs: int, tmp_path: Path) -> None:
    run = train(tmp_path / "run", REINFORCE, "CartPole-v1", 15_000, num_envs=num_envs, final_eval_episodes=10)
    assert run.summary["updates"] > 100
    assert mean(run.summary["recent_return"]) > 100  # a random policy gets 22
    opened = rlbench.load(run.folder, agent=REINFORCE)
    returns = rlbench.evaluate(opened, 10)
    assert returns.shape == (3, 10)
    assert returns.mean() > 120
    assert returns.mean(1).tolist() == list(run.summary["best_eval_return"].values())


@pytest.mark.slow
@pytest.mark.parametrize(("slippery", "steps", "least"), [(False, 6_000, 1.0), (True, 15_000, 0.4)])
def test_tabular_q_learns_frozenlake(slippery: bool, steps: int, least: float, tmp_path: Path) -> None:
    keys = {"env_kwargs": {"is_slippery": slippery}, "hyper": {"epsilon_steps": steps // 2, "initial_value": 1.0}}
    run = train(tmp_path / "run", TABULAR, "FrozenLake-v1", steps, final_eval_episodes=50, **keys)
    assert run.summary["updates"] == steps
    assert mean(run.summary["final_eval_return"]) >= least  # a random policy gets 0.015
    returns = rlbench.evaluate(run.folder / "checkpoint.pth", 50, agent=TABULAR)
    assert returns.mean(1).tolist() == list(run.summary["final_eval_return"].values())


def plain(state: Any) -> Any:
    """With lists for tensors, so that ``==`` compares, to the last bit."""
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    if isinstance(state, list):
        return [plain(value) for value in state]
    return (list(state.shape), state.tolist()) if isinstance(state, torch.Tensor) else state


def state(folder: Path) -> Any:
    return checkpoint_file.load(folder / "checkpoint.pth", "checkpoint")["agent"]


def episodes(folder: Path, seed: int | None = None) -> list[list[str]]:
    rows = [line.split(",")[:-1] for line in (folder / "episodes.csv").read_text().splitlines()[1:]]
    return [row for row in rows if seed in (None, int(row[0]))]


BOTH = [(REINFORCE, "CartPole-v1"), (REINFORCE, "rlbench/Catch-v0"), (TABULAR, "FrozenLake-v1")]


@pytest.mark.slow
@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize(("agent", "env"), BOTH)
def test_they_keep_the_promises_of_width_and_resume(agent: str, env: str, num_envs: int, tmp_path: Path) -> None:
    keys = {"num_envs": num_envs, "eval_every": 100, "eval_episodes": 2}
    whole = train(tmp_path / "whole", agent, env, 300, **keys).folder
    alone = train(tmp_path / "alone", agent, env, 300, seed=1, **{**keys, "seeds": 1}).folder
    ours, theirs = pick(state(whole), 1, 3), state(alone)
    if agent == REINFORCE:  # counts how often any seed learned
        assert ours.pop("updates") >= theirs.pop("updates") > 0
    assert plain(ours) == plain(theirs)
    assert episodes(whole, 1) == episodes(alone)
    cut = train(tmp_path / "cut", agent, env, 150, **keys).folder  # stands in the middle of episodes
    training.resume(cut, agent=agent, total_steps=300)
    assert plain(state(cut)) == plain(state(whole))
    assert episodes(cut) == episodes(whole)


def test_module_and_file_references_are_the_same_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delitem(sys.modules, "tabular_q", raising=False)
    for n, ref in enumerate((TABULAR, "tabular_q:TabularQ")):
        entry = find_agent(ref)
        assert (entry.name, entry.ref, entry.cls.__name__) == ("TabularQ", ref, "TabularQ")
        folder = train(tmp_path / str(n), ref, "FrozenLake-v1", 300, hyper={"learning_rate": 0.5}).folder
        text = (folder / "recipe.toml").read_text()
        assert "[TabularQ]" in text
        assert "learning_rate = 0.5" in text
    assert plain(state(tmp_path / "0")) == plain(state(tmp_path / "1"))
    # What was trained by one reference opens by the other: the class's name is what counts.
    assert rlbench.load(tmp_path / "0", agent="tabular_q:TabularQ").seeds == [0, 1, 2]


def test_code_is_run_only_where_the_user_names_it(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", TABULAR, "FrozenLake-v1", 50).folder
    for attempt in (rlbench.load, training.resume, lambda f: Recipe.load(f / "recipe.toml")):
        with pytest.raises(UsageError, match=r"--agent .*tabular_q.py:TabularQ"):
            attempt(folder)
    with pytest.raises(UsageError, match=r"was made by agent.*TabularQ.*not.*Reinforce"):
        rlbench.load(folder, agent=REINFORCE)


def test_an_agent_that_cannot_act_here_says_so(tmp_path: Path) -> None:
    with pytest.raises(rlbench.RlbenchError, match="Discrete observation space"):
        train(tmp_path / "run", TABULAR, "CartPole-v1", 50)
    with pytest.raises(UsageError, match=r"TabularQ\.learning_rat.*Did you mean TabularQ\.learning_rate"):
        rlbench.train("FrozenLake-v1", agent=TABULAR, out=tmp_path / "run", TabularQ={"learning_rat": 1.0})
    assert not (tmp_path / "run").exists()  # nothing is left behind where nothing began


WHOLE = """
from rlbench import Agent, Learner
class Half(Agent):
    def __init__(self, spec, config, streams): ...
    def act(self, obs, *, explore): ...
class HalfLearner(Learner):
    def __init__(self, spec, config, rng): ...
class Other: ...
not_a_class = 3
"""
BROKEN = [
    (None, "a.py:Agent", r"there is no file .*a\.py"),
    ("class A:\n    def (self): ...", "a.py:A", r"syntax error in .*a\.py, line 2"),
    (WHOLE, "a.py:Hlaf", r"a\.py has no class 'Hlaf'\. Agents in it: Half, HalfLearner"),
    (WHOLE, "a.py:Other", "Other must be a subclass of rlbench.Agent or rlbench.Learner"),
    (WHOLE, "a.py:not_a_class", "must be a subclass"),
    (WHOLE, "a.py:Agent", "Agent must be a subclass"),
    (WHOLE, "a.py:Half", "Half does not define load_state_dict, observe, state_dict, update"),
    (WHOLE, "a.py:HalfLearner", "HalfLearner does not define act, load_state_dict, observe, state_dict, update"),
    (WHOLE, "a.py:", r"a\.py is named without a class\. Agents in it: Half, HalfLearner"),
    ("x = 1 / 0", "a.py:A", r"a\.py raised ZeroDivisionError on import, in line 1: division by zero"),
    ("import nonsense_nobody_has", "a.py:A", "raised ModuleNotFoundError on import: No module named"),
    ("raise SystemExit('bye')", "a.py:A", "raised SystemExit on import: bye"),
    ("x = '\0'", "a.py:A", r"syntax error in .*a\.py(, line 1)?: source code"),
]


@pytest.mark.parametrize(
    ("base", "parameters", "says"),
    [
        (
            "Learner",
            "self, spec, config",
            r"A\(spec, config, rng\) is how A is built, and its __init__ does not take that: too many positional",
        ),
        ("Agent", "self, spec, config, streams, w", r"A\(spec, config, streams\) .*: missing a required argument: 'w'"),
        ("Agent", "self, spec, config, streams, *, w", r"missing a required argument: 'w'"),
    ],
)
def test_an_agent_that_cannot_be_built_as_agents_are(base: str, parameters: str, says: str, tmp_path: Path) -> None:
    text = (HERE / ("tabular_q.py" if base == "Learner" else "reinforce.py")).read_text()
    cls = "TabularQ" if base == "Learner" else "Reinforce"
    wrong, count = re.subn(r"def __init__\(self, spec[^)]*\)", f"def __init__({parameters})", text, count=1)
    assert count == 1
    (tmp_path / "a.py").write_text(wrong.replace(cls, "A"))
    with pytest.raises(UsageError, match=says):
        find_agent(f"{tmp_path}/a.py:A")


@pytest.mark.parametrize(("text", "ref", "words"), BROKEN)
def test_broken_files_get_a_message(text: str | None, ref: str, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "a.py").write_text(text)
    with pytest.raises(UsageError, match=words) as e:
        find_agent(f"{tmp_path}/{ref}")
    assert str(e.value).startswith(f"--agent {tmp_path}/{ref}: ")
    if text is not None and "class" not in text:
        assert module_name(tmp_path / "a.py") not in sys.modules  # a module that failed is not left behind


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("nonsense_nobody_has:A", r"No module named 'nonsense_nobody_has'.*installed"),
        ("json:JSONDecoder", "must be a subclass"),
        ("json:Nothing", r"json has no class 'Nothing'\. Agents in it: none"),
        (":A", "--agent :A: '' is no module, as package.module, and no file, which ends in .py"),
        ("..x:A", r"--agent \.\.x:A: '\.\.x' is no module"),
        ("a/b.py:A:", r"'a/b\.py:A:' is no module|'a/b\.py:A' is no module"),
        ("~/nobody.py:A", r"there is no file .*; the shell has left ~ as it is: write \$HOME\."),
        ("DQN", r"Did you mean 'dqn'\?"),
        ("nobody", r"unknown agent 'nobody'\. Known: .*dqn.*random.*file\.py:Class"),
        ("reinforce.py", r"unknown agent 'reinforce\.py'.*file\.py:Class"),
    ],
)
def test_broken_references_get_a_message(ref: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_agent(ref)


def test_a_file_without_a_class_and_a_path_without_an_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('it is not run')")
    (tmp_path / "other.py").mkdir()
    monkeypatch.chdir(tmp_path)
    for ref in ("mine", "mine.py"):
        with pytest.raises(UsageError, match=r"There is a file mine\.py here: say which class, mine\.py:CLASS\."):
            find_agent(ref)
    with pytest.raises(UsageError, match=r"'\./mine' is no module.*There is a file \./mine\.py here\."):
        find_agent("./mine:Mine")
    with pytest.raises(UsageError, match=r"there is no file .*other\.py; it is a folder\."):
        find_agent("other.py:Mine")


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for n in (1, 2):
        (tmp_path / str(n)).mkdir()
        (tmp_path / str(n) / "mine.py").write_text(
            (HERE / "tabular_q.py").read_text().replace("0.1, gt=0, le=1", f"{n}")
        )
    first, second = (find_agent(f"{tmp_path}/{n}/mine.py:TabularQ").cls for n in (1, 2))
    assert [cls.Config().learning_rate for cls in (first, second)] == [1, 2]  # type: ignore[attr-defined]
