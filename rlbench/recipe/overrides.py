"""``key=value`` as users type it: values are TOML, and what is only nearly TOML is refused with the right spelling.

A word that is no TOML, as ``human`` or ``4x4``, is a text where a text is wanted. Where nobody says what is wanted, as
of an environment's arguments, it is one if it could be nothing else: "False" is a text that counts as true.
"""

import json
import re
import shlex
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union

from ..errors import UsageError

KeyPath = tuple[str, ...]  # ("dqn", "gamma")
LONG = 200  # characters; what is longer is not repeated in a message
_BOOLEANS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_NOTHING = ("none", "null", "nil", "undefined")
_INFINITE = ("nan", "inf", "infinity")


class Bare(NamedTuple):
    """A value that is no TOML."""

    key: str
    text: str

    def meant(self, wanted: Any) -> str:
        """The text that it is.

        Args:
            wanted: annotation of the key, `Any` where nobody knows.

        Raises:
            UsageError: it looks like something else, and no text is wanted; says how to write it.
        """
        if self.text and wanted is not Any and wants_text(wanted):
            return self.text
        text = self.text
        if len(text) > LONG and wanted is not Any:
            return text  # the key's own check has a shorter way to say so
        if not text:
            empty = self._quoted('""')
            raise UsageError(f"--set {self.key}= has no value. An empty text is {empty}")
        if (almost := _listed(text, wanted) or _spelling(text)) is None:
            return text  # where no text is wanted, the key's own check says so
        if len(text) > LONG:
            raise UsageError(f"--set {self.key}: a text of {len(text):,} characters is no TOML; {text[:20]!r}...")
        say = f"--set {self._words()}: {text!r} is no TOML."
        as_text = f" As a text: {self._quoted(json.dumps(text, ensure_ascii=False))}" if wanted is Any else ""
        if text.strip().lower() in _NOTHING:
            raise UsageError(f"{say} TOML knows nothing of the kind: leave {self.key} out for its default.{as_text}")
        if text.strip().lower().lstrip("+-") in _INFINITE:
            raise UsageError(f"{say} Values are finite numbers.{as_text}")
        right = f" Write {self._quoted(almost)}." if almost else " Texts take quotes, lists are [1, 2], tables {a = 1}."
        raise UsageError(say + right + as_text)

    def _words(self) -> str:
        return shlex.quote(f"{self.key}={self.text}")

    def _quoted(self, value: str) -> str:
        return f"--set {shlex.quote(f'{self.key}={value}')}"


def read(overrides: Iterable[str] | Mapping[Any, Any]) -> dict[KeyPath, Any]:
    """Overrides by the path of their key; values are as they are, or `Bare`.

    Args:
        overrides: "key=value" texts, or a mapping whose keys are paths, or texts with dots.

    Raises:
        UsageError: a text is not of the form key=value.
    """
    if isinstance(overrides, Mapping):
        return {key if isinstance(key, tuple) else tuple(key.split(".")): value for key, value in overrides.items()}
    return dict(map(_assignment, overrides))


def put(content: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set the value at ``path``; the tables on the way are made.

    Raises:
        UsageError: something on the way is no table.
    """
    for depth, name in enumerate(path[:-1]):
        inner = content.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {'.'.join(path)}: {'.'.join(path[: depth + 1])} is {inner!r}, and no table.")
        content[name] = content = dict(inner)  # what was given stays as it is
    content[path[-1]] = value


def wants_text(annotation: Any) -> bool:
    """Whether a text may stand where ``annotation`` does; of a list, whether its entries may be texts."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return wants_text(inner[0])
    if origin is Literal:
        return any(isinstance(one, str) for one in inner)
    if origin in (Union, types.UnionType, list, tuple):
        return any(map(wants_text, inner))
    return annotation in (str, Any)


def _assignment(text: str) -> tuple[KeyPath, Any]:
    key, equals, value = _parted(text)
    path = _path(key) if key else None
    if not equals or path is None:
        raise UsageError(f"--set {text!r} is not of the form key=value, such as dqn.gamma=0.98")
    found = _parse(value)
    return path, Bare(key, value.strip()) if found is None else found["value"]


def _parted(text: str) -> tuple[str, str, str]:
    """Key, equals sign, value; an equals sign in a quoted part of the key is the key's."""
    found = re.match(r"""((?:"[^"]*"|'[^']*'|[^="'])*)(=?)(.*)""", text, re.DOTALL)
    assert found is not None  # all of it may be empty
    return found[1].strip(), found[2], found[3]


def _path(key: str) -> KeyPath | None:
    """The names that a dotted key is made of, as TOML has it."""
    try:
        inner: Any = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return None
    path = []
    while isinstance(inner, dict) and len(inner) == 1:
        ((name, inner),) = inner.items()
        path.append(name)
    return tuple(path) if inner == 0 else None


def _parse(value: str) -> dict[str, Any] | None:
    """{"value": ...} where the whole of ``value`` is TOML, without a comment or a second key."""
    try:
        found = tomllib.loads(f"value = {value}")
        whole = tomllib.loads(f"value = [ {value} ]")
    except (ValueError, RecursionError):
        return None
    return found if found.keys() == whole.keys() == {"value"} and len(whole["value"]) == 1 else None


def _listed(text: str, wanted: Any) -> str | None:
    """The list that is meant by its entries alone, as 128,128 is where a list is wanted."""
    lists = any(typing.get_origin(one) in (list, tuple) for one in (wanted, *typing.get_args(wanted)))
    entries = "[" + re.sub(r"[,\s]+", ", ", text.strip()) + "]"
    return entries if lists and _parse(entries) is not None else None


def _spelling(text: str) -> str | None:
    """TOML for what looks like a value: "" where it cannot be told; None for a text that could be nothing else."""
    word = text.strip()
    low = word.lower()
    if low in _BOOLEANS:
        return _BOOLEANS[low]
    if low in _NOTHING or low.lstrip("+-") in _INFINITE:
        return ""
    if (number := _number(word)) is not None:
        return number
    if re.fullmatch(r"[\d\s.()+-]*[\d)]\s*(\*\*?|//?)[\d\s.()*/+-]*\d\)*", word):
        return ""  # something to compute
    if word[0] in "[{(\"'" or word[-1] in "]})\"'":
        right = re.sub(r"\bTrue\b", "true", re.sub(r"\bFalse\b", "false", word))
        right = re.sub(r"""(["'])\s*:""", r"\1 =", right)
        right = f"[{right[1:-1]}]" if right[0] == "(" and right[-1] == ")" else right
        return right if right != word and _parse(right) else ""
    return None


def _number(word: str) -> str | None:
    """A number that is written as TOML does not have it: .5, 5., 007, 1 000, 1,000, 0,5 or 1_000_."""
    plain = re.sub(r"(?<=\d)[\s_,](?=\d{3}(?!\d))", "", word)
    plain = re.sub(r"^([+-]?\d+),(\d+)$", r"\1.\2", re.sub(r"[\s_]", "", plain))
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", plain, re.ASCII | re.IGNORECASE):
        return None
    if re.fullmatch(r"[+-]?\d+", plain):
        sign, digits = re.fullmatch(r"([+-]?)0*(\d+)", plain).groups()  # type: ignore[union-attr]
        return f"{sign}{digits}"
    return repr(float(plain))
