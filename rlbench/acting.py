"""How an agent is asked what to do, by everything that lets one act: what it wants is handed over, what it says is told
apart from its action."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .agent import Agent, AgentConfig
from .errors import AgentError, UsageError
from .types import NO_EXTRAS, Extras


def wanted(cls: type) -> tuple[str, ...]:
    """What an agent's or learner's class ``wants`` to be told besides observations.

    A class that inherits the wish, and has an ``act`` of its own without ``extras``, is not told anything.

    Raises:
        UsageError: it wants something itself, and its ``act`` does not take it; or its wish is no tuple of names.
    """
    names: Any = getattr(cls, "wants", ())
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{cls.__name__}.wants is {names!r}; it is a tuple of names, such as ('action_mask',)")
    act: Any = getattr(cls, "act")  # noqa: B009  (any class)
    if not names or takes_extras(act):
        return tuple(names)
    order = cls.__mro__
    wishes, acts = (next(i for i, c in enumerate(order) if name in vars(c)) for name in ("wants", "act"))
    if acts < wishes:
        return ()
    raise UsageError(
        f"{cls.__name__} wants {', '.join(names)}, and its act takes none: def act(self, obs, *, explore, extras)"
    )


def wanted_with(cls: type[Agent], config: AgentConfig) -> tuple[str, ...]:
    """Of what is `wanted`, that which an agent makes use of with its hyper-parameters."""
    used = cls.wanted(config)
    return tuple(name for name in wanted(cls) if name in used)


def inherited(cls: type[Agent], config: AgentConfig) -> tuple[str, ...]:
    """What a class would be told, as the one that it derives from is, if its own ``act`` took it."""
    told = wanted(cls)
    return tuple(name for name in cls.wants if name in cls.wanted(config) and name not in told)


def takes_extras(method: Any) -> bool:
    """Whether ``extras=`` can be given to a method."""
    known = inspect.signature(method).parameters
    return "extras" in known or any(p.kind is p.VAR_KEYWORD for p in known.values())


@functools.cache
def _waits(cls: Any) -> bool:
    """Whether a class's ``act`` cannot do without ``extras``, which are then given where nothing is said, too."""
    told = inspect.signature(cls.act).parameters.get("extras")
    return told is not None and told.default is told.empty


def choose(
    agent: Any, obs: Tensor, extras: Extras = NO_EXTRAS, *, explore: bool, axes: int = 2
) -> tuple[Tensor, Extras]:
    """The agent's action for ``obs``, and what it says besides.

    Args:
        agent: of S seeds; told of its episodes' beginnings. Or one learner.
        obs: (S, E, *O).
        extras: what the environments say with it, where they say what the agent wants.
        explore: as for `Agent.act`.
        axes: that all begin with: 2, S and E; 1 of a learner.

    Raises:
        AgentError: what it says besides is no dict of tensors (S, E, ...), or has a name that the environment uses.
            The action is not looked at.
    """
    kind: Any = type(agent)
    told = extras or _waits(kind)
    chosen: Any = agent.act(obs, explore=explore, extras=extras) if told else agent.act(obs, explore=explore)
    if type(chosen) is not tuple:
        return chosen, NO_EXTRAS
    if len(chosen) != 2 or not isinstance(chosen[1], Mapping):
        kinds = ", ".join(type(part).__name__ for part in chosen)
        raise AgentError(f"act gave a tuple of {kinds}; it is an action, or a pair of it and a dict of tensors")
    action, said = chosen
    for name, tensor in said.items():
        if name in extras:
            raise AgentError(f"act said {name!r}, which is what the environment says: give it a name of its own")
        if not isinstance(tensor, Tensor) or tensor.shape[:axes] != obs.shape[:axes]:
            what = (
                f"of shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else f"of type {type(tensor).__name__}"
            )
            lead = tuple(obs.shape[:axes])
            raise AgentError(f"act said {name!r} {what}, expected a Tensor whose shape begins with {lead}")
    return action, {name: tensor.detach() for name, tensor in said.items()}


def explained(agent: Any, obs: Tensor, extras: Extras = NO_EXTRAS) -> Any:
    """What ``agent.explain`` gives for ``obs``, whatever it is."""
    if extras and takes_extras(agent.explain):
        return agent.explain(obs, extras=extras)
    return agent.explain(obs)
