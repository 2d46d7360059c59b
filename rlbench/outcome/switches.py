"""What of a recipe is a switch, and what it is when it is off.

A key of the agent's is a switch where it can be left out altogether:

    it says itself what switches it off, Field(3, json_schema_extra={"off": 1})    n_step: 1, max_grad_norm: 0
    it is true                                                                     double, layer_norm: false
    it is set, and by default nothing is                                           learning_rate_end: not set
    it is one of several words, and not the default one                            memory = "gru": "none"

A size that was tuned, such as a learning rate, is no switch: there is no agent without one. Any key can be named all
the same, with what to compare it with.
"""

import difflib
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from ..errors import UsageError
from ..numbers import exact
from ..recipe import Recipe
from ..recipe.build import maker_of
from ..recipe.overrides import Bare, read
from ..recipe.problems import first_problem
from ..recipe.problems import value_text as given_text
from ..recipe.registry import AgentEntry, find_agent


class Switch(NamedTuple):
    """One of a recipe's.

    Attributes:
        key: with its table: "dqn.double"; a key of the run stands alone.
        on: the recipe's value; None: the recipe does not set it.
        off: the value that switches it off; None: it is not set then.
    """

    key: str
    on: Any
    off: Any

    @property
    def name(self) -> str:
        """Without its table."""
        return self.key.rpartition(".")[2]

    @property
    def title(self) -> str:
        """What is there when it is on: "double", "n_step=3"."""
        return self.name if self.on is True else f"{self.name}={value_word(self.on)}"


def value_word(value: Any) -> str:
    """A value as it stands in a table and in a name."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return exact(value)
    return "x".join(map(value_word, value)) if isinstance(value, list | tuple) else str(value)


def switches_of(recipe: Recipe, keys: Sequence[str] = ()) -> tuple[list[Switch], list[str]]:
    """The switches of a recipe that are on.

    Args:
        recipe: the recipe.
        keys: those that are wanted, in this order, as "double", "dqn.double", or with the value to compare with:
            "learning_rate=0.001"; none: all.

    Returns:
        (switches, notes): notes say which keys look like switches, and why they are none here.

    Raises:
        UsageError: an unknown key, one that is as it is by default and so has nothing to be compared with, or no switch
            at all.
    """
    entry = find_agent(recipe.agent)
    if keys:
        found = [_named(text, recipe, entry) for text in keys]
        if twice := [one.key for i, one in enumerate(found) if one.key in [other.key for other in found[:i]]]:
            raise UsageError(f"--keys names {twice[0]} twice.")
        return found, []
    found, notes = [], list[str]()
    for name, field in entry.cls.Config.model_fields.items():
        on = recipe.hyper[name]
        off = _off(field, on)
        if off is _NONE or off == on:
            continue
        switch = Switch(f"{entry.name}.{name}", on, off)
        if unheard := _unheard(recipe, entry, switch):
            notes.append(f"{name} is no switch here: {recipe.env} {unheard}")
        else:
            found.append(switch)
    if not found:
        known = ", ".join(entry.cls.Config.model_fields)
        raise UsageError(f"nothing in this recipe is a switch that is on. Name keys: --keys KEY=VALUE, of {known}.")
    return found, notes


def sizes_kept(recipe: Recipe, switches: Iterable[Switch]) -> dict[str, Any]:
    """Keys that the recipe sets other than the agent's default, and that are no switch: name -> value."""
    entry = find_agent(recipe.agent)
    taken = {switch.key for switch in switches}
    return {
        name: recipe.hyper[name]
        for name, field in entry.cls.Config.model_fields.items()
        if f"{entry.name}.{name}" not in taken and not _same(recipe.hyper[name], _default(field))
    }


class _Nothing:
    """Stands for: it cannot be switched off."""


_NONE = _Nothing()


def _off(field: FieldInfo, on: Any) -> Any:
    """The value of a key that switches it off; `_NONE` where there is none, or it is off."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "off" in extra:
        return extra["off"]
    default = _default(field)
    if on is True:
        return False
    if default is None and on is not None:
        return None
    words = typing.get_origin(field.annotation) is Literal and isinstance(default, str)
    return default if words and on != default else _NONE


def _default(field: FieldInfo) -> Any:
    return _NONE if field.is_required() else field.get_default(call_default_factory=True)


def _same(a: Any, b: Any) -> bool:
    """Whether two values are one, be it as a list or as a tuple."""
    return bool((list(a) if isinstance(a, list | tuple) else a) == (list(b) if isinstance(b, list | tuple) else b))


def _unheard(recipe: Recipe, entry: AgentEntry, switch: Switch) -> str:
    """Why a switch can change nothing: it is about what the environment does not say. Else ""."""
    wanted = []
    for value in (switch.on, switch.off):
        config = entry.cls.Config(**{**recipe.hyper, switch.name: value})
        wanted.append(set(entry.cls.wanted(config)))
    only = wanted[0] - wanted[1]
    if not only:
        return ""
    said = {source.name for source in maker_of(recipe, sorted(only)).extras}
    return "" if only & said else f"says no {' and no '.join(sorted(only))}"


def _named(text: str, recipe: Recipe, entry: AgentEntry) -> Switch:
    """The switch that the user means."""
    key, equals, value = text.partition("=")
    path, fields = _found(key.strip(), entry)
    name = path.rpartition(".")[2]
    field = fields[name]
    of_agent = path != name
    on = recipe.hyper[name] if of_agent else recipe.content().get(name)
    if equals:
        off = _read(path, value, field)
    else:
        off = _off(field, on)
        off = _default(field) if off is _NONE else off
        if off is _NONE or _same(on, off):
            raise UsageError(
                f"--keys {key}: it is {value_word(on)}, as by default, and nothing says what it would be without it. "
                f"Give the value to compare with: --keys {key}=VALUE"
            )
    if _same(on, off):
        raise UsageError(f"--keys {text}: the recipe has that value already.")
    return Switch(path, on, off)


def _read(key: str, text: str, field: FieldInfo) -> Any:
    """A value as it was typed."""
    if text.strip() in ("unset", "none") and _default(field) is None:
        return None
    ((_, value),) = read([f"{key}={text}"]).items()
    value = value.meant(field.annotation) if isinstance(value, Bare) else value
    checked: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(checked).validate_python(value)
    except ValidationError as e:
        fields = {key.rpartition(".")[2]: field}
        raise UsageError(f"{first_problem(e, '--keys', fields, f'{key}: ')}, got {given_text(value)}") from e
    return value


def _found(key: str, entry: AgentEntry) -> tuple[str, dict[str, FieldInfo]]:
    """A key with its table, and the fields that it is one of."""
    own: dict[str, FieldInfo] = dict(entry.cls.Config.model_fields)
    table, _, name = key.rpartition(".")
    if table in ("", entry.name) and name in own:
        return f"{entry.name}.{name}", own
    runs: dict[str, FieldInfo] = {
        name: field
        for name, field in Recipe.model_fields.items()
        if name not in ("env", "agent", "hyper", "seed", "seeds")
    }
    if not table and name in runs:
        return name, runs
    close = difflib.get_close_matches(name, [*own, *runs], 1)
    hint = f"Did you mean {close[0]}?" if close else f"Keys of {entry.name}: {', '.join(own)}."
    raise UsageError(f"--keys: unknown key {key!r}. {hint}")
