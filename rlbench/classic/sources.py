"""Whether an environment is the very one that something was written after: what stands around it, and its source."""

import hashlib
import inspect
import math
import sys
from functools import cache
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, TimeLimit

_MAY_BE_ZERO = ("goal_velocity", "AVAIL_TORQUE")  # elsewhere the sign of a zero could get lost


class Original(NamedTuple):
    """What a law was written after, of one class; names are space-separated."""

    constants: str  # attributes that the law reads
    settings: dict[str, Any]  # attributes that the law relies on, and their values
    functions: str  # of the class or its module, that the law stands for
    digest: str  # of their source


def name_of(cls: type) -> str:
    """A class by its full name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def bare(env: gym.Env[Any, Any]) -> gym.Env[Any, Any] | None:
    """What stands below OrderEnforcing and the TimeLimit above it, if any; None where there is anything else."""
    outer = [env]
    if type(env) is TimeLimit and env.spec and env.spec.max_episode_steps:
        outer.append(env.env)
    inner = outer[-1]
    if type(inner) is not OrderEnforcing or any({"step", "reset"} & vars(wrapper).keys() for wrapper in outer):
        return None
    return inner.env


@cache
def digest(*functions: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of the functions' source; empty where one has no source of its own."""
    if any(hasattr(function, "__wrapped__") for function in functions):  # getsource would show what is wrapped
        return ""
    try:
        source = "".join(inspect.getsource(function) for function in functions)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def constants(env: Any, written: Original) -> list[str] | None:
    """The constants of a copy, as text; None where the law may not hold: odd ones, or functions of its own."""
    values: dict[str, Any] = {name: getattr(env, name, None) for name in written.constants.split()}
    for name, value in values.items():
        for number in value if isinstance(value, list) else [value]:
            if name == "book_or_nips":
                usual = type(number) is str
            else:
                usual = type(number) in (int, float) and math.isfinite(number)
            if not usual or (number == 0 and name not in _MAY_BE_ZERO):
                return None
    if any(name in vars(env) for name in written.functions.split()):
        return None
    return [repr(value) for value in values.values()]


def other_settings(env: Any, written: Original) -> dict[str, Any]:
    """Attributes of a copy that are not what the law relies on, and what they are."""
    found = {name: getattr(env, name, value) for name, value in written.settings.items()}
    return {name: value for name, value in found.items() if value != written.settings[name]}


def as_written(cls: type, written: Original) -> bool:
    """Whether the functions of ``cls`` have the source that the law was written after."""
    module = sys.modules.get(cls.__module__)
    same = all(getattr(module, name, getattr(np, name)) is getattr(np, name) for name in ("sin", "cos", "pi"))
    functions = [getattr(cls, name, getattr(module, name, None)) for name in written.functions.split()]
    return same and getattr(module, cls.__qualname__, None) is cls and digest(*functions) == written.digest
