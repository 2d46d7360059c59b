"""The README and the pages in docs/: what they tell people to type is typed here, in order, and what they show is what
is printed; links, paths, modules and options that they name exist."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from rlbench import cli
from rlbench.recipe import Recipe

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "README.md").exists())
FENCE = re.compile(
    r"(?:^<!-- ci: (?P<mark>[\w ]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARKS = {  # what may stand before a block of a language; some of it says that the block is none of this test's business
    "bash": {"train", "tests", "a display", "not run"},
    "python": set(),
    "text": {"not compared"},
    "toml": {"not a recipe", "a sweep", "a search"},
}
LEFT_OUT = {"tests", "a display", "not run"}
INSTALLS = re.compile(r"\bpip install\b|-m venv\b")


class Block(NamedTuple):
    mark: str | None
    language: str
    text: str

    def commands(self) -> list[str]:
        """The lines to type, without those that install something."""
        typed = []
        for line in re.sub(r"\\\n\s*", " ", self.text).splitlines():
            parts = [part for part in line.split(" && ") if not INSTALLS.search(part)]
            if parts and not parts[0].startswith("#"):
                typed.append(" && ".join(parts).replace(".venv/bin/", ""))
        return typed


class Page:
    """A page: the README's, or one of those in docs/, which go on in the folder that the README's commands leave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text(encoding="utf-8")
        self.blocks = [Block(found["mark"], found["language"], found["text"]) for found in FENCE.finditer(self.text)]
        self.prose = FENCE.sub("", self.text)
        self.spans = [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", self.prose)]

    def sessions(self) -> list[tuple[list[str], str | None]]:
        """Each block of commands that are to be run, with what the page shows of what they print."""
        found: list[tuple[list[str], str | None]] = []
        for block, after in itertools.pairwise([*self.blocks, Block(None, "", "")]):
            if block.language == "bash" and block.mark not in LEFT_OUT:
                shown = after.text if after.language == "text" and after.mark is None else None
                found.append((block.commands(), shown))
        return found

    def files(self) -> dict[str, str]:
        """Python, sweeps and searches, which begin with a comment that names a file: name -> text."""
        written = {"a sweep", "a search"}
        texts = [block.text for block in self.blocks if block.language == "python" or block.mark in written]
        return {text.partition("\n")[0].removeprefix("# "): text for text in texts}

    def targets(self) -> list[str]:
        """Where links and pictures lead, within the checkout."""
        return [target for target in re.findall(r"\]\(([^)\s]+)\)", self.prose) if not re.match(r"\w+:", target)]


README = Page(ROOT / "README.md")
DOCS = [Page(path) for path in sorted((ROOT / "docs").glob("*.md"))]
PAGES = [README, *DOCS]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


# What is typed, and what is printed.


def typed(page: Page, folder: Path) -> None:
    """Run a page's commands in ``folder``."""
    for name, text in page.files().items():
        (folder / name).write_text(text, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")} | {"PATH": path}
    for commands, shown in page.sessions():
        printed = ""
        for command in commands:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, text=True, timeout=600,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            printed += done.stdout
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            assert "Traceback" not in done.stdout, f"{command}\n{done.stdout}"
            for name in promised(command):
                assert (folder / name).exists(), f"{command} did not write {name}\n{done.stdout}"
        if shown is not None:
            line = missing(shown, printed)
            assert line is None, f"{page.name} shows a line that is not printed there: {line}\n{printed}"


def promised(command: str) -> list[str]:
    """Files and folders that the command says it will write."""
    words = shlex.split(command)
    return [after for word, after in itertools.pairwise(words) if word in ("--out", "--video", "--html")]


def form(line: str) -> str:
    """A line without what differs between machines and moments: its numbers, durations and width."""
    line = re.sub(r"\b(\d+[hm])?\d+[smhd]\b|(?<![\w.])[-+−]?\d+(,\d+)*(\.\d+)?", "#", line)
    return " ".join(re.sub(r"< #", "#", line).split())


@pytest.mark.parametrize("line", ["Score: 477 [416, 500], after 5,000", "Score: 498.0 [491.9, 500.0], after 1,000,000"])
def test_a_line_is_known_whatever_its_numbers(line: str) -> None:
    assert form(line) == "Score: # [#, #], after #"


def missing(shown: str, printed: str) -> str | None:
    """The first line of ``shown`` that is not printed where it should be; ``...`` stands for lines left out."""
    there = [form(line) for line in printed.splitlines() if line.strip()]
    at, skipping = 0, False
    for line in shown.splitlines():
        if line == "...":
            skipping = True
        elif line.strip():
            wanted = form(line)
            reach = len(there) if skipping else at + 1
            if wanted not in there[at:reach]:
                return line
            at, skipping = there.index(wanted, at) + 1, False
    return None if skipping or at == len(there) else f"(the end; printed after it: {there[at]})"


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after the README."""
    folder = tmp_path_factory.mktemp("readme")
    typed(README, folder)
    return folder


@pytest.mark.slow
def test_the_readme(toured: Path) -> None:
    assert (toured / "runs/cartpole/curve.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_after_the_readme(page: Page, toured: Path, tmp_path: Path) -> None:
    typed(page, shutil.copytree(toured, tmp_path / "here"))


def test_what_is_shown_is_compared() -> None:
    printed = "a 1.5 [1, 2] 16s\nb  7\nc\n\nd 1m02s −3\n"
    assert missing("a 498 [3, 4.5]  2m05s\nb 8\nc\nd 3s 4\n", printed) is None
    assert missing("a 1 [1, 2] 3s\n...\nd 3s 4\n", printed) is None
    assert missing("...\nc\n...\n", printed) is None
    assert missing("a 1 [1, 2] 3s\nc\n...\n", printed) == "c"
    assert missing("...\nb 7\nother\n...\n", printed) == "other"
    assert "d # #" in (missing("...\nc\n", printed) or "")


def test_the_commands_were_found() -> None:
    commands = [command for page in PAGES for block, _ in page.sessions() for command in block]
    assert commands[0].startswith("rlbench train --env CartPole-v1")
    named = {shlex.split(command)[1] for command in commands if command.startswith("rlbench ")}
    assert named >= set(cli.main.commands) - {"list"}
    assert any("--resume" in command for command in commands)
    assert not any(INSTALLS.search(command) or "pytest" in command for command in commands)


@every_page
def test_every_block_is_run_or_says_why_not(page: Page) -> None:
    assert page.text.count("```") == 2 * len(page.blocks), "a block without a language"
    for block in page.blocks:
        assert block.mark is None or block.mark in MARKS[block.language], block.text
    lines = [command for commands, _ in page.sessions() for command in commands]
    for name in page.files():
        assert re.fullmatch(r"\w+\.(py|toml)", name), f"a block that names no file: {name}"
        assert any(name in line for line in lines), f"{name} is shown and never used"


@every_page
def test_recipes(page: Page, tmp_path: Path) -> None:
    for text in [block.text for block in page.blocks if block.language == "toml" and block.mark is None]:
        (tmp_path / "shown.toml").write_text(text, encoding="utf-8")
        recipe = Recipe.load(tmp_path / "shown.toml")
        for key, value in tomllib.loads(text).items():
            shown = recipe.hyper if isinstance(value, dict) else {key: getattr(recipe, key)}
            assert shown.items() >= (value if isinstance(value, dict) else {key: value}).items()


# What is named.


@every_page
def test_nothing_is_left_to_fill_in(page: Page) -> None:
    assert re.findall(r"@[A-Z]+@|\bTODO\b|\bTBD\b", page.text) == []


def test_every_page_stands_in_the_table_of_contents() -> None:
    contents = re.findall(r"^\| \[docs/[\w-]+\.md\]\((docs/[\w-]+\.md)\) \| \w", README.prose, re.MULTILINE)
    assert [page.name for page in DOCS] == sorted(contents)


def headings(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_links_and_pictures_lead_somewhere(page: Page) -> None:
    assert page.targets()
    for target in page.targets():
        name, _, heading = target.partition("#")
        there = page.path.parent / name if name else page.path
        assert there.exists(), target
        assert not heading or heading in headings(there), target


def test_the_map_shows_every_room_from_the_bottom_up() -> None:
    spec = spec_from_file_location("layering", ROOT / "tests/test_layering.py")
    assert spec is not None
    assert spec.loader is not None
    layering = module_from_spec(spec)
    spec.loader.exec_module(layering)
    rows = [line for line in README.prose.splitlines() if re.match(r"\| `[\w/.*]+/", line)]
    rooms = [Path(path).name for row in rows for path in re.findall(r"`([\w/]+)/`", row.split("|")[1])]
    rooms = ["kit", *(room for room in rooms if room not in layering.KIT_ROOMS)]
    assert set(rooms) == set(layering.FLOOR) - {"face"}
    floors = [layering.FLOOR[room] for room in rooms]
    assert floors == sorted(floors)


@every_page
def test_paths_and_modules_that_are_named_exist(page: Page) -> None:
    for span in page.spans:
        for path in re.findall(r"(?<![\w./])(?:rlbench|agents|envs|experiments|tests|docs|\.ci)/[\w./-]*", span):
            known = path.startswith("rlbench/") and path.endswith("-v0")  # an environment of ours
            assert known or (ROOT / path).exists(), f"{page.name} names {path}"
    for name in re.findall(r"(?<![\w.\[\"])rlbench(?:\.\w+)+", " ".join(page.spans) + page.text):
        assert exists(name), f"{page.name} names {name}"


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    head, _, tail = name.rpartition(".")
    if not head:
        return find_spec(name) is not None
    if not exists(head):
        return False
    try:
        if find_spec(name) is not None:
            return True
    except ModuleNotFoundError:  # head is no package
        pass
    module = sys.modules.get(head) or __import__(head, fromlist=["_"])
    return hasattr(module, tail)


@every_page
def test_options_that_are_named_exist(page: Page) -> None:
    ours = {name: options(command) for name, command in cli.main.commands.items()}
    for span in page.spans:
        words = re.findall(r"(?<!\S)--?[a-z][\w-]*", span)
        if span.startswith("rlbench ") and (name := span.split()[1]) in ours:
            assert set(words) <= ours[name], f"{page.name}: {span}"
        elif span.startswith("--"):
            assert any(set(words) <= known for known in ours.values()), f"{page.name}: {span}"


def options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
