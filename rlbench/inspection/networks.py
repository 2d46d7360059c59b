"""The networks of an agent, wherever it keeps them: found by walking over its attributes, nested ones too."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

DEPTH = 8  # of objects in objects: an adapter, its learners, their helpers, lists of theirs
_FOREIGN = ("torch", "numpy", "pydantic", "gymnasium", "builtins")  # packages whose objects hold no networks of agents


class AgentNetwork(NamedTuple):
    """A network of an agent."""

    name: str  # as the agent calls it, "q_net"; of one in something else "helper.net"
    module: nn.Module

    @property
    def parameters(self) -> int:
        """How many numbers it learns, or holds as if it did."""
        return sum(p.numel() for p in self.module.parameters())


def networks(agent: Any) -> list[AgentNetwork]:
    """The outermost modules with parameters that an agent holds, in the order of its attributes, none twice.

    A module that holds nothing but networks that were found before, such as the list of all of them, is none.

    Args:
        agent: of one seed, as its learners' adapter is: theirs are then named as they name them.
    """
    found: list[AgentNetwork] = []
    known: set[int] = set()  # parameters
    for name, module in _modules(agent, "", DEPTH, set()):
        own = {id(p) for p in module.parameters()}
        if own - known:
            known |= own
            found.append(AgentNetwork(name or type(module).__name__, module))
    return found


def _modules(value: Any, name: str, depth: int, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    if id(value) in seen or not depth:
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        yield name, value
    elif isinstance(value, Tensor | str | bytes):
        return
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _modules(inner, _below(name, str(key)), depth - 1, seen)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _modules(inner, name if len(value) == 1 else _below(name, str(i)), depth - 1, seen)
    elif not callable(value) or hasattr(type(value), "state_dict"):
        if type(value).__module__.partition(".")[0] in _FOREIGN:
            return
        for key, inner in getattr(value, "__dict__", {}).items():
            inside = name if key == "learners" else _below(name, key)  # of the adapter that runs learners side by side
            yield from _modules(inner, inside, depth - 1, seen)


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
