"""Code by its name, as a user types it: ``file.py``, ``package.module``, or a class in either, ``file.py:Class``.

A file is named by an absolute path from the first moment on (`placed`), so that a run opens by any spelling that names
the same file. Nothing here runs code; `user_files` does.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..process.places import absolute

HANDED = "<given>"  # in a reference: the class was handed over by a program, and no command line can name it


class Ref(NamedTuple):
    """``where`` is a file or module, ``name`` a class in it, or empty."""

    where: str
    name: str

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py")

    def __str__(self) -> str:
        return f"{self.where}:{self.name}" if self.name else self.where


def parse(text: str) -> Ref:
    """Take a reference apart. A colon belongs to the path where what follows is no name: ``C:/a.py``."""
    if text.endswith(".py"):
        return Ref(text, "")
    where, _, name = text.rpartition(":")
    return Ref(where, name) if where and name else Ref(text, "")


def runs_user_code(ref: str) -> bool:
    """Whether resolving the name of an agent would import code that is not installed under that name."""
    return ":" in ref


def is_env_class(env: str) -> bool:
    """Whether the name of an environment is that of a class in a file or module, and not one of Gymnasium's ids."""
    name = parse(env).name
    return name != "" and not is_versioned(name)


def is_versioned(name: str) -> bool:
    """Whether a name ends as Gymnasium's ids do: CartPole-v1."""
    return re.search(r"-v\d+$", name) is not None


def placed(text: str) -> str:
    """The reference with the path of its file made absolute; any other as it is."""
    ref = parse(text)
    return str(ref._replace(where=str(absolute(ref.where)))) if ref.is_file else text


class Confirmed(NamedTuple):
    """What a user named, beside what a file needs: references, files with absolute paths."""

    used: list[str]  # given, and needed; with the classes that are needed of it
    rest: list[str]  # given besides
    missing: list[str]  # needed, and not given

    @property
    def given(self) -> list[str]:
        """All that was given. What is needed comes last: of two files that register one id, the last one counts."""
        return [*self.rest, *self.used]


def confirmed(needed: Sequence[str], given: Sequence[str]) -> Confirmed:
    """Put the code that a file needs beside what its user gave.

    A file is given by any spelling of its path; or, where it has moved or came from another machine, by its name. What
    is run is what was given.
    """
    wanted, have = [parse(text) for text in needed], [parse(placed(text)) for text in given]
    pairs = {want: one for want in wanted for one in have if _same_class(want, one) and _same(want, one)}
    free = [one for one in have if one not in pairs.values()]
    for want in wanted:
        alike = [one for one in free if _same_class(want, one) and _alike(want, one)]
        if want not in pairs and alike:
            pairs[want] = alike[0]
    used = [one._replace(name=want.name or one.name) for one in have for want, by in pairs.items() if by == one]
    rest = [one for one in have if one not in pairs.values()]
    missing = [str(want) for want in wanted if want not in pairs]
    return Confirmed([str(one) for one in dict.fromkeys(used)], [str(one) for one in dict.fromkeys(rest)], missing)


def code_of(agent: str, imports: Sequence[str]) -> list[str]:
    """The references to code of a user's own among the names of an agent and of what is imported."""
    return [*([agent] if runs_user_code(agent) else []), *imports]


def _same_class(want: Ref, one: Ref) -> bool:
    return one.name == want.name or "" in (one.name, want.name)


def _alike(want: Ref, one: Ref) -> bool:
    return want.is_file and one.is_file and Path(want.where).name == Path(one.where).name


def _same(a: Ref, b: Ref) -> bool:
    if a.where == b.where:
        return True
    files = [Path(where) if where.endswith(".py") else _file_of(where) for where in (a.where, b.where)]
    return None not in files and files[0].resolve() == files[1].resolve()  # type: ignore[union-attr]


def _file_of(module: str) -> Path | None:
    """The file of a module beside the user, where it is that simple: ``my_env`` is my_env.py. Imports nothing."""
    path = absolute(Path(*module.split("."))).with_suffix(".py") if re.fullmatch(r"[\w.]+", module) else None
    return path if path and path.is_file() else None


def digest(path: Path) -> str | None:
    """SHA-256 of a file's content, in hexadecimal; None where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
