"""What a recipe leaves out: as is usual for its environment, then for its agent, whoever else is trained there.

``experiments/envs/ENV.toml`` holds what belongs to an environment, its budget and how it is evaluated, so that agents
trained there can be compared. ``Agent.run_defaults`` are what an agent runs by, such as how many environments.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import UsageError
from .find import env_settings
from .problems import first_problem, value_text
from .registry import AgentEntry

#: Run keys that no agent has a say in: what is run, and by whose code.
NOT_THE_AGENTS = ("env", "env_kwargs", "imports", "wrappers", "agent", "hyper")


def usual(env: str, entry: AgentEntry, model: type[BaseModel]) -> dict[str, Any]:
    """Run keys and values for a recipe that does not say otherwise.

    Args:
        env: the environment's id.
        entry: the agent.
        model: `rlbench.recipe.Recipe`.

    Raises:
        UsageError: the agent's ``run_defaults`` are none.
    """
    return {**run_defaults(entry, model), **env_settings(env)}


def run_defaults(entry: AgentEntry, model: type[BaseModel]) -> dict[str, Any]:
    """The agent's own, checked. Raises UsageError that names its class and the key."""
    found: Any = entry.cls.run_defaults
    name = f"{entry.name}.run_defaults"
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"{name} must be a dict of run keys, not {value_text(found)}")
    known = [key for key in model.model_fields if key not in NOT_THE_AGENTS]
    for key in found:
        if key in NOT_THE_AGENTS:
            raise UsageError(f"{name}: {key!r} is not for an agent to say")
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
            raise UsageError(f"{name}: unknown key {key!r}. {hint}")
    try:
        model(env="any", **found)
    except ValidationError as e:
        raise UsageError(first_problem(e, name, model.model_fields)) from e
    return dict(found)
