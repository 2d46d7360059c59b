"""Commands to print: what a shell makes of them is what was meant."""

import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from rlbench.process import places
from rlbench.user_code.commands import again_command, code_words, command, place, ref, resume_command


class Names(NamedTuple):
    agent: str = "dqn"
    imports: tuple[str, ...] = ()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the user stands in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "_home", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["run", "two words", "it's", 'say "x"', "$HOME", "a;b", "a`b`", "-x", "--out", "-x y", "über", "*", "~", "#a"],
)
def test_a_shell_gives_back_the_folder_that_was_meant(name: str, here: Path) -> None:
    (here / name).mkdir()
    words = shlex.split(resume_command(Path(name), Names()), comments=True)
    assert words[:3] == ["rlbench", "train", "--resume"]
    assert not words[3].startswith("-")
    assert (here / words[3]).samefile(here / name)
    assert len(words) == 4


def test_paths_are_named_from_where_the_user_stands(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    folder = places.absolute("runs/a")
    monkeypatch.chdir(other)  # as an environment may do
    assert place(folder) == "runs/a"
    assert place(other / "b") == str(other / "b")
    assert place(here / ".." / "c") == "../c"
    assert place(here) == str(here)
    monkeypatch.setattr(places, "_home", Path("/"))
    assert place("/etc/x") == "/etc/x"


def test_code_is_named_where_a_run_needs_it(here: Path) -> None:
    assert code_words("dqn") == []
    assert code_words(None, ["pkg.mod"]) == ["--import", "pkg.mod"]
    recipe = Names(str(here / "my agents" / "a.py:Mine"), ("pkg", str(here / "-e.py")))
    assert resume_command(here / "run", recipe, "--total-steps", 200) == (
        "rlbench train --resume run --agent 'my agents/a.py:Mine' --import pkg --import ./-e.py --total-steps 200"
    )
    assert again_command(here / "a b", Names("pkg.mod:Mine")) == (
        "rlbench train --recipe 'a b/recipe.toml' --agent pkg.mod:Mine --out OTHER"
    )


@pytest.mark.parametrize("name", ["dqn", "pkg.mod", "pkg.mod:Class", "a.py", "../a.py:C", "CartPole-v1", "gym:Env-v0"])
def test_a_name_that_is_no_absolute_file_stays_as_it_is(name: str, here: Path) -> None:
    assert ref(name) == name


def test_texts_and_numbers_are_words(here: Path) -> None:
    assert command("train", "--set", "a='x y'", 3) == """rlbench train --set 'a='"'"'x y'"'"'' 3"""
