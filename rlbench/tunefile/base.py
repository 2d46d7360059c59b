"""The recipe that [base] makes: one by name or file, with its other keys over it, and no code that was not named."""

import shlex
from collections.abc import Mapping
from typing import Any

from ..driving.prepare import Trust
from ..errors import UsageError
from ..recipe import Recipe
from ..recipe.problems import value_text
from ..user_code.commands import ref
from ..user_code.refs import confirmed
from ..user_code.wrapping import wrapper_code

LISTS = ("imports", "wrappers")  # of texts, which name code


def base_recipe(table: Mapping[str, Any], where: str, trust: Trust) -> Recipe:
    """The recipe of a table ``[base]``.

    Args:
        table: keys of a recipe, with tables of hyper-parameters; ``recipe`` names the one to begin with.
        where: the file, for messages.
        trust: the code that the command names.

    Raises:
        UsageError: a key is unknown or out of range, or names code that the command does not.
    """
    named = {key: _text(table.get(key), f"{where}: [base] {key}") for key in ("recipe", "env", "agent")}
    for key in LISTS:
        _confirm(table.get(key, []), key, where, trust)
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        if key in named or key == "imports":
            continue
        flat |= {(key, k): v for k, v in value.items()} if isinstance(value, dict) else {tuple(key.split(".")): value}
    env, agent = named["env"], named["agent"]
    if not env and not named["recipe"]:
        raise UsageError(f'{where}: [base] names no environment. Add env = "CartPole-v1", or recipe = "NAME".')
    env, agent = env and trust.env(env, where), agent and trust.agent(agent, where)
    try:
        found = Recipe.load(named["recipe"], env=env, agent=agent, imports=trust.imports, overrides=flat)
    except UsageError as e:
        said = str(e).removeprefix("--set ")
        raise UsageError(said if said.startswith(where) else f"{where}: [base] {said}") from e
    return found.placed()


def _text(value: Any, what: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise UsageError(f"{what} must be a text, not {value_text(value)}")
    return value


def _confirm(texts: Any, key: str, where: str, trust: Trust) -> None:
    """Code that a file names runs only where the command names it as well."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise UsageError(f"{where}: [base] {key} must be a list of texts, not {value_text(texts)}")
    try:
        code = list(texts) if key == "imports" else wrapper_code(texts)
    except ValueError as e:
        raise UsageError(f"{where}: [base] {key}: {e}") from e
    if code and (missing := confirmed(code, trust.imports).missing):
        raise UsageError(
            f"{where} names code to import. If you trust it, say so: {shlex.join(['--import', ref(missing[0])])}"
        )
