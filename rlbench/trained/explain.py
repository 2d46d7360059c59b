"""What an agent makes of a state, as numbers for people to look at: `Agent.explain`, checked."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..acting import choose, explained
from ..agent import Agent
from ..errors import AgentError
from ..process.denormals import zeroed
from ..recipe import Recipe, validate_hyper
from ..recipe.registry import find_agent
from ..types import NO_EXTRAS, Extras


class Insight(NamedTuple):
    """Of one observation; None where the agent says nothing. A number that is not finite is None."""

    q_values: list[float | None] | None = None  # one per action
    value: float | None = None
    probabilities: list[float | None] | None = None  # likewise
    mean: list[float | None] | None = None  # of each dimension of a continuous action
    std: list[float | None] | None = None


AXES = {"q_values": 3, "value": 2, "probabilities": 3, "mean": 3, "std": 3}  # S, E, and one more


class Aloud:
    """An agent that says what it makes of a state before it acts there: what it remembers is then what it acts by.

    Attributes:
        agent: that one.
        copy: of which of the E copies.
        thought: before the newest ``act``.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent, self.copy = agent, 0
        self.thought = Insight()

    def begin(self, started: Tensor, *, explore: bool) -> None:
        self.agent.begin(started, explore=explore)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        self.thought = insight(self.agent, obs, self.copy, extras)
        return choose(self.agent, obs, extras, explore=explore)[0]


def insight(agent: Agent, obs: Tensor, copy: int = 0, extras: Extras = NO_EXTRAS) -> Insight:
    """What the agent's first seed makes of one observation, on which it has not acted yet.

    Args:
        agent: of any kind.
        obs: (S, E, *O).
        copy: which of the E.
        extras: what the environment says besides, where the agent wants any of it.

    Raises:
        AgentError: it gave something else than `Agent.explain` says.
    """
    known = {name: x[0, copy].tolist() for name, x in insights(agent, obs, extras).items()}
    told: Any = {name: [number(y) for y in x] if isinstance(x, list) else number(x) for name, x in known.items()}
    return Insight(**told)


def insights(agent: Agent, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
    """What the agent makes of observations, (S, E, *O), on which it has not acted yet: those of `AXES` that it gives.

    Raises:
        AgentError: it gave something else than `Agent.explain` says.
    """
    with torch.no_grad(), zeroed():
        given = explained(agent, obs, extras)
    lead = tuple(obs.shape[:2])
    if not isinstance(given, dict):
        raise AgentError(f"explain gave a {type(given).__name__}, expected a dict of tensors")
    for name, axes in AXES.items():
        tensor = given.get(name)
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise AgentError(f"explain gave {name} of type {type(tensor).__name__}, expected a Tensor")
        if tensor.ndim != axes or tuple(tensor.shape[:2]) != lead:
            more = "the actions" if name in ("q_values", "probabilities") else "the dimensions of an action"
            expected = f"{lead} and {more}" if axes == 3 else f"{lead}"
            raise AgentError(f"explain gave {name} of shape {tuple(tensor.shape)}, expected {expected}")
    known = {name: given[name].detach() for name in AXES if given.get(name) is not None}
    if "mean" in known and "std" in known and known["mean"].shape != known["std"].shape:
        raise AgentError(f"explain gave {known['mean'].shape[2]} means and {known['std'].shape[2]} std")
    return known


def number(x: float) -> float | None:
    """``x`` to six digits, which no eye tells from all; None where it is not finite."""
    return float(f"{x:.6g}") if math.isfinite(x) else None


def discount(recipe: Recipe) -> float | None:
    """The discount per step that the recipe's agent goes by, where its hyper-parameters have a ``gamma`` in 0..1."""
    config = validate_hyper(find_agent(recipe.agent), recipe.hyper, "the recipe").model_dump()
    gamma = config.get("gamma")
    return float(gamma) if isinstance(gamma, float | int) and 0 <= gamma <= 1 else None


def returns_that_followed(rewards: list[float], gamma: float) -> list[float | None]:
    """The discounted return from each step on: G_t = r_(t+1) + gamma * G_(t+1) (Sutton & Barto 2018, eq. 3.9)."""
    out, following = list[float | None](), 0.0
    for reward in reversed(rewards):
        following = reward + gamma * following
        out.append(number(following))
    return out[::-1]
