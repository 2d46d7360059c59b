"""A command opens each file of a run once, and says of a damaged one what every other command says of it."""

import contextlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from command import rlbench

import rlbench as face

# Files that a command opens more than once: how often, and why. Everything else is opened once at most.
MAPPED = "torch maps a buffer by the path of its file, so that it need not fit into memory twice"
TWICE = "episodes of one seed are watched, and those of all are asked about"
MORE: dict[str, dict[str, tuple[int, str]]] = {
    "verify": {"*replay.pth": (2, MAPPED)},
    "inspect": {"*replay.pth": (2, MAPPED)},
    "report": {"*replay.pth": (2, MAPPED), "*.bin": (2, TWICE)},
    "report of two": {"*replay.pth": (2, MAPPED), "*.bin": (2, TWICE)},
    "resume": {
        "replay.pth": (2, MAPPED),
        "recipe.toml": (2, "in the end the curve is drawn, and the command is printed that plays the run"),
        "summary.json": (2, "read before, and in the end the curve is drawn of the new one"),
        "episodes.csv": (2, "rows are appended, and in the end the curve is drawn of all"),
        "journal/*.bin": (2, "read where an episode is in its midst, and appended to"),
        "workers/*/checkpoint.pth": (2, "read before and after: what was trained lies between"),
    },
}


_seen: list[str] = []  # names of files that were opened to be read, or written to
_roots: list[str] = []  # while this is not empty


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _roots and isinstance(arguments[0], str | bytes | os.PathLike):
        name, mode = os.path.abspath(os.fsdecode(arguments[0])), arguments[1] or ""
        there = os.path.isfile(name) or any(letter in mode for letter in "wax")  # what is looked for in vain is no file
        if name.startswith(_roots[0] + os.sep) and there:
            _seen.append(os.path.relpath(name, _roots[0]))


sys.addaudithook(_heard)  # for good: Python takes none back


@contextlib.contextmanager
def opens(root: Path) -> Iterator[Counter[str]]:
    """How often each file below ``root`` is opened, by its name from there."""
    found: Counter[str] = Counter()
    _seen.clear()
    _roots.append(os.path.abspath(root))
    try:
        yield found
    finally:
        _roots.clear()
        found.update(_seen)


SMALL: dict[str, Any] = {
    "seeds": 3, "total_steps": 300, "eval_every": 100, "eval_episodes": 2, "final_eval_episodes": 2, "log_every": 50,
    "checkpoint_every": 100, "device": "cpu", "track": (),
    "dqn": {"hidden": [8], "batch_size": 8, "learning_starts": 20, "capacity": 100, "train_every": 8},
}  # fmt: skip


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return face.train("CartPole-v1", out=tmp_path_factory.mktemp("made") / "run", workers=request.param, **SMALL).folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs" / "a"))


#: Command -> what to type, of a run, another one and a folder to write to; and what it has to open, lest this test
#: counts nothing.
COMMANDS: dict[str, tuple[Callable[[Path, Path, Path], list[str | Path]], tuple[str, ...]]] = {
    "report": (
        lambda a, b, out: ["report", a, "--out", out / "r.html"],
        ("recipe.toml", "summary.json", "run.json", "*episodes.csv", "*evaluations.csv", "*.bin", "best.pth",
         "checkpoint.pth"),
    ),
    "report of two": (
        lambda a, b, out: ["report", a, b, "--out", out / "r.html"],
        ("recipe.toml", "summary.json", "run.json", "*episodes.csv", "*evaluations.csv", "*.bin", "best.pth"),
    ),
    "compare": (
        lambda a, b, out: ["compare", a, b],
        ("recipe.toml", "summary.json", "run.json", "*episodes.csv", "*evaluations.csv"),
    ),
    "plot": (
        lambda a, b, out: ["plot", a, b, "--out", out / "p.png"],
        ("recipe.toml", "summary.json", "*episodes.csv"),
    ),
    "plot of scores": (
        lambda a, b, out: ["plot", a, b, "--kind", "scores", "--out", out / "p.png"],
        ("recipe.toml", "summary.json", "*episodes.csv", "*evaluations.csv"),
    ),
    "runs": (lambda a, b, out: ["runs", a.parent, "--rebuild"], ("recipe.toml", "summary.json", "run.json")),
    "watch": (lambda a, b, out: ["watch", a, "--once"], ("recipe.toml", "summary.json", "*episodes.csv")),
    "eval": (lambda a, b, out: ["eval", a, "--episodes", "1"], ("best.pth",)),
    "inspect": (lambda a, b, out: ["inspect", a], ("checkpoint.pth", "recipe.toml", "*.bin", "*replay.pth")),
    "play": (lambda a, b, out: ["play", a, "--no-render", "--episodes", "1"], ("best.pth",)),
    "play of training": (
        lambda a, b, out: ["play", a, "--no-render", "--episode", "first,best,last"], ("recipe.toml", "*.bin")
    ),
    "page of training": (
        lambda a, b, out: ["play", a, "--html", out / "p.html", "--episode", "first,best"],
        ("recipe.toml", "*.bin", "best.pth"),
    ),
    "verify": (
        lambda a, b, out: ["verify", a],
        ("recipe.toml", "summary.json", "run.json", "*episodes.csv", "*updates.csv", "*.bin", "*.pth"),
    ),
    "resume": (
        lambda a, b, out: ["train", "--resume", a, "--total-steps", "400", "--progress", "none"],
        ("recipe.toml", "summary.json", "run.json", "*checkpoint.pth"),
    ),
}  # fmt: skip


# Of a run that is under way the workers' own files count, and commands look at more of them.
CASES = [(command, False) for command in COMMANDS if command != "report"]
CASES += [(command, True) for command in ("report", "compare", "plot of scores", "runs", "watch", "verify", "resume")]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "under_way"), CASES)
def test_each_file_is_opened_once(command: str, under_way: bool, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "runs" / "b"))
    (tmp_path / "out").mkdir()
    if under_way:  # of several processes, their own files count then
        for folder in (run, other):
            (folder / "summary.json").unlink()
            if (folder / "workers").exists():
                for path in (*folder.glob("*.csv"), *folder.glob("*.pth")):
                    path.unlink()
    words, needed = COMMANDS[command]
    with opens(tmp_path / "runs") as counts:
        result = rlbench(*words(run, other, tmp_path / "out"))
    assert result.exit_code == 0, result.output
    ours = {name: n for name, n in counts.items() if not Path(name).name.startswith(".")}
    for pattern in needed:
        hit = [name for name in ours if fnmatch(name.partition("/")[2], pattern)]
        assert hit or (under_way and pattern in ("summary.json", "best.pth", "checkpoint.pth")), (
            f"{command} opens no {pattern}"
        )
    more = MORE.get(command, {})
    for name, n in sorted(ours.items()):
        inside = name.partition("/")[2]
        most = max((count for pattern, (count, _) in more.items() if fnmatch(inside, pattern)), default=1)
        assert n <= most, f"{command} opens {name} {n} times"


def cut_short(text: str) -> str:
    """The third line lost its end."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:2], lines[2][: len(lines[2]) // 2] + "\n", *lines[3:]])


def with_a_nul(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:2], "\0" + lines[2][1:], *lines[3:]])


def without_a_column(text: str) -> str:
    return "".join(line.partition(",")[2] for line in text.splitlines(keepends=True))


def half(text: str) -> str:
    return text[: len(text) // 2]


def flipped(text: str) -> str:
    """A bit of the second half, in a file of bytes."""
    at = len(text) * 2 // 3
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


ALL = ("report", "compare", "plot", "runs", "watch", "verify", "play of training")
JSON = ("report", "compare", "runs", "verify")
#: File, what befalls it, what is said of it, and the commands that meet it.
DAMAGE: list[tuple[str, Callable[[str], str], str, tuple[str, ...]]] = [
    ("recipe.toml", lambda text: text.replace("=", "", 1), "Expected '='", ALL),
    ("recipe.toml", lambda text: "\0" + text, "Invalid statement", ALL),
    ("recipe.toml", lambda text: text.replace("\nseeds", "\nsaids"), "there is no 'seeds'", ALL),
    ("summary.json", half, "", (*JSON, "plot", "watch", "resume")),
    ("summary.json", lambda text: "[1]", "it is no table", (*JSON, "plot", "watch", "resume")),
    ("summary.json", lambda text: text.replace('"env_steps": 300', '"env_steps": "many"'), "env_steps has 'many'",
     (*JSON, "plot", "watch", "resume")),
    ("run.json", half, "", JSON),
    *(
        (name, harm, why, commands)
        for name, commands in (
            ("episodes.csv", ("report", "compare", "plot", "watch", "verify")),
            ("evaluations.csv", ("report", "compare", "plot of scores", "watch", "verify")),
            ("updates.csv", ("watch", "verify")),
        )
        for harm, why in (
            (cut_short, "at line 3: "),
            (with_a_nul, "at line 3: invalid literal"),
            (without_a_column, "at line 1: there is no column 'seed'"),
        )
    ),
    ("journal/0.bin", flipped, "the record at byte", ("report", "verify", "play of training")),
    ("best.pth", flipped, "", ("eval", "play", "verify", "page of training")),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: f"{damage[0]}: {damage[2]}")
def test_one_damage_is_said_in_one_way(damage: tuple[Any, ...], tmp_path: Path, alone: Path) -> None:
    name, harm, why, commands = damage
    (tmp_path / "out").mkdir()
    sentence = ""
    for command in commands:
        run, other = (tmp_path / command / letter for letter in "ab")
        for folder in (run, other):
            shutil.copytree(alone, folder)
        path = run / name
        path.write_bytes(harm(path.read_bytes().decode("latin-1")).encode("latin-1"))
        result = rlbench(*COMMANDS[command][0](run, other, tmp_path / "out"))
        assert not result.exception or isinstance(result.exception, SystemExit), result.exception
        said = " ".join(result.output.split())
        begin = f"{path} is damaged"
        assert begin in said, f"{command} does not say so: {said}"
        if not sentence:
            sentence = said.partition(begin)[2]
            for end in (": left out", ": done without it", ": what follows", " note: ", ". ", "; "):
                sentence = sentence.partition(end)[0]
            sentence = sentence.rstrip(".")
            assert why in sentence
        assert begin + sentence in said, f"{command} says something else than {sentence!r}: {said}"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    return face.train("CartPole-v1", out=tmp_path_factory.mktemp("alone") / "run", **SMALL).folder


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "runs"])
def test_what_is_no_run_folder_is_said_in_one_way(command: str, tmp_path: Path, alone: Path) -> None:
    (tmp_path / "out").mkdir()
    for name, why in (("none", "there is no such folder"), ("out", "it holds no recipe.toml")):
        result = rlbench(*COMMANDS[command][0](tmp_path / name, tmp_path / name, tmp_path / "out"))
        assert f"{tmp_path / name} is no run folder: {why}. Runs lie under runs/" in " ".join(result.output.split())
        assert result.exit_code == 2
