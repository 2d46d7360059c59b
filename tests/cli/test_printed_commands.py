"""Every command that is printed works when it is pasted: with spaces, a leading hyphen, and code of one's own."""

import errno
import html
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from command import mistake, rlbench, succeeds

from rlbench.record import recorder

ROOT = Path(__file__).resolve().parents[2]
VERBS = "train|watch|play|eval|inspect|compare|plot|report|runs|verify|check|new|list"
COMMAND = re.compile(rf"rlbench (?:{VERBS}) .*")

ENV = """
import os, signal
import gymnasium as gym

class MyEnv(gym.Env):
    metadata = {"render_modes": []}
    observation_space = gym.spaces.Discrete(5)
    action_space = gym.spaces.Discrete(2)
    steps = 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return 0, {}
    def step(self, action):
        type(self).steps += 1
        if os.environ.get("STOP_AT") == str(type(self).steps):
            os.kill(os.getpid(), signal.SIGINT)
        self.at += 1
        return self.at, 1.0, self.at == 4, False, {}
"""
AGENT = "from rlbench.agents.random import Random\nclass Mine(Random): pass\n"
QUICK = (
    "--seeds", "2", "--workers", "1", "--total-steps", "40", "--set", "eval_every=0", "--set", "final_eval_episodes=1",
    "--progress", "none",
)  # fmt: skip
ENV_FILE, AGENT_FILE = "my code/-env's.py", "my code/agent file.py"
CODE = ("--env", f"{ENV_FILE}:MyEnv", "--agent", f"{AGENT_FILE}:Mine")
RUN = "-my runs/a $b"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    modules = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("my code").mkdir()
    Path(ENV_FILE).write_text(ENV)
    Path(AGENT_FILE).write_text(AGENT)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith("rlbench.user_code.user_files."):
            del sys.modules[name]


def train(*flags: str) -> Result:
    return rlbench("train", *CODE, *QUICK, "--out", RUN, *flags)


def commands(text: str) -> list[list[str]]:
    """The words of the commands that stand in ``text``, without "rlbench" and what belongs to the sentence."""
    found = []
    for match in COMMAND.finditer(text):
        line = match[0].split("`")[0].rstrip(").,")
        found.append(shlex.split(line)[1:])
    return found


def run_it(words: list[str]) -> Result:
    """Run a printed command, quickly and without a window."""
    quiet = {"play": ["--no-render", "--episodes", "1"], "eval": ["--episodes", "1"], "train": ["--progress", "none"]}
    result = rlbench(*words, *quiet.get(words[0], []))
    assert result.exit_code == 0, (words, result.output)
    return result


def run_all(text: str, *verbs: str) -> None:
    """Run the commands of ``text``; they are those of ``verbs``."""
    found = commands(text)
    assert [words[0] for words in found] == list(verbs), text
    for words in found:
        run_it(words)


def test_those_of_a_finished_run() -> None:
    done = train()
    assert done.exit_code == 0, done.output
    run_all(done.stdout, "play", "plot")
    run_all(mistake("train", "--resume", RUN, *CODE), "train")  # raises the steps
    (again,) = commands(train().stderr)  # the folder is taken
    said = rlbench(*again).stderr  # it has come to its end: says how to raise its steps
    run_all(said, "train")


def test_the_words_that_confirm_code() -> None:
    train()
    for verb in ("eval", "play", "verify"):
        more = {"play": ["--no-render", "--episodes", "1"], "eval": ["--episodes", "1"]}.get(verb, [])
        given: list[str] = []
        for _ in range(2):  # one after the other, where it is not said at once
            result = rlbench(verb, f"./{RUN}", *more, *given)
            if result.exit_code:
                given += shlex.split(result.stderr.partition("ay: " if "Say: " in result.stderr else "say so: ")[2])
        assert result.exit_code == 0, result.output
    said = mistake("train", "--recipe", f"{RUN}/recipe.toml", "--out", "again")
    given = shlex.split(said.partition("say so: ")[2])
    succeeds("train", "--recipe", f"{RUN}/recipe.toml", "--out", "again", "--progress", "none", *given)
    said = mistake("train", "--env", f"{ENV_FILE}:MyEnv-v0")
    assert shlex.split(said.partition("Say: ")[2]) == ["--import", ENV_FILE, "--env", "MyEnv-v0"]


def test_those_of_an_interrupted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOP_AT", "30")
    stopped = train()
    monkeypatch.delenv("STOP_AT")
    assert stopped.exit_code == 130, stopped.output
    watched = rlbench("watch", "--once", f"./{RUN}").stdout
    reported = rlbench("report", f"./{RUN}").stderr
    for text in (watched, reported, stopped.stderr):
        (words,) = commands(text)
        assert words == commands(stopped.stderr)[0]
    run_it(words)


def test_those_of_a_file_to_begin_with() -> None:
    said = succeeds("new", "agent", "my code/first_try")
    train_words, check_words = commands(said)
    assert check_words[0] == "check"
    assert Path(check_words[1].rpartition(":")[0]).is_file()
    run_it([*train_words, *QUICK, "--out", "begun"])
    (train_words,) = commands(succeeds("new", "env", "my code/first_env"))
    run_it([*train_words, *QUICK, "--out", "other"])


def test_those_of_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **how: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rlbench.training.finish.write_json", full)
        said = train().stderr
    assert "Make room, then go on from the last checkpoint with: " in said
    run_all(said, "train")
    worker = Path(RUN, "workers", "0")
    assert str(recorder.disk_error(OSError(errno.ENOSPC, "full"), worker)).endswith(
        str(recorder.disk_error(OSError(errno.ENOSPC, "full"), Path(RUN))).partition("with: ")[2]
    )


def test_those_of_a_report() -> None:
    train()
    code = ("--env", CODE[1], "--agent", CODE[3])
    assert rlbench("report", f"./{RUN}", *code, "--out", "r.html").exit_code == 0
    page = html.unescape(Path("r.html").read_text())
    Path("recipe.toml").write_bytes(Path(RUN, "recipe.toml").read_bytes())
    section = page[page.index('id="reproduce"') :]
    lines = re.findall(r"rlbench [^<\n]+", section)
    found = [shlex.split(line)[1:] for line in lines if re.match(f"rlbench (?:{VERBS}) ", line)]
    assert {words[0] for words in found} >= {"train", "verify", "eval"}
    for words in found:
        if "--recipe" in words or words[0] != "train":
            run_it(words)


def test_those_without_a_run() -> None:
    (words,) = commands(mistake("runs", "nowhere"))
    assert words == ["train", "--env", "CartPole-v1"]
    Path("empty").mkdir()
    (words,) = commands(mistake("play", "--env", "CartPole-v1"))
    assert words[:2] == ["play", "--human"]


def test_an_environment_without_pictures_gets_advice_that_its_command_takes() -> None:
    said = train("--video-every", "20").stderr
    assert "--video-every 0 trains without films" in said
    assert "--no-render" not in said
    assert train("--video-every", "0").exit_code == 0
    said = mistake("play", f"./{RUN}", *CODE, "--video", "a.gif")
    assert "--no-render prints the returns without pictures" in said
    report = rlbench("report", f"./{RUN}", *CODE, "--out", "r.html")
    assert report.exit_code == 0
    assert "--no-render" not in report.output + Path("r.html").read_text()


def test_nothing_but_commands_py_composes_one() -> None:
    """A path or a name that is put into a command by an f-string is not quoted."""
    composed = re.compile(rf"rlbench (?:{VERBS})\b[^\"'`]*\{{")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(ROOT.glob("rlbench/**/*.py"))
        if path.name != "commands.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if composed.search(line)
    ]
    assert found == []


def test_the_signal_came(monkeypatch: pytest.MonkeyPatch) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # nothing is left of the runs above
    assert "STOP_AT" not in os.environ
