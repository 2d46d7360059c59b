"""What a cell takes, from the table [resources] and from --with: cores, cards, memory, and the time of an attempt."""

import re
from collections.abc import Mapping
from typing import Any

from ..engines.engine import Needs
from ..errors import UsageError
from ..recipe.problems import value_text
from ..units import SECONDS

_TIME = re.compile(rf"(\d+(?:\.\d+)?)([{''.join(SECONDS)}])")
_SIZE = re.compile(r"\s*([\d.]+)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)


def needs_of(resources: Mapping[str, Any], name: str) -> Needs:
    """What a cell takes, from [resources] and --with.

    Raises:
        UsageError: a number is none, or below zero.
    """
    numbers = {}
    for key in ("cpus", "gpus"):
        value = resources.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10_000:
            raise UsageError(f"{name}: [resources] {key}: must be a number, got {value!r}")
        numbers[key] = float(value)
    memory = resources.get("memory", 0)
    if isinstance(memory, str) and (found := _SIZE.fullmatch(memory)):
        memory = int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 0:
        raise UsageError(f'{name}: [resources] memory: must be bytes, or a text such as "4 GiB", got {memory!r}')
    return Needs(numbers["cpus"], numbers["gpus"], memory)


def time_limit_of(resources: Mapping[str, Any], name: str) -> float:
    """Seconds that an attempt at a cell may take, from [resources] and --with; 0: as long as it likes.

    Raises:
        UsageError: it is no time with a unit.
    """
    text = resources.get("time_limit", "0s")
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        said = value_text(text)
        raise UsageError(f'{name}: [resources] time_limit: must be a time such as "90m", "12h" or "2d", got {said}')
    return float(found[1]) * SECONDS[found[2]]
