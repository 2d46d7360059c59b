"""Files for whoever begins an agent or an environment of their own: templates that come along, under another name.

The templates are `rlbench.templates`: ordinary modules, whose text is read here and never run. Imports nothing heavy.
"""

import ast
import builtins
import keyword
import os
import re
import sys
from importlib import resources
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from ..errors import RunFolderError, UsageError
from ..process.places import absolute, shown

#: What is begun, and of which kind -> the template and the class in it.
TEMPLATES = {
    ("agent", "learner"): ("learner", "MyLearner"),
    ("agent", "value"): ("value", "MyValue"),
    ("agent", "policy"): ("policy", "MyPolicy"),
    ("env", ""): ("env", "MyEnv"),
}
KINDS = tuple(kind for what, kind in TEMPLATES if what == "agent")

# Imports of packages, and below them of rlbench's, which is one of the packages where the file will lie.
_IMPORTS = re.compile(r"(?:^(?:from|import) .*\n)+\n(?:^from rlbench.*\n)+", re.MULTILINE)


class Begun(NamedTuple):
    """What was written: a file with a class of this name, and its test."""

    file: Path
    test: Path
    name: str


def begin_files(what: str, name: str, kind: str = "") -> Begun:
    """Write a file that works, and its test beside it. No file is ever overwritten.

    Args:
        what: "agent" or "env".
        name: of the class, MyAgent, or of the file without its ending, my_agent; a folder may stand before it.
        kind: of an agent, one of `KINDS`.

    Raises:
        UsageError: the name is none for a file and a class, or one of the files is there already.
        RunFolderError: they cannot be written.
    """
    folder, stem, cls = _names(name)
    template, old = TEMPLATES[what, kind]
    file, test = folder / f"{stem}.py", folder / f"test_{stem}.py"
    for path in (file, test):
        if os.path.lexists(path):
            raise UsageError(f"{shown(path)} is there already, and stays as it is: choose another name.")
    texts = {file: _text(template), test: _text(f"{what}_test")}
    if {cls, f"{cls}Config"} & (_used(texts[file]) - {old, f"{old}Config"}):
        raise UsageError(f"the file needs {cls} for something else: choose another name.")
    made: list[Path] = []
    for path, text in texts.items():
        try:
            with path.open("x", encoding="utf-8") as out:  # which fails where there is a file
                made.append(path)
                out.write(_renamed(text, template, old, stem, cls))
        except OSError as e:
            for part in made:  # half of it would be in the way of the next try
                part.unlink(missing_ok=True)
            raise RunFolderError(f"{shown(path)} cannot be written: {e.strerror or e}.") from e
    return Begun(file, test, cls)


def _used(text: str) -> set[str]:
    """The names that a module's code defines, imports or speaks of; words of its comments are none."""
    nodes = list(ast.walk(ast.parse(text)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    return names | {node.name for node in nodes if isinstance(node, ast.ClassDef)} | set(dir(builtins))


def _names(name: str) -> tuple[Path, str, str]:
    """The folder, the file's name without its ending, and the class's."""
    path = absolute(name)
    given = path.name.removesuffix(".py")
    words = [word for word in re.split(r"_+|(?<=[a-z0-9])(?=[A-Z])", given) if word]
    stem = "_".join(word.lower() for word in words)
    cls = given if given[:1].isupper() and "_" not in given else "".join(word[:1].upper() + word[1:] for word in words)
    usable = words and re.fullmatch(r"[A-Za-z]\w*", given, re.ASCII)
    if not usable or keyword.iskeyword(stem) or keyword.iskeyword(cls):
        raise UsageError(f"{given!r} is no name for a file and a class: use letters, digits and _, as in my_agent.")
    if stem.startswith("test_") or stem.endswith("_test") or stem == "conftest":
        raise UsageError(f"{given!r} is what a test would be called: choose another name.")
    if stem == "rlbench" or stem in sys.stdlib_module_names or _installed(stem, path.parent):
        raise UsageError(f"a file {stem}.py would hide the module {stem}, which is installed: choose another name.")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {shown(path.parent)}: make it first.")
    return path.parent, stem, cls


def _installed(stem: str, folder: Path) -> bool:
    """Whether a module of this name is among those that were installed, and lies elsewhere than the file would."""
    places = [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    try:
        found = PathFinder.find_spec(stem, places)
    except (ImportError, ValueError, AttributeError):
        return False
    return found is not None and not (found.origin and Path(found.origin).parent == folder)


def _text(template: str) -> str:
    return (resources.files("rlbench") / "templates" / f"{template}.py").read_text(encoding="utf-8")


def _renamed(text: str, template: str, old: str, stem: str, cls: str) -> str:
    """A template's text with its class and its file under other names; ``template`` is that of the class."""
    own = "from rlbench.templates.learner import MyLearner\n"
    text = text.replace(own, f"\nfrom {stem} import {cls}\n")
    text = text.replace("rlbench.templates.env:", f"{stem}:")
    for was in {old, "MyLearner"} if template != "env" else {old}:
        snake = "_".join(re.split(r"(?<=[a-z])(?=[A-Z])", was)).lower()
        text = re.sub(rf"\b{was}(?=\b|Config\b)", cls, text)
        text = re.sub(rf"(?<![a-z]){snake}\b", stem, text)
    return _IMPORTS.sub(lambda found: "".join(sorted(filter(str.strip, found[0].splitlines(True)), key=_order)), text)


def _order(line: str) -> tuple[bool, str]:
    """Where an import stands in its block: those of whole modules come first."""
    return line.startswith("from "), line.split()[1].lower()
