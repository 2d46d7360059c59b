"""The search space: which keys of a recipe are searched, and over which values."""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Literal, NamedTuple

from ..errors import UsageError
from ..judge.evidence import CONDITIONS
from ..recipe.find import SPACES
from ..recipe.problems import value_text

RANGE = ("low", "high", "log", "step", "int")
DIGITS = 4  # of what is not whole, for recipes that a person can read; nobody tunes finer
#: Keys that scores of one kind have in common, whatever the agent does: to search them would move the goal.
FIXED = ("env", "agent", "imports", "seed", "seeds", "hyper", "device", "track", "workers", "threads", *CONDITIONS)


class Dimension(NamedTuple):
    """One key and the values that it may take.

    Attributes:
        key: dotted, as ``dqn.learning_rate``.
        kind: "float" and "int" have a range, "choice" has values.
        low: of a range, included.
        high: likewise.
        log: whether a range is searched by orders of magnitude.
        step: of a range, from ``low`` on; 0: everything between. Of whole numbers 1 or more.
        choices: of a "choice", plain TOML values.
    """

    key: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float = 0.0
    choices: tuple[Any, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """The names that the key is made of."""
        return tuple(self.key.split("."))

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that show whether the key takes such: the limits of a range, or all choices."""
        if self.kind == "choice":
            return self.choices
        return (int(self.low), int(self.high)) if self.kind == "int" else (self.low, self.high)

    @property
    def stored(self) -> tuple[Any, ...]:
        """The choices as Optuna keeps them: it knows numbers, truth values and texts, and lists as JSON."""
        if all(isinstance(one, bool | int | float | str) for one in self.choices):
            return self.choices
        return tuple(map(json.dumps, self.choices))

    def value(self, stored: Any) -> Any:
        """What a recipe is given for a value out of Optuna's storage."""
        if self.kind == "choice":
            return self.choices[next(i for i, one in enumerate(self.stored) if _same(one, stored))]
        if self.kind == "int":
            return int(stored)
        return min(max(float(f"{stored:.{DIGITS}g}"), self.low), self.high)

    def store(self, value: Any) -> Any:
        """The other way round; None where ``value`` is not among what is searched."""
        if self.kind == "choice":
            given = list(value) if isinstance(value, tuple) else value
            return next((s for s, one in zip(self.stored, self.choices, strict=True) if _same(one, given)), None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        if self.kind == "int" and value != int(value):
            return None
        if self.step and abs((value - self.low) / self.step - round((value - self.low) / self.step)) > 1e-9:
            return None
        return int(value) if self.kind == "int" else float(value)

    def plain(self) -> dict[str, Any] | list[Any]:
        """As a file has it."""
        if self.kind == "choice":
            return list(self.choices)
        low, high = self.ends
        step = {"step": int(self.step) if self.kind == "int" else self.step} if self.step else {}
        return {"low": low, "high": high, "log": self.log, **step, "int": self.kind == "int"}


SearchSpace = tuple[Dimension, ...]


def read_space(table: Mapping[str, Any], where: str, wholes: frozenset[str]) -> SearchSpace:
    """The dimensions of a table ``[space]``.

    Args:
        table: key -> ``{low, high, log, step, int}`` or a list of choices; keys with dots, or tables within tables.
        where: of the file, for messages.
        wholes: dotted keys that want whole numbers.

    Raises:
        UsageError: an entry is not one of the two, or no value is left to choose; names the file and the key.
    """
    return tuple(_dimension(key, entry, f"{where}: [space] {key}", key in wholes) for key, entry in _flat(table))


def space_names() -> list[str]:
    """The agents that a ready search space comes with rlbench for."""
    files = (resources.files("rlbench.experiments") / SPACES).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def ready_space(agent: str) -> str:
    """The ready search space of a built-in agent, as TOML.

    Raises:
        UsageError: there is none.
    """
    names = space_names()
    if agent not in names:
        close = difflib.get_close_matches(agent, names, 1)
        hint = f"Did you mean {close[0]}?" if close else "Give a table [space]: docs/tuning.md says how."
        raise UsageError(f"no search space comes with rlbench for {agent!r}, only for {', '.join(names)}. {hint}")
    return (resources.files("rlbench.experiments") / SPACES / f"{agent}.toml").read_text(encoding="utf-8")


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted key -> entry: a table that says nothing of a range is an agent's, and holds keys."""
    for name, entry in table.items():
        if isinstance(entry, dict) and entry and not set(entry) & set(RANGE):
            yield from ((f"{name}.{key}", inner) for key, inner in entry.items())
        else:
            yield name, entry


def _dimension(key: str, entry: Any, what: str, whole: bool) -> Dimension:
    if key.partition(".")[0] in FIXED:
        raise UsageError(
            f"{what} cannot be searched: scores of all trials have to be of one kind. It belongs to [base]."
        )
    if isinstance(entry, list):
        return _choice(key, entry, what)
    if not isinstance(entry, dict):
        raise UsageError(
            f"{what} is {value_text(entry)}, and no range or choice. Write {{low = 1e-4, high = 1e-2, log = true}}, or "
            "a list of values; what does not vary belongs to [base]."
        )
    for name in entry:
        if name not in RANGE:
            close = difflib.get_close_matches(name, RANGE, 1)
            raise UsageError(f"{what}: unknown key {name!r}. {f'Did you mean {close[0]}?' if close else _KNOWN}")
    for name in ("log", "int"):
        if not isinstance(entry.get(name, False), bool):
            raise UsageError(f"{what}: {name} is {value_text(entry[name])}, and neither true nor false.")
    missing = [name for name in ("low", "high") if name not in entry]
    if missing:
        raise UsageError(f"{what}: {missing[0]} is missing. {_KNOWN}")
    low, high, step = (_number(entry.get(name, 0), f"{what}: {name}") for name in ("low", "high", "step"))
    log, is_int = bool(entry.get("log", False)), bool(entry.get("int", whole))
    if low >= high:
        raise UsageError(f"{what}: low is {low:g} and high is {high:g}: low must be below high.")
    if log and low <= 0:
        raise UsageError(f"{what}: low is {low:g}, and a range with log = true must begin above 0.")
    if log and step:
        raise UsageError(f"{what}: log and step exclude each other. Give a list of values instead.")
    if is_int and any(x != int(x) for x in (low, high, step)):
        raise UsageError(f"{what}: of whole numbers, low, high and step must be whole.")
    if step < 0 or step > high - low:
        raise UsageError(f"{what}: step is {step:g}; it must be above 0, and not longer than the range.")
    if step:
        high = low + math.floor((high - low) / step + 1e-9) * step  # the last value that steps lead to
    return Dimension(key, "int" if is_int else "float", low, high, log, step or float(is_int))


_KNOWN = "A range is {low, high}, and where wanted log, step, int."


def _choice(key: str, entry: list[Any], what: str) -> Dimension:
    if not entry:
        raise UsageError(f"{what}: the list of choices is empty.")
    for i, one in enumerate(entry):
        if any(_same(one, other) for other in entry[:i]):
            raise UsageError(f"{what}: {value_text(one)} stands there twice.")
    return Dimension(key, "choice", choices=tuple(entry))


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{what} is {value_text(value)}, and no number.")
    return float(value)


def _same(a: Any, b: Any) -> bool:
    """Equal and of one kind: 1 is not true."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
