"""What a cell takes, from the table [resources] and from --with: cores, cards, memory, and the time of an attempt."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..engines.engine import Needs
from ..errors import UsageError
from ..recipe.problems import value_text
from ..units import SECONDS

MOST = 1 << 60  # bytes
_TIME = re.compile(rf"(\d+(?:\.\d+)?)([{''.join(SECONDS)}])")
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)
LONGEST = 3650 * SECONDS["d"]  # of a time limit: timers take not much more


def needs_of(resources: Mapping[str, Any], name: str, typed: Collection[str] = ()) -> Needs:
    """What a cell takes, from [resources] and --with.

    Args:
        resources: what is asked for.
        name: of the sweep file, for messages.
        typed: keys that were typed, with --with.

    Raises:
        UsageError: a number is none, or below zero.
    """
    numbers = {}
    for key in ("cpus", "gpus"):
        value = resources.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10_000:
            said = f"{_where(key, name, typed)}: must be a number, 0 or more and below 10,000, got {value_text(value)}"
            raise UsageError(said)
        numbers[key] = float(value)
    memory = resources.get("memory", 0)
    if isinstance(memory, str) and (found := _SIZE.fullmatch(memory)):
        memory = int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
    if isinstance(memory, bool) or not isinstance(memory, int) or not 0 <= memory < MOST:
        where = _where("memory", name, typed)
        said = value_text(resources["memory"])
        raise UsageError(f'{where}: must be bytes, or a text such as "4 GiB", below 1 EiB, got {said}')
    return Needs(numbers["cpus"], numbers["gpus"], memory)


def time_limit_of(resources: Mapping[str, Any], name: str, typed: Collection[str] = ()) -> float:
    """Seconds that an attempt at a cell may take, from [resources] and --with; 0: as long as it likes.

    Arguments are as of `needs_of`.

    Raises:
        UsageError: it is no time with a unit, or of more than ten years.
    """
    text = resources.get("time_limit", "0s")
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    where = _where("time_limit", name, typed)
    if found is None:
        raise UsageError(f'{where}: must be a time such as "90m", "12h" or "2d", got {value_text(text)}')
    seconds = float(found[1]) * SECONDS[found[2]]
    if seconds > LONGEST:
        most = f"{LONGEST // SECONDS['d']:g}d"
        raise UsageError(f"{where}: {value_text(text)} is longer than {most}, which is the most; 0s is none")
    return seconds


def _where(key: str, name: str, typed: Collection[str]) -> str:
    """A key as the user finds it again: in the file, or in the command."""
    return f"--with {key}" if key in typed else f"{name}: [resources] {key}"
