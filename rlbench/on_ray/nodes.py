"""The nodes of a Ray cluster: what each has, and whether any is large enough for a cell."""

from collections.abc import Sequence
from typing import NamedTuple

from ..engines.engine import Needs
from ..units import byte_size


class Node(NamedTuple):
    """A node of a cluster, and all that it has; memory in bytes."""

    id: str
    host: str
    cpus: float
    gpus: float
    memory: float

    def fits(self, needs: Needs) -> int:
        """How many cells with these needs it has room for when it is empty."""
        return int(self._share(needs) + 1e-9)

    def nearness(self, needs: Needs) -> tuple[float, ...]:
        """Largest for the node that comes nearest to what is needed."""
        return (self._share(needs), self.gpus, self.cpus, self.memory)

    def _share(self, needs: Needs) -> float:
        pairs = ((self.cpus, needs.cpus), (self.gpus, needs.gpus), (self.memory, needs.memory))
        return min((has / takes for has, takes in pairs if takes), default=0.0)


def too_small(nodes: Sequence[Node], needs: Needs) -> str:
    """That no node is large enough, and what the largest has."""
    asked = ", ".join(_amounts(needs.cpus, needs.gpus, needs.memory))
    if not nodes:
        return f"a cell takes {asked}, and the Ray cluster has no node. Add one: `ray start --address=HOST:PORT`."
    largest = max(nodes, key=lambda node: node.nearness(needs))
    has = ", ".join(_amounts(largest.cpus, largest.gpus, largest.memory, every=True))
    count = "the only node" if len(nodes) == 1 else f"the largest of {len(nodes)} nodes"
    return (
        f"a cell takes {asked}, and no node of the Ray cluster has that: {count}, {largest.host}, has {has}. Lower "
        "[resources], or add a node."
    )


def _amounts(cpus: float, gpus: float, memory: float, *, every: bool = False) -> list[str]:
    found = [f"{cpus:g} {'core' if cpus == 1 else 'cores'}"]
    if gpus or every:
        found.append(f"{gpus:g} {'card' if gpus == 1 else 'cards'}")
    return [*found, f"{byte_size(memory)} of memory"] if memory or every else found
