"""Everything that the README tells people to type is typed here, in order, in a folder of its own."""

import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rlbench.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[\w: ]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
BLOCKS = [(found["mark"], found["language"], found["text"]) for found in FENCE.finditer(README)]
INSTALLS = re.compile(r"\bpip install\b|-m venv\b")


pytestmark = pytest.mark.slow


def bash() -> list[str]:
    """The commands, as they stand, without those that install something, run the tests or need a display."""
    lines = []
    for mark, language, text in BLOCKS:
        if language != "bash" or mark in ("ci: tests", "ci: a display"):
            continue
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            parts = [part for part in line.split(" && ") if not INSTALLS.search(part)]
            if parts and not parts[0].startswith("#"):
                lines.append(" && ".join(parts).replace(".venv/bin/", ""))
    return lines


def files() -> dict[str, str]:
    """Python blocks that begin with a comment naming a file: name -> text."""
    named = {}
    for _, language, text in BLOCKS:
        if language == "python" and (name := re.match(r"# (\w+\.py)$", text, re.MULTILINE)):
            named[name[1]] = text
    return named


def promised(command: str) -> list[str]:
    """Files and folders that the command says it will write."""
    words = shlex.split(command)
    return [after for word, after in itertools.pairwise(words) if word in ("--out", "--video", "--html")]


def test_commands(tmp_path: Path) -> None:
    for name, text in files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")} | {"PATH": path}
    for command in bash():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{said}"
        assert "Traceback" not in said, f"{command}\n{said}"
        for name in promised(command):
            assert (tmp_path / name).exists(), f"{command} did not write {name}\n{said}"


def test_the_commands_were_found() -> None:
    commands = bash()
    assert commands[0].startswith("rlbench train --env CartPole-v1")
    assert {shlex.split(command)[1] for command in commands if command.startswith("rlbench ")} >= {
        "train", "play", "eval", "plot", "compare", "runs", "verify",
    }  # fmt: skip
    assert any("--resume" in command for command in commands)
    assert not any(INSTALLS.search(command) or "pytest" in command for command in commands)
    for name in files():
        assert any(name in command for command in commands), f"{name} is shown and never used"


def test_recipes(tmp_path: Path) -> None:
    recipes = [text for _, language, text in BLOCKS if language == "toml"]
    assert recipes
    for text in recipes:
        (tmp_path / "shown.toml").write_text(text, encoding="utf-8")
        recipe = Recipe.load(tmp_path / "shown.toml")
        for key, value in tomllib.loads(text).items():
            shown = recipe.hyper if isinstance(value, dict) else {key: getattr(recipe, key)}
            assert shown.items() >= (value if isinstance(value, dict) else {key: value}).items()


def test_nothing_is_left_to_fill_in() -> None:
    assert re.findall(r"@[A-Z]+@|\bTODO\b|\bTBD\b", README) == []


def test_links_and_images_lead_somewhere() -> None:
    prose = FENCE.sub("", README)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"\w+:", target)]
    assert targets
    assert [target for target in targets if not (ROOT / target.partition("#")[0]).exists()] == []
