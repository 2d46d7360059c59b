"""recipe.toml, run.json and summary.json: one parser for each, which gives what it read and what is wrong with it.

Cheap to import. Nothing here raises for a damaged file; whoever asked decides what the damage means.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import first_line

T = TypeVar("T")

MOST_SEEDS = 10_000  # of one run
MOST_STEPS = 10**15
_NUMBERS = ("env_steps", "env_steps_per_second", "solved_at", "train_seconds", "updates", "wall_seconds")
_BY_SEED = (
    "env_steps_of_seed", "episodes", "recent_return", "final_eval_return", "best_eval_return", "final_eval_episodes",
    "best_eval_episodes", "solved_at_env_steps", "solved_at_episode",
)  # fmt: skip


class Read(NamedTuple, Generic[T]):
    """What was read of a file: all that is sound, nothing where there is no file.

    ``problem`` is a sentence without a full stop on what is wrong with the file, by its name, and empty for one that is
    whole or not there.
    """

    value: T
    problem: str = ""


class Plan(NamedTuple):
    """What a recipe asks for, as far as its results can be told by it."""

    env: str
    agent: str  # as a user would type it: a name, or file.py:Class
    seed: int  # the first
    seeds: int
    total_steps: int  # per seed; 0: the recipe does not say
    max_episodes: int  # after which a seed was to stop; 0: no limit
    hyper: dict[str, Any]

    @property
    def numbers(self) -> range:
        """Of the seeds."""
        return range(self.seed, self.seed + self.seeds)


NO_PLAN = Plan("?", "?", 0, 0, 0, 0, {})


def read_text(path: Path, name: str) -> Read[str | None]:
    """A file as text, None where there is none; bytes that are no UTF-8 are damage, and replaced."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Read(None)
    except OSError as e:
        return Read(None, unreadable(name, e))
    try:
        return Read(data.decode())
    except UnicodeDecodeError as e:
        return Read(data.decode(errors="replace"), f"{name} is damaged: {e}")


def parsed(text: Read[str | None], name: str) -> Read[dict[str, Any]]:
    """The table that TOML or JSON, by ``name``'s ending, holds; an empty one where there is no file."""
    if text.problem or text.value is None:
        return Read({}, text.problem)
    try:
        found = tomllib.loads(text.value) if name.endswith(".toml") else json.loads(text.value)
    except RecursionError:
        return Read({}, f"{name} is damaged: it is nested too deeply")
    except ValueError as e:  # of TOML, of JSON, of integers with thousands of digits
        return Read({}, f"{name} is damaged: {first_line(e)}")
    return Read(found) if isinstance(found, dict) else Read({}, f"{name} is damaged: it is no table")


def plan_of(recipe: Read[dict[str, Any]], name: str) -> Read[Plan]:
    """What a parsed recipe.toml asks for; of a damaged one nothing that counts."""
    found = recipe.value
    if recipe.problem:
        return Read(NO_PLAN, recipe.problem)
    for key, kind in (("env", str), ("agent", str), ("seeds", int)):
        if key not in found:
            return Read(NO_PLAN, f"{name} is damaged: there is no {key!r}")
        if type(found[key]) is not kind:
            return Read(NO_PLAN, f"{name} is damaged: {key} is {str(found[key])[:20]!r}")
    bounds = {"seed": 2**63 - 1, "seeds": MOST_SEEDS, "total_steps": MOST_STEPS, "max_episodes": MOST_STEPS}
    for key, most in bounds.items():
        value = found.get(key, 0)
        if type(value) is not int or not (key == "seeds") <= value <= most:
            return Read(NO_PLAN, f"{name} is damaged: {key} is {str(value)[:20]}")
    hyper = found.get(found["agent"].rpartition(":")[2], {})
    numbers = {key: found.get(key, 0) for key in bounds}
    return Read(Plan(env=found["env"], agent=found["agent"], hyper=hyper if isinstance(hyper, dict) else {}, **numbers))


def summary_of(found: Read[dict[str, Any]], name: str) -> Read[dict[str, Any]]:
    """A parsed summary.json whose numbers are numbers, or nothing; what an older version did not write may lack."""
    for key in _NUMBERS:
        value = found.value.get(key)
        if value is not None and finite(value) is None:
            return Read({}, _no_number(name, key, value))
    for key in _BY_SEED:
        table = found.value.get(key)
        if table is None:
            continue
        if not isinstance(table, dict):
            return Read({}, f"{name} is damaged: {key} is no table")
        for seed, value in table.items():
            if not seed.isdecimal() or (value is not None and finite(value) is None):
                return Read({}, _no_number(name, key, value))
    return found


def finite(value: Any) -> float | None:
    """A finite number, or None for whatever else it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond all floats
        return None


def ended(summary: Mapping[str, Any]) -> bool:
    """Whether the run with this summary came to its end, and was not broken off by a signal; {} is of one under way."""
    return bool(summary) and "interrupted" not in str(summary.get("stopped_because"))


def numbers_of(summary: Mapping[str, Any], key: str) -> dict[int, float]:
    """A table of a summary: seed -> number, without those that have none."""
    table = summary.get(key) or {}
    return {int(seed): number for seed, value in table.items() if (number := finite(value)) is not None}


def unreadable(name: str, e: OSError) -> str:
    """The problem of a file that the system does not give."""
    return f"{name} cannot be read: {e.strerror or e}"


def _no_number(name: str, key: str, value: Any) -> str:
    return f"{name} is damaged: {key} has {str(value)[:20]!r} where a number is expected"
