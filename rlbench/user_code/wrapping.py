"""Wrappers of environments by name, as recipes hold them: ``gymnasium.wrappers:FrameStackObservation(stack_size=4)``.

Such a text is data: where a class is and what to hand to it, by name and as literals. It is taken apart here, and
nothing of it is ever evaluated; `rlbench.border.wrappers` looks the class up.
"""

import ast
import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .refs import Ref, confirmed, parse, placed

GYMNASIUM = "gymnasium.wrappers"
LONGEST = 10_000  # characters of a text
_FORM = re.compile(r"(?P<where>.+?):(?P<name>[^\W\d]\w*)\s*(?P<call>\(.*\))?", re.DOTALL)
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_PLAIN = (bool, int, str, bytes, type(None))


class Wrapping(NamedTuple):
    """One wrapper: where its class is, and what is handed to it besides the environment."""

    code: Ref
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        """The text that it was taken from, in one spelling."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.kwargs.items())
        return f"{self.code}({given})" if given else str(self.code)

    @property
    def is_own(self) -> bool:
        """Whether it is code that a user has to name: any but the wrappers that Gymnasium brings."""
        return self.code.is_file or not f"{self.code.where}.".startswith(f"{GYMNASIUM}.")


def parse_wrapper(text: str) -> Wrapping:
    """Take the text of a wrapper apart.

    Raises:
        ValueError: it is none; one line, which says how to write it.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise ValueError(f"a wrapper's text of {len(text):,} characters, beginning with {text[:40]!r}, is too long")
    found = _FORM.fullmatch(text)
    if found is None or not (found["where"].endswith(".py") or _MODULE.fullmatch(found["where"])):
        raise ValueError(f"{_short(text)} is no wrapper. {_form(text)}")
    return Wrapping(parse(f"{found['where']}:{found['name']}"), _kwargs(found["call"] or "()", found["name"], text))


def _form(text: str) -> str:
    """How a text that is no wrapper's is written, as far as it can be guessed."""
    if alone := re.fullmatch(r"[^\W\d]\w*(\(.*)?", text, re.DOTALL):
        return f"Say where it is: {_short(f'{GYMNASIUM}:{alone[0]}')}, or FILE.py:{alone[0].partition('(')[0]}"
    if dotted := re.fullmatch(rf"({_MODULE.pattern})\.([^\W\d]\w*)(\(.*)?", text, re.DOTALL):
        return f"The class comes after a colon: {_short(f'{dotted[1]}:{dotted[3]}{dotted[4] or str()}')}"
    return (
        'The form is MODULE:CLASS(name=value, ...) or FILE.py:CLASS(...), with values such as 4, 0.5, "text" or [1, 2]'
    )


def _kwargs(call: str, name: str, text: str) -> dict[str, Any]:
    """What stands between the brackets."""
    source = f"_{call}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes in texts
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as e:
        raise ValueError(f"{_short(text)}: what is in the brackets cannot be read: {e.msg}") from None
    except (ValueError, RecursionError, MemoryError):  # a null byte; nested too deeply
        raise ValueError(f"{_short(text)}: what is in the brackets cannot be read") from None
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        raise ValueError(f"{_short(text)}: one pair of brackets is enough: {name}(name=value)")
    if tree.args:
        given = _short(ast.get_source_segment(source, tree.args[0]), quoted=False)
        raise ValueError(f"{_short(text)}: arguments are given by name: {name}(NAME={given})")
    kwargs: dict[str, Any] = {}
    for one in tree.keywords:
        if one.arg is None:
            raise ValueError(f"{_short(text)}: arguments are given one by one, not by **")
        if one.arg in kwargs:
            raise ValueError(f"{_short(text)}: {one.arg} is given twice")
        try:
            kwargs[one.arg] = _plain(ast.literal_eval(one.value))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            value = _short(ast.get_source_segment(source, one.value), quoted=False)
            raise ValueError(
                f"{_short(text)}: {one.arg} must be a finite number, a text, True, False, None, or a list, tuple or "
                f"dict of these, not {value}"
            ) from None
    return kwargs


def _plain(value: Any) -> Any:
    """``value``, if its ``repr`` is a literal that gives it back, always in the same spelling: sets have no order."""
    if isinstance(value, (list, tuple)):
        for part in value:
            _plain(part)
    elif isinstance(value, dict):
        for pair in value.items():
            _plain(pair)
    elif not (isinstance(value, _PLAIN) or (isinstance(value, float) and math.isfinite(value))):
        raise ValueError
    return value


def _short(text: str | None, *, quoted: bool = True) -> str:
    text = text or ""
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return repr(text) if quoted else " ".join(text.split())


def canonical(texts: Sequence[str]) -> list[str]:
    """Each text in one spelling, files by their absolute paths.

    Raises:
        ValueError: one is no wrapper; one line.
    """
    return [placed_wrapper(text) for text in texts]


def placed_wrapper(text: str) -> str:
    """One text, as `canonical` has it."""
    one = parse_wrapper(text)
    return str(one._replace(code=parse(placed(str(one.code)))))


def wrapper_code(texts: Sequence[str]) -> list[str]:
    """The files and modules of a user's own that wrappers come from, as `border.make.import_modules` takes them.

    Gymnasium's own wrappers are not among them: they are no more a user's code than its environments.
    """
    return list(dict.fromkeys(one.code.where for one in map(parse_wrapper, texts) if one.is_own))


def relocated(texts: Sequence[str], given: Sequence[str]) -> list[str]:
    """The texts with their code where the user says that it is: see `rlbench.user_code.refs.confirmed`."""
    found = []
    for text in texts:
        one = parse_wrapper(text)
        if one.is_own and (used := confirmed([one.code.where], given).used):
            one = one._replace(code=one.code._replace(where=parse(used[0]).where))
        found.append(str(one))
    return found


def told(texts: Any, code: Any) -> list[str]:
    """Wrappers as runs are compared by: the same in any folder, as long as the content of the file is.

    Args:
        texts: of a recipe, which may be damaged.
        code: what run.json holds about code: reference -> {"sha256": ...}; likewise.
    """
    found = []
    digests = {parse(ref).where: about for ref, about in code.items()} if isinstance(code, dict) else {}
    for text in texts if isinstance(texts, list) else [texts]:
        try:
            one = parse_wrapper(str(text))
            digest = str(digests[one.code.where]["sha256"])[:8] if one.is_own else ""
        except (ValueError, KeyError, TypeError):
            found.append(str(text))
            continue
        if digest:
            where = Path(one.code.where).name if one.code.is_file else one.code.where
            one = one._replace(code=one.code._replace(where=where))
        found.append(f"{one} of {digest}" if digest else str(one))
    return found
