"""`rlbench sweep` as it is typed."""

import contextlib
import importlib.util
import shlex
from pathlib import Path

import pytest
from command import mistake, rlbench, succeeds

from rlbench.cells.order import Order
from rlbench.driving.run import SweepPlan
from rlbench.errors import UsageError

TWO = """
[base]
env = "FrozenLake-v1"
agent = "random"
seeds = 1
total_steps = 200
final_eval_episodes = 2
[grid]
seed = [0, 1]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "two.toml"
    path.write_text(TWO)
    return path


@pytest.mark.slow
def test_a_sweep_is_run_found_done_gone_on_with_and_fails_alone(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = succeeds("sweep", file, "--out", out, "--progress", "plain")
    assert said.startswith("two.toml: 2 cells (2 x seed), 400 env steps in all\n  FrozenLake-v1_random_seed=0\n")
    assert "done     FrozenLake-v1_random_seed=1: return" in said
    assert "2 cells: 2 done; " in said
    assert said.endswith("Everything is in out\nLook at it:       rlbench watch out\n")
    runs = [out / "cells" / f"FrozenLake-v1_random_seed={k}" / "episodes.csv" for k in (0, 1)]
    before = [run.stat().st_mtime_ns for run in runs]
    assert succeeds("sweep", file, "--out", out, "--dry-run").endswith("\n2 of them are done already\n")
    file.write_text(TWO.replace("[0, 1]", "[0, 1, 5]") + '[[cell]]\nname = "bad"\nenv_kwargs.map_name = "x"\n')
    result = rlbench("sweep", file, "--out", out)
    assert result.exit_code == 1
    assert "failed at once: bad: cannot make 'FrozenLake-v1'" in result.stdout
    assert "4 cells: 3 done, 1 failed; " in result.stdout
    assert [run.stat().st_mtime_ns for run in runs] == before
    again = rlbench("sweep", out)  # its folder
    assert again.exit_code == 1
    assert "4 cells: 3 done, 1 failed; " in again.stdout


@pytest.mark.slow
def test_a_dry_run_tells_how_long_it_may_take_and_writes_nothing(file: Path, tmp_path: Path) -> None:
    said = succeeds("sweep", file, "--dry-run")
    assert "  random on FrozenLake-v1: " in said
    assert " env steps/s, " in said
    assert "one after the other" in said
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_wrong_is_one_line_and_nothing_is_written(file: Path, tmp_path: Path) -> None:
    assert "Error: --with memory: must be bytes, or a text" in mistake("sweep", file, "--with", "memory=many")
    assert "Error: --with cpus: must be a number, 0 or more" in mistake("sweep", file, "--with", "cpus=-1")
    assert "there is no engine 'locl'. Did you mean local?" in mistake("sweep", file, "--on", "locl")
    assert "there is no engine 'moon'. Known: local, ray, slurm." in mistake("sweep", file, "--on", "moon")
    assert "--with 'cores' is not of the form key=value, such as cpus=2" in mistake("sweep", file, "--with", "cores")
    assert "is a folder, and no sweep was begun in it" in mistake("sweep", tmp_path)
    assert "[local] knows no 'partition'. Known: cores." in mistake("sweep", file, "--with", "partition=gpu")
    assert "a cell takes 4,000 GiB of memory" in mistake("sweep", file, "--with", "memory=4000 GiB").replace(".0", "")
    assert '--with time_limit: must be a time such as "90m"' in mistake("sweep", file, "--with", "time_limit=90")
    long = mistake("sweep", file, "--with", "time_limit=99999999999999d")
    assert "time_limit: '99999999999999d' is longer than 3650d, which is the most" in long
    assert "Lower [resources] cpus" in mistake("sweep", file, "--with", "cpus=5000")
    file.write_text(TWO.replace("total_steps", "totl_steps"))
    assert "two.toml: unknown key 'totl_steps'. Did you mean total_steps?" in mistake("sweep", file)
    assert list(tmp_path.iterdir()) == [file]


def test_a_sweep_folder_is_known_by_what_is_left_of_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def planned(read: object, out: Path, **how: object) -> None:
        asked.append(out)
        raise UsageError("enough")

    (file.parent / "o ut" / "cells").mkdir(parents=True)
    file.rename(file.parent / "o ut" / "sweep.toml")
    again = "o ut/sweep.json is missing; the runs are there. It is written anew, and the sweep goes on, by: "
    again += "rlbench sweep 'o ut/sweep.toml' --out 'o ut'"
    assert again in mistake("sweep", "o ut")
    assert again in mistake("watch", "o ut")
    monkeypatch.setattr("rlbench.driving.run.plan_sweep", planned)
    monkeypatch.setattr("rlbench.engines.early.nursery", lambda wanted: contextlib.nullcontext())
    mistake("sweep", "o ut/sweep.toml")
    (file.parent / "o ut" / "sweep.json").touch()
    mistake("sweep", "o ut/sweep.toml")
    mistake("sweep", "o ut/sweep.toml", "--out", "other")
    assert asked == [file.parent / "o ut", file.parent / "o ut", file.parent / "other"]


def test_the_command_that_goes_on_asks_for_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def stopped(plan: object, view: object, *, retries: int, command_again: str) -> None:
        said.append(command_again)
        raise UsageError("enough")

    monkeypatch.setattr("rlbench.driving.run.run_sweep", stopped)
    rlbench("sweep", file, "--out", "out", "--with", "cores=1", "--retries", "0")
    rlbench("sweep", file, "--out", "out")
    assert said == [
        "rlbench sweep two.toml --out out --with cores=1 --retries 0", "rlbench sweep two.toml --out out",
    ]  # fmt: skip


def test_a_time_limit_is_that_of_the_command_or_else_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def stopped(plan: SweepPlan, view: object, *, retries: int, command_again: str) -> None:
        limits.append(plan.time_limit)
        raise UsageError("enough")

    monkeypatch.setattr("rlbench.driving.run.run_sweep", stopped)
    file.write_text(f'{TWO}[resources]\ntime_limit = "90s"\n')
    rlbench("sweep", file)
    rlbench("sweep", file, "--with", "time_limit=2h")
    assert limits == [90, 7200]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('setup = ["module load cuda"]', """--with 'setup=["module load cuda"]'"""),
        ('python = "/opt/py/bin/python"', "--with python=/opt/py/bin/python"),
        ('export_file = "env.txt"', "--with export_file=env.txt"),
    ],
)
def test_what_would_run_on_nodes_counts_only_where_the_command_says_it(
    file: Path, line: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> None:
        raise UsageError("no cluster here")

    monkeypatch.setattr("rlbench.on_slurm.queue.check_there", nowhere)
    file.write_text(f"{TWO}[slurm]\n{line}\n")
    key = line.partition(" ")[0]
    said = mistake("sweep", file, "--on", "slurm")
    assert f"two.toml: [slurm] {key} can bring code along. If you trust it, say so: {shown}" in said
    assert "no cluster here" in mistake("sweep", file, "--on", "slurm", *shlex.split(shown))


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_names_its_extra(
    file: Path, engine: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *more: object) -> object:
        return None if name.partition(".")[0] == package else find(name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(importlib.util, "find_spec", without)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    assert f"'rlbench[{engine}]'" in mistake("sweep", file, "--on", engine)


def test_a_cluster_is_named_by_the_command_and_not_by_a_file(file: Path) -> None:
    """What it answers is unpickled."""
    file.write_text(f'{TWO}[ray]\naddress = "there:6379"\n')
    said = mistake("sweep", file, "--on", "ray")
    assert "two.toml: [ray] address can bring code along. If you trust it, say so: --with address=there:6379" in said


FAILS = """
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

class Fails(FrozenLakeEnv):
    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps > 150:
            raise ValueError("the ice is thin")
        return super().step(action)
"""
TWO_FAIL = TWO.replace("FrozenLake-v1", "lake.py:Fails").replace("[grid]", "checkpoint_every = 100\n[grid]")


@pytest.mark.slow
def test_a_cell_that_fails_says_why_in_short_and_the_sweep_how_to_go_on(file: Path, tmp_path: Path) -> None:
    (tmp_path / "lake.py").write_text(FAILS)
    file.write_text(TWO_FAIL)
    words = ("sweep", file, "--env", "lake.py:Fails", "--out", "out", "--retries", "0", "--progress", "none")
    first = rlbench(*words)
    failures = [line for line in first.stdout.splitlines() if line.startswith("failed at once: ")]
    assert [line.rpartition(": ")[2] for line in failures] == ["the ice is thin"] * 2
    assert "train --resume" not in first.stdout
    again = "Try again, from their checkpoints: rlbench sweep two.toml --out out --retries 0 --env lake.py:Fails\n"
    assert again in first.stdout
    log = next((tmp_path / "out" / "cells").glob("*seed=0/log.txt")).read_text()
    assert "What the agent held is in" in log
    assert "has changed" not in first.stderr
    (tmp_path / "lake.py").write_text(FAILS.replace("150", "10_000"))
    second = rlbench(*words)
    assert second.exit_code == 0
    assert "2 cells: 2 done" in second.stdout
    assert "note: lake.py has changed since this sweep was last run: what is done stays as it is" in second.stderr
    assert "has changed" not in rlbench(*words).stderr


def test_a_recipe_file_is_found_from_wherever_a_sweep_folder_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(self: object, interrupts: object) -> None: ...

    monkeypatch.setattr("rlbench.driving.driver.Driver.run", nothing)
    (tmp_path / "mine.toml").write_text('agent = "random"\nenv = "FrozenLake-v1"\n')
    file.write_text(TWO.replace('agent = "random"', 'recipe = "mine.toml"'))
    succeeds("sweep", file, "--out", "out", "--progress", "none")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for _ in range(2):  # it does not forget
        assert "2 cells (2 x seed)" in succeeds("sweep", "../out", "--progress", "none")
    (tmp_path / "elsewhere" / "mine.toml").write_text("agent = 7\n")  # what lies where the user stands comes first
    assert "agent" in mistake("sweep", "../out")


def test_a_damaged_sweep_does_not_forget_its_store(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: object, interrupts: object) -> None: ...

    monkeypatch.setattr("rlbench.driving.driver.Driver.run", nothing)
    words = ("sweep", file, "--out", "out", "--progress", "none")
    succeeds(*words, "--store", "kept")
    cell = "FrozenLake-v1_random_seed=0"
    (tmp_path / "out" / "cells" / cell).mkdir()
    order = Order(cell, "", {}, store=f"file://{tmp_path}/kept/{cell}")
    (tmp_path / "out" / "cells" / cell / "order.json").write_text(order.to_json())
    about = tmp_path / "out" / "sweep.json"
    for broken in ("{", None):
        about.write_text(broken) if broken else about.unlink()
        said = mistake(*words)
        what = "damaged" if broken else "missing"
        assert f"out/sweep.json is {what}, and its runs were kept at file://{tmp_path}/kept. Say so" in said
        assert f"out keeps its runs at file://{tmp_path}/kept" in mistake(*words, "--store", "other")
        succeeds(*words, *shlex.split(said.rpartition("goes on: ")[2]))
        assert f'"store": "file://{tmp_path}/kept"' in about.read_text()


def test_a_sweep_is_kept_in_one_store(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: object, interrupts: object) -> None: ...

    monkeypatch.setattr("rlbench.driving.driver.Driver.run", nothing)
    succeeds("sweep", file, "--out", "out", "--store", "other", "--progress", "none")
    succeeds("sweep", file, "--out", "out", "--store", "kept", "--progress", "none")  # nothing was run yet
    succeeds("sweep", file, "--out", "home", "--progress", "none")
    for out, at in (("out", f"file://{tmp_path}/kept"), ("home", "home/cells")):
        (tmp_path / out / "cells" / "FrozenLake-v1_random_seed=0").mkdir()
        said = mistake("sweep", file, "--out", out, "--store", "other")
        assert f"{out} keeps its runs at {at}. Leave --store out, or give the sweep another folder: --out DIR" in said
        succeeds("sweep", file, "--out", out, "--progress", "none")
