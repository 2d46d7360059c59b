"""Commands to print: the one place that composes and quotes them, so that each can be pasted into a shell and works.

    command("train", "--resume", folder, *code(recipe), "--total-steps", 200)

A `Path` among the words is a file or folder: it is named from where the user stands, absolutely where it lies
elsewhere, and as ``./-x`` where it begins with a hyphen. All words are quoted for a shell where they need it.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..process.places import absolute, shown
from .refs import HANDED, parse, runs_user_code


class NamesCode(Protocol):
    """A recipe, as far as the code is concerned that it names."""

    @property
    def agent(self) -> str: ...
    @property
    def imports(self) -> Sequence[str]: ...


def command(verb: str, *words: object) -> str:
    """``rlbench VERB WORDS``, as it is typed into a shell. Words are options, numbers, texts, and `Path`s."""
    return shlex.join(["rlbench", verb, *(place(word) if isinstance(word, Path) else str(word) for word in words)])


def place(path: str | Path) -> str:
    """A file or folder as one word of a command, not quoted yet."""
    text = shown(path)
    return f"./{text}" if text.startswith("-") else text


def code(recipe: NamesCode) -> list[str]:
    """The words that name the code which a run of ``recipe`` needs: --agent REF and --import MODULE."""
    return code_words(recipe.agent, recipe.imports)


def code_words(agent: str | None, imports: Sequence[str] = ()) -> list[str]:
    """As `code`, of an agent's name, which needs none, or where its code is, and of modules or files to import."""
    words = ["--agent", _in_a_file(ref(agent))] if agent and runs_user_code(agent) else []
    return words + [word for module in imports for word in ("--import", ref(module))]


def ref(name: str) -> str:
    """Code by its name, from where the user stands: ``file.py``, ``file.py:Class``, ``package.module:Class``."""
    code = parse(name)
    return str(code._replace(where=place(code.where))) if code.is_file and Path(code.where).is_absolute() else name


def _in_a_file(agent: str) -> str:
    """A class that a program handed over can be named by a command once it lies in a file: which, the user knows."""
    code = parse(agent)
    return f"FILE.py:{code.name}" if code.where.endswith(HANDED) else agent


def resume_command(folder: str | Path, recipe: NamesCode, *more: object) -> str:
    """What to type to go on with the run in ``folder``; ``more`` are words of its own, as ("--total-steps", 200).

    Where a program handed over the agent's class, this is for the program.
    """
    agent = parse(recipe.agent)
    if agent.where.endswith(HANDED):
        names = [str(word).removeprefix("--").replace("-", "_") for word in more[::2]]
        keys = [f"{name}={value!r}" for name, value in zip(names, more[1::2], strict=True)]
        keys += [f"imports={list(recipe.imports)!r}"] if recipe.imports else []
        return f"rlbench.resume({', '.join([repr(place(folder)), f'agent={agent.name}', *keys])})"
    return command("train", "--resume", absolute(folder), *code(recipe), *more)


def changed_words(changes: Mapping[str, object]) -> list[object]:
    """The words of a resume that asks for ``changes``, key -> value; of other keys there are none."""
    words: list[object] = []
    for key in ("total_steps", "on_nan", "track", "video_every", "debug_every", "device"):
        if key in changes:
            value = changes[key]
            if isinstance(value, list | tuple):
                value = ",".join(map(str, value)) or "none"
            words += ["--debug" if key == "debug_every" else f"--{key.replace('_', '-')}", value]
    return words


def again_command(folder: str | Path, recipe: NamesCode) -> str:
    """What to type to begin anew with the recipe in ``folder``, in another folder: OTHER is for the user to choose."""
    return command("train", "--recipe", absolute(folder) / "recipe.toml", *code(recipe), "--out", "OTHER")


def begin_command(folder: str | Path, recipe: NamesCode) -> str:
    """What to type to begin anew in ``folder`` itself, which holds the recipe of a run that left no checkpoint."""
    folder = absolute(folder)
    return command("train", "--recipe", folder / "recipe.toml", *code(recipe), "--out", folder)
