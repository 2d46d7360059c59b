"""The wrappers that a recipe names: whose texts they are decides whether their code may run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from ..user_code.refs import Confirmed, confirmed, parse
from ..user_code.wrapping import canonical, relocated, wrapper_code
from .overrides import Bare
from .problems import value_text


class Wrapped(NamedTuple):
    """The wrappers of a recipe, and all the code that is to be imported for its environment."""

    wrappers: list[str]
    code: Confirmed


def wrapped(written: Any, typed: Any, needed: Sequence[str], given: Sequence[str], where: str) -> Wrapped:
    """Put together what a recipe says and what its user does.

    Args:
        written: the recipe's wrappers; their code has to be confirmed.
        typed: the user's own, which go before them; typing them confirms their code. None: there are none.
        needed: what the recipe imports besides.
        given: what the user imports.
        where: the recipe, for messages.

    Raises:
        UsageError: a text is no wrapper.
    """
    if typed is None:
        wrappers = _texts(written, where)
        return _placed(wrappers, confirmed(with_code(needed, wrappers), given))
    wrappers = _texts(typed.text if isinstance(typed, Bare) else typed, "--wrapper")
    return _placed(wrappers, confirmed(needed, with_code(given, wrappers)))


def _placed(wrappers: list[str], code: Confirmed) -> Wrapped:
    return Wrapped(relocated(wrappers, code.given), code)


def with_code(imports: Sequence[str], wrappers: Sequence[str]) -> list[str]:
    """``imports``, and what wrappers need besides."""
    known = {parse(text).where for text in imports}
    return [*imports, *(where for where in wrapper_code(wrappers) if where not in known)]


def _texts(value: Any, where: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{where}: wrappers: must be a list of texts, got {value_text(value)}")
    try:
        return canonical(texts)
    except ValueError as e:
        raise UsageError(f"{where}: {e}") from None
