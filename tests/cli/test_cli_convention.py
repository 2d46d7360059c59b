"""What holds for all commands: --json prints, --out FILE writes, exit codes, and no empty words."""

import json
from pathlib import Path

import click
import pytest
from command import CARTPOLE, mistake, rlbench, succeeds

from rlbench.cli import main

#: How each command is asked for something that is not there; "NOWHERE" stands for the path.
ASKING = {
    "train": ["--resume", "NOWHERE"],
    "sweep": ["NOWHERE", "--out", "NOWHERE-out"],
    "ablate": ["NOWHERE", "--out", "NOWHERE-out"],
    "tune": ["NOWHERE", "--out", "NOWHERE-out"],
    "watch": ["NOWHERE"],
    "play": ["NOWHERE", "--no-render"],
    "eval": ["NOWHERE"],
    "inspect": ["NOWHERE"],
    "compare": ["NOWHERE", "NOWHERE/b"],
    "plot": ["NOWHERE"],
    "report": ["NOWHERE"],
    "runs": ["NOWHERE"],
    "export": ["NOWHERE", "--out", "NOWHERE.onnx"],
    "serve": ["NOWHERE"],
    "latency": ["NOWHERE"],
    "verify": ["NOWHERE"],
    "check": ["NOWHERE"],
    "new": ["agent", "NOWHERE"],
    "list": ["keys", "--agent", "NOWHERE"],
}
FOLDERS = ("train", "sweep", "ablate", "tune")  # what they write is one


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    succeeds(*CARTPOLE, "--out", folder)
    return folder


def options(name: str) -> dict[str, click.Option]:
    return {flag: p for p in main.commands[name].params if isinstance(p, click.Option) for flag in p.opts}


@pytest.mark.parametrize("name", main.commands)
def test_json_prints_and_out_writes(name: str) -> None:
    known = options(name)
    for flag in ("--json", "--latex", "--once", "--human", "--no-render", "--no-video", "--no-inside", "--rebuild"):
        if flag in known:
            assert known[flag].is_flag, f"{flag} takes no file"
    if "--json" in known:
        assert "--out" in known
    if "--out" in known:
        assert known["--out"].metavar == ("DIR" if name in FOLDERS else "FILE")


def test_every_command_is_asked() -> None:
    assert set(ASKING) == set(main.commands)


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a file"])
def test_a_path_that_leads_nowhere_exits_with_2(name: str, there: str, tmp_path: Path) -> None:
    path = tmp_path / "no where"
    if there == "an empty folder":
        path.mkdir()
    elif there == "a file":
        path.write_text("x = 1\n")
    result = rlbench(name, *(word.replace("NOWHERE", str(path)) for word in ASKING[name]))
    if name == "runs" and there == "an empty folder":
        assert (result.exit_code, result.stdout) == (0, "")  # no run is an answer
        return
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert str(path) in result.stderr or name in ("list", "new")


@pytest.mark.parametrize(
    "name", [name for name in ASKING if name not in ("list", "new", "runs", "check", "sweep", "ablate", "tune")]
)
def test_a_run_that_is_damaged_exits_with_1(name: str, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(b"\x00" * 100)
    asked = [word.replace("NOWHERE/b", str(run)).replace("NOWHERE", str(folder)) for word in ASKING[name]]
    result = rlbench(name, *asked)
    expected = (1, 2) if name in ("compare", "report", "plot") else (1,)  # "nothing to compare" is said of the request
    assert result.exit_code in expected, result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", main.commands)
def test_an_empty_text_is_refused(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where a script says --out "$OUT" and has not set it."""
    monkeypatch.chdir(tmp_path)
    wanted = ("--out", "--video", "--html", "--env", "--agent", "--import", "--recipe", "--resume")
    filters = {"runs": ("--env", "--agent")}.get(name, ())  # nothing in them is everything
    for flag in (flag for flag in wanted if flag in options(name) and flag not in filters):
        said = mistake(name, *(["x"] if name != "list" else ["envs"]), flag, "")
        assert f"Invalid value for '{flag}': an empty text was given" in said
    assert list(tmp_path.iterdir()) == []


def test_out_writes_what_json_prints(run: Path, tmp_path: Path) -> None:
    for asked in (("eval", run, "--episodes", "2"), ("runs", run)):
        file = tmp_path / "deep" / f"{asked[0]}.json"
        table = succeeds(*asked, "--out", file)
        assert not table.startswith(("{", "["))
        printed = json.loads(succeeds(*asked, "--json"))
        written = json.loads(file.read_text())
        assert type(printed) is type(written)
        assert printed == written or asked[0] == "runs"  # its ages go on


def test_play_writes_by_the_ending(run: Path, tmp_path: Path) -> None:
    succeeds("play", run, "--episodes", "1", "--out", tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    said = mistake("play", run, "--out", tmp_path / "a.txt")
    assert "ends with .txt" in said
    assert "give one of the three" in mistake("play", run, "--out", tmp_path / "a.gif", "--video", tmp_path / "b.gif")
