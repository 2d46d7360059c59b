"""How a bug is planted: a text of the agent's file is replaced, and the file compiled as a module of its own.

What was to be replaced must be there, once: where an agent's file changes, its mutants fail loudly and not silently.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

#: The files that an agent is written in, those that others import first; and its class in the last of them.
FILES: dict[str, tuple[tuple[str, ...], str]] = {
    "dqn": (("dqn_memory", "dqn"), "DQN"),
    "ppo": (("ppo_memory", "ppo"), "PPO"),
    "sac": (("sac_discrete", "sac"), "SAC"),
    "pqn": (("pqn",), "PQN"),
    "q_learning": (("tabular", "q_learning"), "QLearning"),
    "sarsa": (("tabular", "sarsa"), "Sarsa"),
    "reinforce": (("reinforce",), "Reinforce"),
}


class Edit(NamedTuple):
    """``old`` becomes ``new``, in the agent's last file or in the one that is named."""

    old: str
    new: str
    file: str = ""


class Mutant(NamedTuple):
    """An agent with a mistake.

    Attributes:
        name: short; several agents may have the same mistake.
        agent: whose.
        fault: what is wrong, in a few words.
        published: the entry of a published catalogue that it stands for.
        row: of `rlbench check`, that is to catch it.
        edits: what is changed.
        given: hyper-parameters without which the mistake has no effect.
    """

    name: str
    agent: str
    fault: str
    published: str
    row: str
    edits: Sequence[Edit]
    given: Mapping[str, Any] = {}

    @property
    def title(self) -> str:
        return f"{self.agent}-{self.name}"


class _Edited(SourceLoader):
    """Loads a module from a text at hand."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str) -> bytes:
        return self._text.encode()


def edited(text: str, edits: Sequence[Edit]) -> str:
    """``text`` with its edits.

    Raises:
        ValueError: what is to be replaced is not there, or more than once.
    """
    for edit in edits:
        if (count := text.count(edit.old)) != 1:
            raise ValueError(f"expected once, found {count} times: {edit.old!r}")
        text = text.replace(edit.old, edit.new)
    return text


def plant(mutant: Mutant) -> type:
    """The agent's class with the mistake; the agent itself stays as it is.

    Raises:
        ValueError: the agent's files have changed, so that the mistake cannot be planted.
    """
    files, name = FILES[mutant.agent]
    made: dict[str, ModuleType] = {}
    for file in files:
        original = importlib.import_module(f"rlbench.agents.{file}")
        edits = [edit for edit in mutant.edits if (edit.file or files[-1]) == file]
        if not edits and not made:
            continue
        text = Path(str(original.__file__)).read_text("utf-8")
        try:
            text = edited(text, edits)
        except ValueError as e:
            raise ValueError(f"{mutant.title}: agents/{file}.py: {e}") from e
        full = f"{__package__}.planted.{mutant.title}.{file}"
        spec = spec_from_loader(full, _Edited(f"agents/{file}.py with {mutant.title}", text))
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[full] = module_from_spec(spec)  # pydantic looks its classes' modules up
        with _in_place_of(made):
            spec.loader.exec_module(module)
        made[original.__name__] = module
    cls: type = getattr(made[f"rlbench.agents.{files[-1]}"], name)
    return cls


@contextmanager
def _in_place_of(made: Mapping[str, ModuleType]) -> Iterator[None]:
    """Whoever imports one of these modules by its name gets the one that was made."""
    known = {name: sys.modules[name] for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        sys.modules.update(known)
