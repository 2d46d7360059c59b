"""What a run folder holds, read without running any code that it names: each file once, when it is asked for first.

A command makes a `Reader` of every run folder that it is given and hands it down; what two parts of it ask for is read
once, and said in the same words. Cheap to import.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import NoRun, RunFolderError, UsageError
from ..process.places import absolute, shown
from ..user_code.commands import code_words, command
from .documents import NO_PLAN, Plan, Read, parsed, plan_of, read_text, summary_of
from .layout import CELLS, SWEEP, under_way, whole_run
from .tables import Row, Table, read_last, read_table

if TYPE_CHECKING:
    from ..recipe import Recipe

T = TypeVar("T")


class Reader:
    """One run folder.

    Args:
        folder: the run's, not that of one of its workers.
        name: what the folder is called in what is said of it; None: as it is printed, and for files by their names
            alone "".
    """

    def __init__(self, folder: Path | str, name: str | None = None) -> None:
        self.folder = Path(folder)
        self._name = name
        self._documents: dict[str, Read[dict[str, Any]]] = {}
        self._tables: dict[Path, Read[Table]] = {}
        self._recipe_text: Read[str | None] | None = None
        self._places: list[Path] | None = None
        self._plan: Read[Plan] | None = None

    @property
    def name(self) -> str:
        """What the folder is called."""
        return shown(self.folder) if self._name is None else self._name

    def called(self, path: Path) -> str:
        """What a file in the folder is called."""
        inside = os.fspath(path).removeprefix(f"{self.folder}{os.sep}")  # a thousand runs have many files
        return f"{self.name}/{inside}" if self.name else inside

    @property
    def places(self) -> list[Path]:
        """Where the tables lie: in the folder, or in those of its workers while these are under way."""
        if self._places is None:
            self._places = under_way(self.folder) or [self.folder]
        return self._places

    def check(self) -> None:
        """Raises NoRun, a UsageError, where the folder is none of a run: it says so, and where runs may be."""
        if not (self.folder / "recipe.toml").is_file():
            raise NoRun(no_run(self.folder))

    @property
    def recipe_text(self) -> Read[str | None]:
        """recipe.toml as it stands there."""
        if self._recipe_text is None:
            path = self.folder / "recipe.toml"
            self._recipe_text = read_text(path, self.called(path))
        return self._recipe_text

    @property
    def recipe(self) -> Read[dict[str, Any]]:
        """recipe.toml as plain values."""
        return self._document("recipe.toml")

    @property
    def plan(self) -> Read[Plan]:
        """What recipe.toml asks for."""
        if self._plan is None:
            known = self.recipe_text != (None, "")  # no file is no damage
            path = self.folder / "recipe.toml"
            self._plan = plan_of(self.recipe, self.called(path)) if known else Read(NO_PLAN)
        return self._plan

    @property
    def about(self) -> Read[dict[str, Any]]:
        """run.json: versions, command, host, digests of code."""
        return self._document("run.json")

    @property
    def summary(self) -> Read[dict[str, Any]]:
        """summary.json; {} where the run has not come to an end, and where it is damaged."""
        if "summary.json" not in self._documents:
            found = self._document("summary.json")
            self._documents["summary.json"] = summary_of(found, self.called(self.folder / "summary.json"))
        return self._documents["summary.json"]

    def table(self, name: str) -> Read[Table]:
        """One of `tables.COLUMNS`: the seeds of all places, by their numbers, up to the first damage of each place.

        ``problem`` is that of the first place that has one.
        """
        found = [self.table_at(place, name) for place in self.places]
        whole = {seed: columns for part in found for seed, columns in part.value.items()}
        return Read(dict(sorted(whole.items())), next((part.problem for part in found if part.problem), ""))

    def table_at(self, place: Path, name: str) -> Read[Table]:
        """A table in the folder, or in that of a worker."""
        path = place / name
        if path not in self._tables:
            self._tables[path] = read_table(path, self.called(path))
        return self._tables[path]

    def last_row(self, place: Path, name: str) -> Read[Row]:
        """The last row of a table in one of the places, without reading the others unless they were read before."""
        path = place / name
        if path not in self._tables:
            return read_last(path, self.called(path))
        table, problem = self._tables[path]
        ends = [{key: column[-1] for key, column in columns.items()} for columns in table.values()]
        return Read(max(ends, key=lambda row: row["env_steps"], default={}), problem)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the files that were read so far."""
        told = [self.plan.problem, *(read.problem for read in self._documents.values())]
        told += [read.problem for read in self._tables.values()]
        return list(dict.fromkeys(filter(None, told)))

    def forget_tables(self) -> None:
        """Let go of the tables, which may have millions of rows."""
        self._tables.clear()

    def model(self) -> "Recipe":
        """The recipe, checked; what another version knew besides is left out.

        Raises:
            UsageError: the folder is none of a run.
            RunFolderError: recipe.toml is damaged.
        """
        from ..recipe import Recipe  # slow to import
        from ..recipe.registry import table_name

        self.check()
        plan = sound(self.plan)
        name = self.called(self.folder / "recipe.toml")
        own = table_name(plan.agent)
        known = {key: v for key, v in self.recipe.value.items() if key in Recipe.model_fields and key != own}
        try:
            return Recipe.from_content({**known, "hyper": plan.hyper}, name)
        except UsageError as e:
            raise RunFolderError(f"{name} is damaged: {str(e).removeprefix(f'{name}: ')}") from e

    def code_notes(self, refs: Sequence[str]) -> list[str]:
        """What is to be known of code of the user's, which has been imported: whether it has changed since."""
        from ..user_code import user_files  # for whoever runs such code

        if not refs:
            return []
        about, problem = self.about
        unknown = [f"{problem}: whether code has changed since is not known"] if problem else []
        return unknown + user_files.changes(about, self.folder, refs)

    def _document(self, name: str) -> Read[dict[str, Any]]:
        if name not in self._documents:
            path = self.folder / name
            text = self.recipe_text if name == "recipe.toml" else read_text(path, self.called(path))
            self._documents[name] = parsed(text, self.called(path))
        return self._documents[name]


def reader_of(run: "Path | str | Reader") -> Reader:
    """The reader that was handed down, or one of a folder."""
    return run if isinstance(run, Reader) else Reader(run)


def readers_of(runs: "Path | str | Reader | Iterable[Path | str | Reader]") -> list[Reader]:
    """One reader for each folder; one named twice counts once."""
    given = [runs] if isinstance(runs, str | Path | Reader) else runs
    found: dict[Path, Reader] = {}
    for reader in map(reader_of, given):
        found.setdefault(reader.folder.resolve(), reader)
    return list(found.values())


def sound(read: Read[T]) -> T:
    """What was read. Raises RunFolderError where anything is wrong with it."""
    if read.problem:
        raise RunFolderError(f"{read.problem}.")
    return read.value


def no_run(folder: Path) -> str:
    """What to say of a path that leads to no run folder."""
    if folder.is_file():
        inside = (folder.parent / "recipe.toml").is_file()
        more = f"Its run may be {shown(folder.parent)}." if inside else "Runs lie under runs/."
        return f"{shown(folder)} is no run folder: it is a file. {more}"
    if (folder / SWEEP).is_file():
        return f"{shown(folder)} is no run folder, it is a sweep of several: name one of {shown(folder / CELLS)}/*"
    why = "it holds no recipe.toml" if folder.is_dir() else "there is no such folder"
    holds = folder.is_dir() and any(folder.glob("*/recipe.toml"))
    more = f"It holds runs, though: name {shown(folder)}/*" if holds else "Runs lie under runs/."
    return f"{shown(folder)} is no run folder: {why}. {more}"


def read_recipe(folder: Path) -> "Recipe":
    """The recipe of a run, without running any code that it names. Errors as of `Reader.model`."""
    return Reader(folder).model()


def resume_of(folder: "str | Path | Reader") -> str:
    """What to type to go on with the run in ``folder``, or in that of a worker, with the code that the run needs."""
    reader = folder if isinstance(folder, Reader) else Reader(whole_run(absolute(folder)))
    recipe = reader.recipe.value  # of a damaged one nothing, and resuming says what it needs
    imports = recipe.get("imports", [])
    words = code_words(str(recipe.get("agent", "")), list(map(str, imports)) if isinstance(imports, list) else [])
    return command("train", "--resume", absolute(reader.folder), *words)
