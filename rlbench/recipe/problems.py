"""What is wrong with a recipe, in one line that names the file and the key."""

import datetime
import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from ..errors import UsageError


def check_types(content: Mapping[str, Any], where: str) -> None:
    """Check the keys that are needed before the whole can be validated."""
    for key, kind, what in (
        ("agent", str, "a text"), ("imports", list, "a list of module names"), ("env_kwargs", dict, "a table")
    ):  # fmt: skip
        if not isinstance(content.get(key, kind()), kind):
            raise UsageError(f"{where}: {key}: must be {what}, got {value_text(content[key])}")
    if "hyper" in content:
        raise UsageError(f"{where}: unknown key 'hyper'. The agent's table is named after the agent.")


def first_problem(
    e: ValidationError, where: str, known: Iterable[str], prefix: str = "", said: Collection[str] = ()
) -> str:
    """The first of pydantic's complaints as one line that names the file and the key; of keys that were ``said`` on the
    command line or by a program, the key alone."""
    problem = e.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    where = "" if problem["loc"] and f"{prefix}{problem['loc'][0]}" in said else f"{where}: "
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known, 1)
        names = ", ".join(prefix + name for name in known) or "none"
        hint = f"Did you mean {prefix}{close[0]}?" if close else f"Known: {names}."
        return f"{where}unknown key {prefix + key!r}. {hint}"
    if problem["type"] == "missing":
        return f"{where}{prefix}{key} has no default: give it a value, --set {prefix}{key}=VALUE"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "string_pattern_mismatch" and isinstance(known, Mapping):
        message = f"must be {known[key].description}"  # kinder than a regular expression
    if not key:
        return f"{where}{prefix}{message}"
    return f"{where}{prefix}{key}: {message}, got {value_text(problem['input'])}"


def value_text(value: Any) -> str:
    """A short text of ``value``, which may be anything that a file can hold."""
    if isinstance(value, datetime.date | datetime.time):  # as TOML writes it
        return value.isoformat()
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or an integer of thousands of digits
        return f"something of type {type(value).__name__} that is too large to show"
    return text if len(text) <= 100 else f"{text[:100]}..."
