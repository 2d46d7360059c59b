"""The command line as it is meant to be used: train, resume, eval, plot, list."""

import json
import re
from pathlib import Path

import matplotlib.image
import pytest
from command import CARTPOLE, assert_same_record, process, succeeds, timeless

from rlbench.cli import main

FILES = {
    ".lock", "journal", "recipe.toml", "run.json", "summary.json", "episodes.csv", "evaluations.csv", "updates.csv",
    "curve.png", "checkpoint.pth", "best.pth", "replay.pth", "tb",
}  # fmt: skip
SUMMARY = {
    "env", "agent", "seeds", "env_steps", "updates", "wall_seconds", "train_seconds", "env_steps_per_second",
    "final_eval_return", "best_eval_return", "solved_at_env_steps", "stopped_because",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    succeeds(*CARTPOLE, "--out", folder)
    return folder


def summary(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "summary.json").read_text())
    return content


@pytest.mark.draws
def test_train_leaves_a_whole_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeeds(*CARTPOLE, "--out", run)
    assert {path.name for path in run.iterdir()} == FILES
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    height, width, _ = matplotlib.image.imread(run / "curve.png").shape
    assert min(height, width) > 300
    said = summary(run)
    assert said.keys() >= SUMMARY
    assert (said["env"], said["agent"], said["seeds"], said["env_steps"]) == ("CartPole-v1", "dqn", [0, 1], 120)
    assert said["updates"] == 25  # 100 steps after learning_starts, every fourth
    assert said["stopped_because"] == "total_steps"
    for name in ("final_eval_return", "best_eval_return"):
        returns = said[name]
        assert isinstance(returns, dict)
        assert returns.keys() == {"0", "1"}
        assert all(1 <= value <= 500 for value in returns.values())
    assert json.loads((run / "run.json").read_text())["versions"].keys() >= {"rlbench", "torch", "gymnasium"}


def test_train_says_where_everything_is_and_how_to_go_on(tmp_path: Path) -> None:
    said = succeeds(*CARTPOLE, "--out", tmp_path / "run")
    assert said.splitlines() == [
        f"Everything is in {tmp_path}/run",
        f"Watch it:  rlbench play {tmp_path}/run",
        f"Its curve: {tmp_path}/run/curve.png   (again: rlbench plot {tmp_path}/run)",
    ]


def test_flags_are_short_for_keys(run: Path, tmp_path: Path) -> None:
    sets = [text for key in ("seeds=2", "seed=0", "total_steps=120", "num_envs=1") for text in ("--set", key)]
    rest = " ".join(CARTPOLE[3:])
    for flag in ("--seeds 2", "--total-steps 120", "--num-envs 1"):
        rest = rest.replace(flag, "")
    succeeds("train", "--set", "env=CartPole-v1", *rest.split(), *sets, "--out", tmp_path / "run")
    assert (tmp_path / "run" / "recipe.toml").read_text() == (run / "recipe.toml").read_text()
    assert_same_record(tmp_path / "run", run)


def test_a_recorded_recipe_trains_the_same_again(run: Path, tmp_path: Path) -> None:
    succeeds("train", "--recipe", run / "recipe.toml", "--progress", "none", "--out", tmp_path / "run")
    assert_same_record(tmp_path / "run", run)


def test_other_flags_make_another_run(run: Path, tmp_path: Path) -> None:
    succeeds(*CARTPOLE, "--seed", "7", "--num-envs", "2", "--set", "dqn.gamma=0.5", "--out", tmp_path / "run")
    said = summary(tmp_path / "run")
    assert said["seeds"] == [7, 8]
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    assert "gamma = 0.5" in recipe
    assert "num_envs = 2" in recipe


def test_workers_change_no_record(run: Path, tmp_path: Path) -> None:
    succeeds(*CARTPOLE, "--workers", "2", "--out", tmp_path / "run")
    assert_same_record(tmp_path / "run", run)
    one, two = summary(run), summary(tmp_path / "run")
    for key in SUMMARY - {"wall_seconds", "train_seconds", "env_steps_per_second"}:
        assert two[key] == one[key]
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES - {"replay.pth", "tb", "journal"} | {"workers"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_resume_with_more_steps(workers: str, run: Path, tmp_path: Path) -> None:
    short = [arg if arg != "120" else "70" for arg in CARTPOLE]
    succeeds(*short, "--workers", workers, "--out", tmp_path / "run")
    succeeds("train", "--resume", tmp_path / "run", "--total-steps", "120", "--progress", "none")
    assert timeless(tmp_path / "run", "episodes.csv") == timeless(run, "episodes.csv")
    assert summary(tmp_path / "run")["final_eval_return"] == summary(run)["final_eval_return"]
    assert summary(tmp_path / "run")["updates"] == summary(run)["updates"]


def test_progress(tmp_path: Path) -> None:
    said = [succeeds(*CARTPOLE, "--progress", p, "--out", tmp_path / p) for p in ("plain", "auto", "none")]
    for plain in said[:2]:  # standard output is no terminal here
        assert re.search(r"^ +120/120 steps .* steps/s .* return [\d.]+ ", plain, re.MULTILINE)
        assert "120 env steps per seed, 25 updates" in plain
        assert "Greedy return, final weights" in plain
        assert "\x1b" not in plain
    assert len(said[2].splitlines()) == 3


def test_eval(run: Path) -> None:
    content = json.loads(succeeds("eval", run, "--episodes", "3", "--json"))
    assert content["path"] == str(run / "best.pth")
    assert (content["env"], content["agent"], content["episodes"], content["env_steps"]) == (
        "CartPole-v1",
        "dqn",
        3,
        120,
    )
    assert content["seeds"].keys() == {"0", "1"}
    for seed in content["seeds"].values():
        assert len(seed["returns"]) == 3
        assert seed["mean"] == pytest.approx(sum(seed["returns"]) / 3)
    one = json.loads(succeeds("eval", run / "checkpoint.pth", "--episodes", "3", "--json", "--seed", "1"))
    assert one["seeds"] == {"1": content["seeds"]["1"]}
    table = succeeds("eval", run, "--episodes", "3").splitlines()
    assert table[0].endswith("best.pth: dqn on CartPole-v1, 3 greedy episodes per seed")
    assert [line.split()[0] for line in table[1:5]] == ["seed", "0", "1", "of"]
    assert table[5].startswith("over seeds, with 95 % intervals: IQM ")
    for name in ("iqm", "mean", "median"):
        low, high = content["intervals"][name]
        assert low <= content["over_seeds"][name] <= high
    assert one["intervals"] is None
    assert "no interval over seeds" in succeeds("eval", run, "--episodes", "3", "--seed", "1").splitlines()[-1]


def test_eval_counts_the_episodes_of_the_summary(run: Path) -> None:
    content = json.loads(succeeds("eval", run / "checkpoint.pth", "--episodes", "2", "--json"))
    assert {seed: found["mean"] for seed, found in content["seeds"].items()} == summary(run)["final_eval_return"]


def test_play_without_pictures(run: Path) -> None:
    said = succeeds("play", run, "--no-render", "--episodes", "2").splitlines()
    assert len(said) == 3
    assert said[-1].startswith("mean return ")
    assert said[-1].endswith("over 2 episodes")


def test_plot(run: Path, tmp_path: Path) -> None:
    for x in ("steps", "episodes", "time"):
        said = succeeds("plot", run, run, "--x", x, "--out", tmp_path / f"{x}.svg")
        assert said.splitlines()[0] == str(tmp_path / f"{x}.svg")
        assert "CartPole-v1: dqn" in said
        assert "<svg" in (tmp_path / f"{x}.svg").read_text()


def test_list() -> None:
    assert {line.split()[0] for line in succeeds("list", "agents").splitlines()} >= {"dqn", "random"}
    assert re.search(r"^dqn/CartPole-v1 +CartPole-v1$", succeeds("list", "recipes"), re.MULTILINE)
    envs = succeeds("list", "envs")
    assert re.search(r"^CartPole-v1 +up to 500 steps +solved at 475$", envs, re.MULTILINE)
    assert "rlbench/Catch-v0" in envs
    keys = succeeds("list", "keys")
    assert re.search(r"^total_steps +\[100000\] +env steps per seed$", keys, re.MULTILINE)
    assert re.search(r"^dqn\.gamma +\[0\.\d+\]", keys, re.MULTILINE)


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)], ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(command: list[str], flag: str) -> None:
    said = succeeds(*command, flag)
    assert said.startswith("Usage: ")
    assert "Options:" in said


def test_every_option_of_train_says_what_it_does() -> None:
    options = re.findall(r"^  (?:-\w, )?--[\w-]+.*?(?=^  -|\Z)", succeeds("train", "--help"), re.MULTILINE | re.DOTALL)
    assert len(options) > 12
    assert [text for text in options if len(text.split()) < 3] == []


def test_version() -> None:
    assert re.fullmatch(r"rlbench, version \d+\.\d+\.\d+\n", succeeds("--version"))


@pytest.mark.slow
def test_as_a_module_into_a_closed_pipe(tmp_path: Path) -> None:
    """`python -m rlbench list envs | head -0` says nothing about the pipe, which is closed before there is a word."""
    listing = process("list", "envs", cwd=tmp_path)
    assert listing.stdout
    assert listing.stderr
    listing.stdout.close()
    assert listing.stderr.read() == ""
    listing.stderr.close()
    listing.wait(20)


def test_runs_lie_under_runs_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = ("--seeds", "1", "--total-steps", "30", "--set", "final_eval_episodes=1", "--progress", "none")
    for _ in range(2):
        succeeds("train", "--env", "CartPole-v1", "--agent", "random", *short)
    first, second = sorted((tmp_path / "runs" / "CartPole-v1").iterdir())
    assert re.fullmatch(r"random-\d{8}-\d{6}", first.name)
    assert first.name != second.name
