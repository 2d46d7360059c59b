"""The command line on a user's mistakes: one line that says what, why and what to do; nothing is left behind."""

import io
import os
import pickle
import re
import shutil
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from command import CARTPOLE, TINY, mistake, one_line, rlbench, succeeds

from rlbench.cli import main
from rlbench.runfolder import checkpoint_file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errors") / "run"
    succeeds(*CARTPOLE, "--out", folder)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run folder to break."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


REQUESTS: list[tuple[list[str], str]] = [
    (["--env", "CartPol-v1"], r"unknown environment 'CartPol-v1'.*Did you mean: `CartPole`.*rlbench list envs"),
    (["--env", "CartPole-v9"], r"unknown environment 'CartPole-v9'.*`v1`.*rlbench list envs"),
    (["--env", "nowhere/Thing-v0"], r"Namespace nowhere not found.*--import PACKAGE"),
    (["--env", "os:Thing-v0"], r"would import code by its name\. Say: --import os --env Thing-v0"),
    (["--import", "no_such_module"], r"--import no_such_module: No module named 'no_such_module'.*installed"),
    (["--agent", "dqm"], r"unknown agent 'dqm'\. Known: dqn, .*random.*file\.py:Class"),
    (["--agent", "none.py:A"], r"--agent none\.py:A: there is no file none\.py"),
    (["--env", "Pendulum-v1"], r"dqn needs discrete actions.*rlbench list agents"),
    (["--device", "nonsense"], r"device: must be auto, cpu, cuda or cuda:N; several .*, got 'nonsense'"),
    (["--seeds", "0"], r"seeds: Input should be greater than or equal to 1, got 0"),
    (["--seeds", "1000000"], r"seeds: Input should be less than or equal to 10000"),
    (["--seeds", "two"], r"'--seeds': 'two' is not a valid integer.*rlbench train --help"),
    (["--seed", "-1"], r"seed: Input should be greater than or equal to 0"),
    (["--seed", str(2**63)], r"seed: Input should be less than 9223372036854775808"),
    (["--seed", str(2**63 - 1), "--workers", "2"], r"go beyond the largest seed, 9223372036854775807"),
    (["--total-steps", "-5"], r"total_steps: Input should be greater than or equal to 1, got -5"),
    (["--set", "gamma"], r"--set 'gamma' is not of the form key=value, such as dqn\.gamma=0\.98"),
    (["--set", "=1"], r"not of the form key=value"),
    (["--set", "dqn.gamma=high"], r"dqn\.gamma: Input should be a valid number.*got 'high'"),
    (["--set", "dqn.gamma=1.5"], r"dqn\.gamma: Input should be less than or equal to 1, got 1\.5"),
    (["--set", "dqn.gama=0.9"], r"unknown key 'dqn\.gama'\. Did you mean dqn\.gamma\?"),
    (["--set", "total_step=9"], r"unknown key 'total_step'\. Did you mean total_steps\?"),
    (["--set", "dqm.gamma=0.9"], r"--set dqm\.gamma: unknown table 'dqm'; the agent's is 'dqn'"),
    (["--set", "env_kwargs.nonsense=1"], r"env_kwargs \{'nonsense': 1\}.*unexpected keyword argument 'nonsense'"),
    (["--recipe", "classik"], r"unknown recipe 'classik'\. Known: .*dqn/classic.*\.toml"),
    (["--recipe", "none.toml"], r"there is no recipe file none\.toml"),
    (["--sedds", "3"], r"No such option '--sedds'.*--seeds.*rlbench train --help"),
]


@pytest.mark.parametrize(("flags", "words"), REQUESTS, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_requests_that_cannot_be_met(
    flags: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.search(words, mistake(*CARTPOLE, *flags, "--out", "run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_cuda_where_there_is_none(device: str, run: Path, tmp_path: Path) -> None:
    words = rf"--device {device}: torch .* sees no CUDA device.*\. Use --device cpu or auto"
    assert re.search(words, mistake(*CARTPOLE, "--device", device, "--out", tmp_path / "new"))
    assert re.search(words, mistake("eval", run, "--device", device))
    assert not (tmp_path / "new").exists()


def test_commands_that_do_not_exist() -> None:
    assert "name an environment (--env ID) or a recipe (--recipe NAME)" in mistake("train")
    assert "No such command 'trian'" in mistake("trian")
    wrong = mistake("list", "everything")
    assert "'everything' is not one of 'agents', 'recipes', 'envs', 'keys', 'operations'" in wrong
    assert "Missing argument" in mistake("plot")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('env = "CartPole-v1"\ntotal_stepz = 3', r"mine\.toml: unknown key 'total_stepz'\. Did you mean total_steps\?"),
        ('env = "CartPole-v1"\nseeds = 0', r"mine\.toml: seeds: .* greater than or equal to 1, got 0"),
        ('env = "CartPole-v1"\n[dqn]\ngamma = 2', r"mine\.toml: dqn\.gamma: .* less than or equal to 1, got 2"),
        ('env = "CartPole-v1"\n[dqn]\ngama = 0.9', r"mine\.toml: unknown key 'dqn\.gama'"),
        ("seeds = 3", r"mine\.toml names no environment\. Add --env ID"),
        ("seeds = = 3", r"mine\.toml is no valid TOML: .*line 1"),
        ('env = "CartPole-v1"\nagent = "mine.py:A"', r"names agent code to run\..*--agent mine\.py:A"),
    ],
)
def test_recipes_with_mistakes(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    assert re.search(words, mistake("train", "--recipe", tmp_path / "mine.toml", "--out", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_missing_box2d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    said = mistake("train", "--env", "LunarLander-v3", *TINY, "--out", tmp_path / "run")
    assert "'LunarLander-v3' needs Box2D. Run: pip install 'rlbench[box2d]'" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("ProbeNan", r"returned an observation that is not finite"),
        ("ProbeWrongShape", r"the observation has shape \(2,\) where \(1,\) was declared"),
    ],
)
def test_environments_that_break_their_contract(env: str, words: str, workers: str, tmp_path: Path) -> None:
    quiet = ("--progress", "none")
    said = mistake(
        "train", "--env", f"rlbench/{env}-v0", *TINY, *quiet, "--workers", workers, "--out", tmp_path / "run"
    )
    assert re.search(words, said)
    assert re.search(rf"rlbench/{env}-v0 .*step 7 of episode 0 \(seed [01], env 0\)", said)
    assert re.search(
        r"rlbench train --re(cipe|sume)", mistake("train", "--resume", tmp_path / "run", *quiet)
    )  # no dead end


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def zipped(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


DAMAGE: dict[str, tuple[Any, str]] = {
    "missing": (None, r"holds no checkpoint|ended before its first checkpoint"),
    "empty": (lambda whole, bomb: b"", "is damaged or is no checkpoint"),
    "truncated": (lambda whole, bomb: whole[: len(whole) // 2], "is damaged or is no checkpoint"),
    "a flipped bit": (lambda whole, bomb: _flipped(whole), "is damaged: the checksum"),
    "text": (lambda whole, bomb: b"hello", "is damaged or is no checkpoint"),
    "of something else": (lambda whole, bomb: zipped([1, 2]), "it was not written by rlbench"),
    "a replay": (lambda whole, bomb: zipped({"rlbench": "replay", "format": 1}), "is no checkpoint: it is a replay"),
    "newer": (lambda whole, bomb: zipped({"rlbench": "checkpoint", "format": 99}), "Upgrade rlbench"),
    "no digest": (lambda whole, bomb: zipped({"rlbench": "checkpoint", "format": 1}), "does not match its digest"),
    "hollow": (
        lambda whole, bomb: zipped({"rlbench": "checkpoint", "format": 1, "digest": checkpoint_file._digest({})}),
        "does not fit|not a whole",
    ),
    "a bomb": (lambda whole, bomb: zipped({"rlbench": "checkpoint", "format": 1, "x": bomb}), "could run code"),
    "a bare bomb": (lambda whole, bomb: pickle.dumps(bomb), "is damaged or is no checkpoint"),
}


def _flipped(whole: bytes) -> bytes:
    """With one bit of the largest member changed, in the middle of its data."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        member = max(archive.infolist(), key=lambda info: info.file_size)
    name, extra = struct.unpack_from("<HH", whole, member.header_offset + 26)
    at = member.header_offset + 30 + name + extra + member.file_size // 2
    return whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "command", [("play", "--no-render"), ("eval", "--episodes", "1"), ("train", "--total-steps", "150", "--resume")]
)
def test_checkpoints_that_are_none(command: tuple[str, ...], damage: str, run: Path, tmp_path: Path) -> None:
    (run / "best.pth").unlink()
    spoil, words = DAMAGE[damage]
    path = run / "checkpoint.pth"
    whole = path.read_bytes()
    path.unlink()
    if spoil:
        path.write_bytes(spoil(whole, Bomb(tmp_path / "boom")))
    assert re.search(words, mistake(*command, run))
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "a flipped bit", "a bomb"])
def test_replays_that_are_none(damage: str, run: Path, tmp_path: Path) -> None:
    spoil, _ = DAMAGE[damage]
    path = run / "replay.pth"
    whole = path.read_bytes()
    path.unlink()
    if spoil:
        path.write_bytes(spoil(whole, Bomb(tmp_path / "boom")))
    assert "replay.pth" in mistake("train", "--resume", run, "--total-steps", "150", "--progress", "none")
    assert not (tmp_path / "boom").exists()
    assert rlbench("eval", run, "--episodes", "1").exit_code == 0


def test_a_damaged_best_checkpoint_is_not_the_only_one(run: Path) -> None:
    (run / "best.pth").write_bytes(b"")
    assert f"There is also {run}/checkpoint.pth" in mistake("eval", run)


def test_a_checkpoint_of_another_environment(run: Path) -> None:
    content = checkpoint_file.load(run / "checkpoint.pth", "checkpoint")
    content = {key: value for key, value in content.items() if key not in ("rlbench", "format")}
    content["recipe"]["env"] = "Acrobot-v1"
    for name in ("checkpoint.pth", "best.pth"):
        checkpoint_file.save(run / name, "checkpoint", content)
    for command in (("eval", run), ("train", "--total-steps", "150", "--resume", run)):
        assert "does not fit its agent or environment" in mistake(*command)


def test_what_cannot_change_on_resume(run: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    for flags in (["--seeds", "3"], ["--env", "Acrobot-v1"], ["--set", "dqn.gamma=0.5"], ["--out", "x"]):
        words = f"{flags[0]} cannot change on --resume; only --total-steps can be raised"
        assert words in mistake("train", "--resume", run, *flags)
    assert "was made by agent 'dqn', not 'random'" in mistake("train", "--resume", run, "--agent", "random")
    done = "has done its 120 steps. To go on, raise them: rlbench train --resume"
    for flags in ([], ["--total-steps", "120"]):
        assert done in mistake("train", "--resume", run, *flags)
    assert "has done 120 steps already" in mistake("train", "--resume", run, "--total-steps", "60")
    for folder in (tmp_path, tmp_path / "none", run / "run.json"):
        assert "is no run folder: " in mistake("train", "--resume", folder)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_eval_and_play_with_something_else(run: Path) -> None:
    assert "was made by agent 'dqn', not 'random'" in mistake("eval", run, "--agent", "random")
    assert "has no seed 7; it has 0, 1" in mistake("play", run, "--no-render", "--seed", "7")
    assert "'--episodes': 0 is not in the range" in mistake("eval", run, "--episodes", "0")
    assert "give one of the two" in mistake("play", run, "--no-render", "--video", "x.gif")


def test_plot_of_what_is_no_run(run: Path, tmp_path: Path) -> None:
    assert "there is no such folder" in mistake("plot", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "it holds no recipe.toml" in mistake("plot", tmp_path / "empty")
    assert "must end in .png, .svg or .pdf" in mistake("plot", run, "--out", tmp_path / "curve.jpg")
    (tmp_path / "file").touch()
    assert "cannot write" in mistake("plot", run, "--out", tmp_path / "file" / "curve.png")


def test_out_folders_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert re.search(r"cannot write .*Give another place: --out DIR", mistake(*CARTPOLE, "--out", out))
    before = (run / "episodes.csv").read_bytes()
    assert re.search(r"already holds a run.*rlbench train --resume", mistake(*CARTPOLE, "--out", run))
    assert (run / "episodes.csv").read_bytes() == before


def test_a_traceback_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBENCH_DEBUG", "1")
    result = rlbench(*CARTPOLE, "--agent", "dqm")
    assert type(result.exception).__name__ == "UsageError"
    monkeypatch.delenv("RLBENCH_DEBUG")
    assert one_line(rlbench(*CARTPOLE, "--agent", "dqm")) == f"Error: {result.exception}"


@pytest.mark.parametrize(("command", "kept"), [("train", True), ("eval", False), ("latency", False)])
def test_ctrl_c_tells_of_a_checkpoint_where_one_is_written(
    command: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(ctx: click.Context) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.commands[command], "invoke", stopped)
    done = rlbench(command, *(("--env", "CartPole-v1") if kept else (".",)))
    more = "; what the last checkpoint holds is kept" if kept else ""
    assert (done.exit_code, done.stderr) == (130, f"stopped at once{more}\n")
