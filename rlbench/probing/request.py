"""From what a user types to what is checked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..acting import wanted_with
from ..border.make import env_maker, import_modules, known_as
from ..errors import UsageError
from ..recipe.overrides import Bare, put, read
from ..recipe.recipe import validate_hyper
from ..recipe.registry import AgentEntry
from .subject import CUT, Subject


def subject(
    entry: AgentEntry,
    overrides: Iterable[str] | Mapping[Any, Any] = (),
    *,
    env: str | None = None,
    imports: Sequence[str] = (),
    seed: int = 0,
    quick: bool = False,
) -> Subject:
    """An agent to be checked, from what a user typed.

    Args:
        entry: from `rlbench.recipe.registry.find_agent`.
        overrides: hyper-parameters, "key=value" texts or a mapping; with or without the agent's name before the key.
        env: where rows that can look elsewhere than on courses are to look: an id, or code as for `rlbench train`.
        imports: what registers it.
        seed: of all random numbers.
        quick: whether time is short.

    Raises:
        UsageError: a hyper-parameter is unknown, or is missing and has no default; or there is no such environment.
    """
    hyper: dict[str, Any] = {}
    fields = entry.cls.Config.model_fields
    for path, value in read(overrides).items():
        own = path[1:] if len(path) > 1 and path[0] == entry.name else path
        if isinstance(value, Bare):
            value = value.meant(fields[own[0]].annotation if len(own) == 1 and own[0] in fields else Any)
        put(hyper, own, value)
    config = validate_hyper(entry, hyper, "--set" if hyper else f"{entry.name} without --set")
    maker = None
    if env is not None:
        env, named = known_as(env, imports)
        classes = import_modules(named)
        maker = env_maker(env, max_episode_steps=CUT, classes=classes, wants=wanted_with(entry.cls, config))
    elif imports:
        raise UsageError("--import is for the environment of --env ID, and there is none")
    return Subject(entry, config, hyper, env=maker, seed=seed, quick=quick)
