"""From a sweep file to recipes: what it leaves to others is looked up, every value is checked before anything starts.

Where there are few cells, every recipe is built. Of many, every value of every key is checked by itself, with each
recipe, environment and agent that it goes with; what is wrong with a combination is told when that cell begins.
"""

import contextlib
import hashlib
import itertools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from ..errors import RlbenchError, UsageError
from ..process.places import home
from ..recipe import Recipe
from ..recipe.build import maker_of
from ..recipe.problems import first_problem, value_text
from ..recipe.registry import agent_names, find_agent, table_name
from ..sweep.file import SettingPath, SweepFile, dotted
from ..sweep.plan import SOURCE, Cell, Names, cells_of, combinations, digest, source_key
from ..user_code.commands import ref as shown_ref
from ..user_code.refs import confirmed, is_env_class, placed, runs_user_code
from ..user_code.refs import digest as content_of
from ..user_code.wrapping import wrapper_code

FEW = 500  # cells whose recipes are all built beforehand


class Trust:
    """Code of a user's own that the command names: what a file names besides is refused, as it would run.

    Args:
        agents: file.py:Class or package.module:Class, of --agent.
        envs: likewise, of --env.
        imports: of --import.
    """

    def __init__(self, agents: Sequence[str] = (), envs: Sequence[str] = (), imports: Sequence[str] = ()) -> None:
        self.agents, self.envs, self.imports = tuple(agents), tuple(envs), tuple(imports)

    @property
    def code(self) -> tuple[str, ...]:
        """All of it."""
        return tuple(map(placed, (*self.agents, *self.envs, *self.imports)))

    def agent(self, named: str, where: str) -> str:
        """The agent to run for the one that a file names."""
        return _trusted(named, self.agents, "agent", where) if runs_user_code(named) else named

    def env(self, named: str, where: str) -> str:
        """The environment to make for the one that a file names."""
        return _trusted(named, self.envs, "env", where) if is_env_class(named) else named


def _trusted(named: str, given: Sequence[str], what: str, where: str) -> str:
    for one in given:
        if not confirmed([named], [one]).missing:
            return one
    say = shlex.join([f"--{what}", shown_ref(named)])
    raise UsageError(f"{where} names {what} code to run. If you trust it, say so: {say}")


class Recipes:
    """Recipes of a sweep's cells.

    Args:
        file: the sweep file.
        trust: code that the command names.
        begun: where recipe files are that the user does not have where he stands: the folder that the sweep began in.
    """

    def __init__(self, file: SweepFile, trust: Trust, begun: str = "") -> None:
        self.file, self.trust, self._begun = file, trust, begun
        self._contents: dict[str, str] = {}  # of recipe files: digests
        self.stands = str(home())  # where its recipe files are
        self.names = self._look_up()
        self.cells = cells_of(file, self.names)
        self._check_tables()

    def check(self) -> None:
        """Check every value of the file.

        Raises:
            UsageError: names the file, the key, and what may be meant.
        """
        known: set[str] = set()
        for cell in self.cells:
            if cell.env not in known:
                known.add(cell.env)
                self._check_env(cell)
        if len(self.cells) <= FEW:
            for cell in self.cells:
                self.recipe(cell)
            return
        checks: dict[tuple[Any, ...], _Checks] = {}
        for cell in self.cells:
            settings = cell.settings
            source = (settings.get("recipe"), settings.get("env"), settings.get("agent"))
            if (check := checks.get(source)) is None:
                check = checks[source] = _Checks(self.recipe(cell), self.file.name)
            for key, value in settings.items():
                check(key, value)

    def recipe(self, cell: Cell) -> Recipe:
        """What is run for a cell: in one process, unless the file says otherwise."""
        return self._load(paths_of(cell.settings))

    def mark(self, cell: Cell) -> str:
        """What a cell is: its settings, and what the recipe file holds that they name."""
        source, own = cell.settings.get("recipe"), digest(cell)
        if not isinstance(source, str) or not source.endswith(".toml"):
            return own
        if source not in self._contents:
            self._contents[source] = content_of(Path(self._found(source))) or ""
        return hashlib.sha256(f"{own} {self._contents[source]}".encode()).hexdigest()[:16]

    def _load(self, settings: Mapping[SettingPath, Any]) -> Recipe:
        where = self.file.name
        rest = {path: value for path, value in settings.items() if path not in SOURCE and path != ("imports",)}
        source, env, agent = (_text(settings.get(path), dotted(path), where) for path in SOURCE)
        named = settings.get(("imports",), [])
        if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
            raise UsageError(f"{where}: imports: must be a list of module names, got {named!r}")
        wrappers = settings.get(("wrappers",), [])  # given as overrides, they would count as typed
        texts = [wrappers] if isinstance(wrappers, str) else wrappers
        if isinstance(texts, list) and all(isinstance(one, str) for one in texts):
            with contextlib.suppress(ValueError):  # no wrapper: told where the recipe is loaded
                named = [*named, *wrapper_code(texts)]
        if named and (missing := confirmed(named, self.trust.imports).missing):
            say = shlex.join(["--import", shown_ref(missing[0])])
            raise UsageError(f"{where} names code to import. If you trust it, say so: {say}")
        try:
            recipe = Recipe.load(
                source and self._found(source),
                env=None if env is None else self.trust.env(env, where),
                agent=None if agent is None else self.trust.agent(agent, where),
                imports=self.trust.imports,
                overrides=rest,
            )
        except UsageError as e:
            said = str(e).replace("--set ", "")
            raise UsageError(said if said.startswith(where) else f"{where}: {said}") from e
        recipe = recipe if recipe.workers else recipe.replace(workers=1)
        return recipe.placed()

    def _found(self, source: str) -> str:
        """A recipe's name, or its file where that is."""
        begun = Path(self._begun, source) if self._begun and source.endswith(".toml") else None
        if begun is None or Path(source).is_file() or not begun.is_file():
            return source
        self.stands = self._begun
        return str(begun)

    def _check_env(self, cell: Cell) -> None:
        """See that there is such an environment."""
        recipe = self.recipe(cell)
        try:
            maker_of(recipe)
        except RlbenchError as e:
            raise UsageError(f"{self.file.name}: {e}") from e

    def _check_tables(self) -> None:
        """See that no key belongs to an agent that no cell has."""
        used = {agent.rpartition(":")[2] for _, agent in self.names.recipes.values()}
        keys = [self.file.base, self.file.grid, self.file.zip, *self.file.cells]
        for path in itertools.chain.from_iterable(keys):
            if len(path) > 1 and path[0] in self.names.agents and path[0] not in used:
                raise UsageError(
                    f"{self.file.name}: {dotted(path)}: no cell's agent is {path[0]!r}; here it is "
                    f"{' or '.join(sorted(used))}."
                )

    def _look_up(self) -> Names:
        """Load the recipe of each environment and agent that the file names, as it is."""
        where, recipes, envs = self.file.name, {}, {}
        tables = set(agent_names())
        for settings in _sources(self.file):
            key = source_key(settings)
            if key in recipes:
                continue
            recipe = self._load({path: value for path, value in settings.items() if len(path) == 1})
            _, env, agent = (_text(settings.get(path), dotted(path), where) for path in SOURCE)
            recipes[key] = (env or recipe.env, agent or recipe.agent)
            envs[env or recipe.env] = recipe.env
            tables.add(table_name(recipe.agent))
        return Names(recipes, envs, tuple(sorted(tables)))


class _Checks:
    """Checks values by themselves, each once, of cells of one recipe, environment and agent."""

    def __init__(self, recipe: Recipe, where: str) -> None:
        self._where, self._entry = where, find_agent(recipe.agent)
        self._keys: dict[str, tuple[Any, Any, set[str]]] = {}  # the fields, what validates, and what was seen

    def __call__(self, key: str, value: Any) -> None:
        fields, adapter, seen = self._keys.get(key) or self._keys.setdefault(key, self._checker(key))
        if adapter is None or (mark := repr(value)) in seen:
            return
        seen.add(mark)
        try:
            adapter.validate_python(value)
        except ValidationError as e:
            raise UsageError(f"{first_problem(e, self._where, fields, f'{key}: ')}, got {value_text(value)}") from e

    def _checker(self, key: str) -> tuple[Any, Any, set[str]]:
        table, _, name = key.rpartition(".")
        fields: Any = Recipe.model_fields if not table else {}
        if table == self._entry.name:
            fields = self._entry.cls.Config.model_fields
        if (field := fields.get(name)) is None or key in ("agent", "env"):
            return fields, None, set()  # of the environment; or refused where the first recipe was built
        checked: Any = Annotated[field.annotation, field]
        return fields, TypeAdapter(checked), set()


def paths_of(settings: Mapping[str, Any]) -> dict[SettingPath, Any]:
    """Settings by the paths of their keys."""
    return {tuple(key.split(".")): value for key, value in settings.items()}


def _sources(file: SweepFile) -> list[dict[SettingPath, Any]]:
    """The settings of cells that differ in recipe, environment or agent, of each kind one."""
    short = file._replace(
        grid={path: values if path in SOURCE else values[:1] for path, values in file.grid.items()},
        zip=file.zip if any(path in SOURCE for path in file.zip) else {p: v[:1] for p, v in file.zip.items()},
    )
    return [settings for _, _, settings in combinations(short)]


def _text(value: Any, key: str, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{where}: {key}: must be a text, got {value_text(value)}")
    return value
