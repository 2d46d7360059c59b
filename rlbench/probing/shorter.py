"""Hyper-parameters that make all come sooner, for agents that have them under names that are known."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from ..agent import AgentConfig
from ..numbers import exact
from .names import called

# What hyper-parameters become at most on courses, under these names (CONTRIBUTING.md) or like ones: all comes sooner.
SHORT: dict[str, int] = {
    "learning_starts": 20,
    "epsilon_steps": 60,
    "capacity": 240,
    "batch_size": 7,
    "rollout_steps": 8,
    "epochs": 2,
    "train_every": 2,
    "target_update_every": 3,
    "memory_size": 9,
    "sequence_length": 4,
    "burn_in": 2,
    "hidden": 17,  # each width; odd, as some arithmetic is of a kind of its own there
}


def shortened(config: AgentConfig, given: Collection[str]) -> dict[str, Any]:
    """What becomes of hyper-parameters, by name, as far as their ranges allow it.

    Args:
        config: as they were asked for.
        given: those that the user chose, which stay.
    """
    fields = {field: most for name, most in SHORT.items() if (field := called(config, name, given))}
    short = {field: x for field, most in fields.items() if (x := _shorter(getattr(config, field), most)) is not None}
    while short:
        try:
            changed(config, short)
            break
        except ValidationError as e:
            names = {str(part) for error in e.errors() for part in error["loc"]} & short.keys()
            short = {name: x for name, x in short.items() if names and name not in names}
    return short


def _shorter(value: Any, most: int) -> Any:
    """What a hyper-parameter is to become; None: it stays as it is."""
    if isinstance(value, (tuple, list)) and all(isinstance(x, int) for x in value):
        smaller = type(value)(min(x, most if i == 0 else 9) for i, x in enumerate(value))
        return None if smaller == value else smaller
    return most if isinstance(value, int) and not isinstance(value, bool) and value > most else None


def changed(config: AgentConfig, changes: Mapping[str, Any]) -> AgentConfig:
    """A config with changes.

    Raises:
        ValidationError: it does not take them.
    """
    return type(config)(**{**config.model_dump(), **changes})


def told(config: AgentConfig, short: Mapping[str, Any]) -> list[str]:
    """For each, what it was and what it is: "name 1000 -> 20"."""
    return [f"{name} {_said(getattr(config, name))} -> {_said(x)}" for name, x in short.items()]


def _said(value: Any) -> str:
    return exact(value) if isinstance(value, (int, float)) else str(list(value))
