"""The file of a search: what is tuned ([base]), over what ([space]), and how ([search])."""

import difflib
import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..driving.prepare import Trust
from ..errors import UsageError, first_line
from ..process.places import shown
from ..recipe import Recipe
from ..recipe.problems import first_problem, value_text
from ..recipe.registry import AgentEntry, find_agent
from .base import base_recipe
from .samplers import check_sampler
from .space import SearchSpace, read_space, ready_space

TABLES = ("base", "space", "search")
NOTHING = Trust()
FEWEST = 3  # seeds of a trial that pruning needs: fewer have no interval that deserves the name


class SearchSettings(BaseModel):
    """The table [search]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(50, ge=1, le=1_000_000, description="how many, over all processes; may be raised later")
    sampler: str = Field("tpe", description="tpe, cmaes, random, or another of Optuna's by name")
    seeds: int = Field(3, ge=1, le=10_000, description="of each trial, stacked in one run")
    first_seed: int = Field(1_000_000, ge=0, lt=2**62, description="the first of those, and of no other use")
    pruner: Literal["none", "interval"] = Field("none", description="whether hopeless trials are stopped")
    final_seeds: int | None = Field(
        None, ge=2, le=10_000, description="fresh ones at the end; default: the base's seeds"
    )
    final_first_seed: int | None = Field(
        None, ge=0, lt=2**62, description="the first of those; default: the base's seed"
    )
    storage: str = Field("journal", min_length=1, description="journal: a file beside the runs; or a URL of Optuna's")
    study: str | None = Field(None, min_length=1, description="name in the storage; default: that of the folder")
    retries: int = Field(2, ge=0, le=1000, description="how often a trial is tried again whose process failed")


class TuneFile(NamedTuple):
    """A search, as a file asks for it.

    Attributes:
        where: the file's name, for messages.
        base: the recipe that is tuned; its seeds are those of the final report.
        space: what is searched.
        settings: how.
    """

    where: str
    base: Recipe
    space: SearchSpace
    settings: SearchSettings

    @property
    def tuning_seeds(self) -> range:
        """Seeds that trials are judged by."""
        return range(self.settings.first_seed, self.settings.first_seed + self.settings.seeds)

    @property
    def final_seeds(self) -> range:
        """Seeds that no trial has seen: on them the best is compared with the base recipe."""
        return range(self.base.seed, self.base.seed + self.base.seeds)

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """The base recipe with other values of dotted keys. Raises UsageError where they do not go together."""
        return put_over(self.base, {tuple(key.split(".")): value for key, value in values.items()})

    def trial_recipe(self, values: Mapping[str, Any]) -> Recipe:
        """What a trial with these values runs: its seeds in one process."""
        seeds = self.tuning_seeds
        return self.changed(values).replace(seed=seeds.start, seeds=len(seeds), workers=1)


def read_tune_file(path: Path, trust: Trust = NOTHING, *, trials: int | None = None) -> TuneFile:
    """Read and check the file of a search.

    Args:
        path: of the file.
        trust: code of the user's own that the command names.
        trials: goes before the file's.

    Raises:
        UsageError: there is no such file, or something in it cannot be; names the file and the key.
    """
    where = shown(path)
    content = _content(path, where)
    base = base_recipe(content.get("base", {}), where, trust)
    settings = _settings(content.get("search", {}), where, trials)
    table = content.get("space")
    if table is None:
        where_space = f"the search space of {base.agent}"
        table = tomllib.loads(ready_space(base.agent))["space"]
    else:
        where_space = where
    space = read_space(table, where_space, _wholes(base))
    if not space:
        raise UsageError(f"{where}: [space] is empty. Leave it out for the one that comes with rlbench.")
    _check_space(base, space, where_space)
    first = base.seed if settings.final_first_seed is None else settings.final_first_seed
    count = base.seeds if settings.final_seeds is None else settings.final_seeds
    if count < 2:
        raise UsageError(f"{where}: a verdict takes 2 seeds or more: set seeds in [base], or final_seeds in [search].")
    found = TuneFile(where, base.replace(seed=first, seeds=count), space, settings)
    _check_seeds(found, base)
    if not base.final_eval_episodes and not base.eval_every:
        raise UsageError(f"{where}: without evaluations nothing scores a trial: set final_eval_episodes in [base].")
    return found


@functools.cache
def _agent(ref: str) -> AgentEntry:
    """The agent of a recipe, looked up once: that reads what all installed packages say of themselves."""
    return find_agent(ref)


def put_over(base: Recipe, values: Mapping[tuple[str, ...], Any]) -> Recipe:
    """``base`` with other values at the paths ``values``.

    Raises:
        UsageError: a key does not exist, or does not take its value; names the key.
    """
    entry = _agent(base.agent)
    content = base.content()
    hyper, fields = content["hyper"], entry.cls.Config.model_fields
    for path, value in values.items():
        if path[0] == entry.name and len(path) == 2:
            hyper[path[1]] = value
        elif len(path) == 1:
            content[path[0]] = value
        else:
            raise UsageError(f"unknown table {path[0]!r}; the agent's is {entry.name!r}.")
    said = [".".join(path[:2]) for path in values]
    try:
        config = entry.cls.Config(**hyper)
    except ValidationError as e:
        raise UsageError(first_problem(e, "with the base recipe", fields, f"{entry.name}.", said)) from e
    return Recipe.from_content({**content, "hyper": config.model_dump(mode="json")}, "the recipe")


def _content(path: Path, where: str) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no file {where}. `rlbench tune --help` shows one.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{where} is no valid TOML: {first_line(e)}") from e
    except OSError as e:
        raise UsageError(f"cannot read {where}: {e.strerror or e}") from e
    for key, table in content.items():
        if key not in TABLES:
            close = difflib.get_close_matches(key, TABLES, 1)
            hint = f"Did you mean [{close[0]}]?" if close else "Tables are [base], [space] and [search]."
            raise UsageError(f"{where}: unknown key {key!r}. {hint}")
        if not isinstance(table, dict):
            raise UsageError(f"{where}: {key} must be a table, [{key}], not {value_text(table)}")
    return content


def _settings(table: dict[str, Any], where: str, trials: int | None) -> SearchSettings:
    try:
        settings = SearchSettings(**{**table, **({} if trials is None else {"trials": trials})})
    except ValidationError as e:
        raise UsageError(first_problem(e, f"{where}: [search]", SearchSettings.model_fields)) from e
    check_sampler(settings.sampler, f"{where}: [search] sampler")
    if settings.pruner == "interval" and settings.seeds < FEWEST:
        raise UsageError(
            f"{where}: [search] pruner = 'interval' needs {FEWEST} seeds a trial or more, not {settings.seeds}: "
            "fewer have no interval."
        )
    return settings


def _wholes(base: Recipe) -> frozenset[str]:
    """Dotted keys that want whole numbers."""
    entry = _agent(base.agent)
    found = {key for key, field in Recipe.model_fields.items() if field.annotation is int}
    found |= {f"{entry.name}.{key}" for key, f in entry.cls.Config.model_fields.items() if f.annotation is int}
    return frozenset(found)


def _check_space(base: Recipe, space: SearchSpace, where: str) -> None:
    """Every key exists, and takes the values that it may be given."""
    for dimension in space:
        for value in dimension.ends:
            try:
                put_over(base, {dimension.path: value})
            except UsageError as e:
                raise UsageError(f"{where}: [space] {e}") from e


def _check_seeds(file: TuneFile, base: Recipe) -> None:
    """Seeds that chose the best say too much good of it: others have to judge."""
    tuning = file.tuning_seeds
    for seeds, what in (
        (file.final_seeds, "the final report"), (range(base.seed, base.seed + base.seeds), "the base recipe")
    ):  # fmt: skip
        if tuning.start < seeds.stop and seeds.start < tuning.stop:
            raise UsageError(
                f"{file.where}: seeds {tuning.start} to {tuning.stop - 1} judge the trials, and {what} has "
                f"{seeds.start} to {seeds.stop - 1}: the best is chosen for its luck with the first, which must not "
                "count again. Choose another first_seed in [search]."
            )
