"""Code of a user's own, by file and by class: which file is meant, by what spelling, and where its paths lead."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from command import mistake, rlbench, succeeds, timeless
from rlbench.agents.random import Random

import rlbench as library
from rlbench import AgentConfig, UsageError
from rlbench.process import places
from rlbench.recipe import Recipe
from rlbench.user_code import user_files
from rlbench.user_code.commands import resume_command
from rlbench.user_code.refs import confirmed, parse, placed

QUICK = (
    "--agent", "random", "--seeds", "2", "--workers", "1", "--total-steps", "30", "--set", "eval_every=0",
    "--set", "final_eval_episodes=1", "--progress", "none",
)  # fmt: skip
FEW: dict[str, Any] = {"seeds": 1, "total_steps": 20, "eval_every": 0, "final_eval_episodes": 1, "agent": "random"}

ENV = """
import gymnasium as gym

class {name}(gym.Env):
    metadata = {{"render_modes": []}}
    observation_space = gym.spaces.Discrete(50)
    action_space = gym.spaces.Discrete(2)
    def __init__(self, size={size}):
        self.size = size
        {first}
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return 0, {{}}
    def step(self, action):
        self.at += 1
        return self.at, {reward}, self.at == self.size, False, {{}}
{after}
"""
REGISTERED = 'gym.register("Mine-v0", entry_point={entry}, max_episode_steps=20)'


def write(
    path: Path, name: str = "MyEnv", size: int = 3, reward: str = "1.0", after: str = "", first: str = ""
) -> Path:
    """A file with an environment whose episodes have ``size`` steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ENV.format(name=name, size=size, reward=reward, after=after, first=first or "pass"))
    return path


def lengths(run: Path | str) -> set[str]:
    return {row["episode_length"] for row in timeless(Path(run), "episodes.csv")}


def returns(run: Path | str) -> set[str]:
    return {row["episode_return"] for row in timeless(Path(run), "episodes.csv")}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the user stands in; what code of theirs changes in this process is undone."""
    before, modules = dict(gym.registry), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "_home", tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    gym.registry.clear()
    gym.registry.update(before)
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("entry", ["MyEnv", '"env:MyEnv"', 'f"{__name__}:MyEnv"'])
def test_two_files_of_one_name_are_two(entry: str) -> None:
    after = REGISTERED.format(entry=entry)
    for folder, size in (("a", 3), ("b", 7)):
        write(Path(folder, "env.py"), size=size, after=after)
    for turn, (folder, size) in enumerate((("a", "3"), ("b", "7"), ("a", "3"))):
        run = f"run{turn}"
        succeeds("train", "--import", f"{folder}/env.py", "--env", "Mine-v0", *QUICK, "--out", run)
        assert lengths(run) == {size}
    opened = [library.load(run, imports=[f"{folder}/env.py"]) for run, folder in (("run0", "a"), ("run1", "b"))]
    assert [one.maker().unwrapped.size for one in opened] == [3, 7]  # type: ignore[attr-defined]


def test_what_lies_beside_a_file_is_its_own() -> None:
    for folder, reward in (("a", 1), ("b", 5)):
        write(Path(folder, "env.py"), reward="REWARD", after="from helpers import REWARD")
        Path(folder, "helpers.py").write_text(f"REWARD = {reward}\n")
    for folder, told in (("a", "3"), ("b", "15")):
        succeeds("train", "--env", f"{folder}/env.py:MyEnv", *QUICK, "--out", f"run_{folder}")
        assert returns(f"run_{folder}") == {told}


@pytest.mark.parametrize(
    "name", ["random", "types", "test", "my.env", "two words", "rlbench", "numpy", "-x", "__init__"]
)
def test_any_name_of_a_file_will_do_and_shadows_nothing(name: str, here: Path) -> None:
    modules = {module: sys.modules.get(module) for module in ("random", "types", "rlbench", "numpy")}
    write(Path(f"{name}.py"), after=REGISTERED.format(entry="MyEnv"))
    succeeds("train", f"--import=./{name}.py", "--env", "Mine-v0", *QUICK, "--out", "run")
    assert lengths("run") == {"3"}
    assert {module: sys.modules.get(module) for module in modules} == modules


def test_a_run_opens_by_any_spelling_of_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("envs/mine.py"), after=REGISTERED.format(entry="MyEnv"))
    Path("envs/link.py").symlink_to("mine.py")
    succeeds("train", "--import", "envs/mine.py", "--env", "Mine-v0", *QUICK, "--out", "run")
    for spelling in (
        "envs/mine.py",
        "./envs/mine.py",
        str(here / "envs/mine.py"),
        "envs/../envs/mine.py",
        "envs/link.py",
    ):
        succeeds("eval", "run", "--episodes", "1", "--import", spelling)
    monkeypatch.chdir(here / "envs")
    for spelling in ("mine.py", "../envs/mine.py", "mine"):
        succeeds("eval", "../run", "--episodes", "1", "--import", spelling)
    assert "Say: --import mine.py" in mistake("eval", "../run")
    shutil.move("mine.py", here / "mine.py")  # the same code, elsewhere
    succeeds("eval", "../run", "--episodes", "1", "--import", "../mine.py")
    write(here / "other.py", after=REGISTERED.format(entry="MyEnv"))
    assert "needs a module imported" in mistake("eval", "../run", "--import", "../other.py")


@pytest.mark.slow
def test_code_that_has_changed_is_told_of(here: Path) -> None:
    write(Path("mine.py"), size=3)
    succeeds("train", "--env", "mine.py:MyEnv", *QUICK, "--out", "run")
    recorded = json.loads(Path("run/run.json").read_text())["code"]
    assert [one["file"] for one in recorded.values()] == [str(here / "mine.py")]
    assert all(len(one["sha256"]) == 64 for one in recorded.values())
    commands = (
        ("eval", "run", "--episodes", "1"),
        ("play", "run", "--no-render", "--episodes", "1"),
        ("play", "run", "--episode", "first", "--no-render"),
        ("verify", "run"),
    )
    for command in commands:
        succeeds(*command, "--env", "mine.py:MyEnv")
    write(Path("mine.py"), size=3, after="# edited")
    for command in commands:
        result = rlbench(*command, "--env", "mine.py:MyEnv")
        assert result.exit_code == 0
        assert result.stderr == "note: mine.py has changed since the run in run began with it.\n"
    said = rlbench("train", "--resume", "run", "--env", "mine.py:MyEnv", "--total-steps", "60").output
    assert "mine.py has changed since the run in run began with it" in said


def test_several_files_of_one_run() -> None:
    for folder in ("a", "b"):
        write(Path(folder, "env.py"), name=f"Of{folder.upper()}")
    needed = [placed("a/env.py:OfA"), placed("b/env.py")]
    assert confirmed(needed, ["b/env.py", "a/env.py"]).given == [needed[1], needed[0]]
    assert confirmed(needed, ["a/env.py"]).missing == [needed[1]]  # once for one
    assert confirmed(["pkg.mod"], ["pkg.other"]).missing == ["pkg.mod"]
    assert confirmed(["a/env.py:OfA"], ["a/env.py:Other"]).missing == ["a/env.py:OfA"]


@pytest.mark.parametrize("how", ["--import", "--agent", "--env"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys\nsys.exit()", "raised SystemExit on import. What ends a program belongs below"),
        ("raise SystemExit('bye')", "raised SystemExit on import: bye"),
        ("raise SystemExit(0)", "raised SystemExit on import: 0"),
        ("import os\nos.no_such_thing", "raised AttributeError on import, in line 2: module 'os' has no"),
        ("raise BaseException('a\\nb')", "raised BaseException on import, in line 1: a b"),
        ("import nonsense_nobody_has", "raised ModuleNotFoundError on import"),
        ("1 +", "syntax error in"),
        (None, "there is no file"),
    ],
)
def test_a_file_that_ends_the_program_is_one_line(how: str, text: str | None, words: str) -> None:
    if text is not None:
        Path("broken.py").write_text(text)
    ref = "broken.py" if how == "--import" else "broken.py:Some"
    rest = () if how == "--env" else ("--env", "CartPole-v1")
    said = mistake("train", how, ref, *rest, "--out", "run")
    assert said.startswith(f"Error: {how.replace('--env', '--import')} {ref}: ")
    assert words in said
    assert not Path("run").exists()


def test_a_module_that_is_imported_already_is_given_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = user_files.load("rlbench.agents.random", "--agent random")

    def none(*_: object) -> None:
        raise AssertionError("a thread for an import that takes no time")

    monkeypatch.setattr(threading, "Timer", none)
    assert user_files.load("rlbench.agents.random", "--agent random") is first is sys.modules["rlbench.agents.random"]
    with pytest.raises(UsageError, match="a thread for an import"):
        user_files.load("rlbench.no_such_module", "--agent x")


def test_a_file_that_takes_long_to_import_is_told_of(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(user_files, "PATIENCE", 0.05)
    (here / "long.py").write_text("import time\ntime.sleep(0.5)\n")
    (here / "short.py").write_text("")
    before = threading.active_count()
    user_files.load("short.py", "--agent short.py:Short")
    assert capsys.readouterr() == ("", "")
    user_files.load("long.py", "--agent long.py:Long")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("note: long.py is still being imported, after 0.05s: what stands outside of its")
    assert threading.active_count() == before


def test_an_environment_that_was_never_registered(here: Path) -> None:
    write(Path("my_env.py"))
    said = succeeds("train", "--env", "my_env.py:MyEnv", "--set", "env_kwargs.size=5", *QUICK)
    (run,) = Path("runs/MyEnv").iterdir()
    assert f"rlbench play {run} --import my_env.py:MyEnv" in said
    assert lengths(run) == {"5"}
    for name in ("--import", "--env"):
        code = (name, "my_env.py:MyEnv")
        assert "random on MyEnv" in succeeds("eval", run, "--episodes", "1", *code)
        succeeds("play", run, "--no-render", "--episodes", "1", *code)
        succeeds("play", run, "--episode", "first", "--no-render", *code)
        assert "Everything agrees." in succeeds("verify", run, *code)
        assert rlbench("report", run, *code, "--out", "r.html").exit_code == 0
    for command in (
        ("eval",),
        ("play", "--no-render"),
        ("verify",),
        ("train", "--resume"),
        ("play", "--episode", "first"),
    ):
        assert "Say: --import my_env.py:MyEnv" in mistake(*command, run)
    succeeds("train", "--resume", run, "--env", "my_env.py:MyEnv", "--total-steps", "60", "--progress", "none")
    succeeds("plot", run)
    succeeds("runs", "runs")
    assert "MyEnv" in succeeds("list", "envs", "--import", "my_env.py:MyEnv")


def test_one_in_a_package_and_in_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("pack/__init__.py"))
    write(Path("pack/deep.py"), size=4)
    succeeds("train", "--env", "pack.deep:MyEnv", *QUICK, "--out", "run")
    assert lengths("run") == {"4"}
    succeeds("eval", "run", "--import", "pack.deep:MyEnv", "--episodes", "1")
    Path("r.toml").write_text('env = "pack/deep.py:MyEnv"\nagent = "random"\n')
    assert "If you trust it, say so: --env pack/deep.py:MyEnv" in mistake("train", "--recipe", "r.toml")
    succeeds("train", "--recipe", "r.toml", "--env", "pack/deep.py:MyEnv", *QUICK, "--out", "again")
    assert "names code to import" in mistake("train", "--recipe", "again/recipe.toml")
    succeeds("train", "--recipe", "again/recipe.toml", "--import", "pack/deep.py:MyEnv", *QUICK, "--out", "third")
    assert lengths("third") == {"4"}


def test_a_class_named_as_a_known_environment_is_itself() -> None:
    write(Path("mine.py"), name="CartPole", size=4)
    run = library.train("mine.py:CartPole", out="run", **FEW)
    assert run.summary["env"] == "CartPole"
    assert lengths("run") == {"4"}
    assert Recipe.load("run/recipe.toml", imports=["mine.py"]).env == "CartPole"
    write(Path("mine.py"), name="classic", size=4)  # as a recipe of ours
    assert Recipe.load(env="mine.py:classic").env == "classic"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("my_env.py:Other", "my_env.py has no class 'Other'. Environments in it: MyEnv."),
        ("my_env.py:SIZE", "my_env.py has a 'SIZE' that is no gymnasium.Env. Environments in it: MyEnv."),
        ("my_env.py", "is a file. Say which class: --env my_env.py:MyEnv, or --import my_env.py --env ID"),
        ("my_env.py:Mine-v0", "Say: --import my_env.py --env Mine-v0"),
        ("my_env:Mine-v0", "Say: --import my_env --env Mine-v0"),
        ("no_such_pack:MyEnv", "No module named 'no_such_pack'"),
        ("my_env.py:", "is a file. Say which class: --env my_env.py:MyEnv"),
    ],
)
def test_what_is_no_environment_says_what_to_type(env: str, words: str) -> None:
    write(Path("my_env.py"), after=f"SIZE = 3\n{REGISTERED.format(entry='MyEnv')}")
    said = mistake("train", "--env", env, *QUICK, "--out", "run")
    assert words in said
    if "Say: " in said:
        succeeds("train", *said.partition("Say: ")[2].split(), *QUICK, "--out", "run")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_environment_that_goes_elsewhere_takes_no_path_with_it(workers: str, here: Path) -> None:
    write(Path("my dir/goes.py"), name="Goes", first="import os, tempfile; os.chdir(tempfile.gettempdir())")
    agent = "from rlbench.agents.random import Random\nclass Mine(Random): pass\n"
    Path("agent.py").write_text(agent)
    code = ("--env", "my dir/goes.py:Goes", "--agent", "agent.py:Mine")
    quick = [text for text in QUICK if text not in ("--agent", "random")]
    said = succeeds("train", *code, *quick, "--workers", workers, "--out", "the run")
    assert os.getcwd() == str(here)
    assert "Everything is in the run\n" in said
    assert "rlbench play 'the run' --agent agent.py:Mine --import 'my dir/goes.py:Goes'" in said
    assert {"summary.json", "curve.png", "best.pth"} <= {path.name for path in Path("the run").iterdir()}
    succeeds("eval", "the run", *code, "--episodes", "1", "--out", "found/eval.json")
    assert Path("found/eval.json").is_file()
    succeeds("train", "--resume", "the run", *code, "--total-steps", "60", "--progress", "none")
    assert rlbench("report", "the run", "--env", code[1], "--out", "r.html").exit_code == 0
    assert "Everything agrees." in succeeds("verify", "the run", *code)
    succeeds("train", *code, *quick, "--workers", workers)  # into the default folder
    assert len(list(Path("runs/Goes").iterdir())) == 1
    assert {path.name for path in here.iterdir()} == {"my dir", "agent.py", "the run", "found", "r.html", "runs"}


@pytest.mark.slow
def test_a_child_process_finds_what_it_unpickles() -> None:
    """As environments do that run a simulator in a process of its own."""
    module = user_files.load(str(write(Path("odd name.py")).absolute()), "--import x")
    content = pickle.dumps(module.MyEnv(size=9))
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).size)"
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True)
    assert done.stdout == b"9\n"


def test_a_file_is_run_once_under_all_its_names() -> None:
    write(Path("mine.py"), after="COUNT = []")
    Path("agent.py").write_text(
        "from mine import COUNT\nfrom rlbench.agents.random import Random\nCOUNT.append(1)\nclass Mine(Random): pass\n"
    )
    first = user_files.load("mine.py", "--import mine.py")
    user_files.load("agent.py", "--agent agent.py:Mine")
    assert first.COUNT == [1]
    assert user_files.load(str(Path("mine.py").absolute()), "") is first
    write(Path("mine.py"), size=8)
    assert user_files.load("mine.py", "").MyEnv().size == 8  # changed since


def test_a_module_of_pythons_own_is_not_the_file_here() -> None:
    write(Path("types.py"))
    assert "For the file here, say types.py" in mistake("train", "--import", "types", "--env", "CartPole-v1")


def given(tmp_path: Path) -> type:
    class Local(Random):
        """An agent that lives in a function, as in a notebook's or a test's."""

        Config = AgentConfig

    return Local


def test_a_class_from_inside_a_function_is_handed_over(here: Path) -> None:
    cls = given(here)
    run = library.train("CartPole-v1", out="run", **{**FEW, "agent": cls})
    assert type(library.load("run", agent=cls).agent).__name__ == "Local"
    library.resume("run", agent=cls, total_steps=40)
    assert run.summary["agent"].endswith(":Local")
    with pytest.raises(UsageError, match=r"a class Local that a program handed over.*agent=Local; .*FILE\.py:Local"):
        library.load("run")
    say = resume_command("run", Recipe.load("run/recipe.toml", agent=run.summary["agent"]), "--total-steps", 80)
    assert say == "rlbench.resume('run', agent=Local, total_steps=80)"
    Path("mine.py").write_text("from rlbench.agents.random import Random\nclass Local(Random): pass\n")
    succeeds("eval", "run", "--agent", "mine.py:Local", "--episodes", "1")


@pytest.mark.parametrize(
    ("text", "where", "name"),
    [
        ("a.py", "a.py", ""), ("a.py:B", "a.py", "B"), ("p.q:B", "p.q", "B"), ("p.q", "p.q", ""),
        ("C:/x/a.py:B", "C:/x/a.py", "B"), ("a:b.py", "a:b.py", ""), ("a.py:", "a.py:", ""), (":B", ":B", ""),
    ],
)  # fmt: skip
def test_references_are_taken_apart(text: str, where: str, name: str) -> None:
    assert parse(text) == (where, name)
