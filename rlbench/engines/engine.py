"""The interface of what runs cells elsewhere than in this process."""

import signal
from typing import NamedTuple, Protocol

from ..cells.order import Order


class Needs(NamedTuple):
    """What one cell takes.

    Attributes:
        cpus: cores.
        gpus: cards, or a part of one.
        memory: bytes; 0: not known.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0


class CellEnd(NamedTuple):
    """A cell whose process has ended.

    Attributes:
        cell: its name.
        code: exit code of the process (see `rlbench.cells.perform`); None: it was lost without a word.
        said: what the engine knows of its end, as "killed by SIGKILL", "its node is gone", "cancelled".
        peak: most bytes of memory it held; 0: not known.
        where: the machine.
    """

    cell: str
    code: int | None
    said: str = ""
    peak: int = 0
    where: str = ""


class Engine(Protocol):
    """Takes cells, and says when each has ended. Never begins one again by itself, but where a queue took its time."""

    @property
    def name(self) -> str:
        """As ``--on`` has it."""

    def check(self, needs: Needs) -> list[str]:
        """See, before anything starts, that cells with these needs can run; gives notes for the user.

        Raises:
            UsageError: it is not installed, not reachable, or no machine of it is large enough.
        """

    def taken(self) -> dict[str, int]:
        """Cells that are in hand already, from a driver that has died: cell -> attempt. `wait` will tell their end."""

    def queued(self) -> set[str]:
        """Cells in hand that may wait in a queue of its own; one that has said something since has left it."""

    def free(self, needs: Needs) -> int:
        """How many more cells with these needs may be handed over now."""

    def begin(self, order: Order, needs: Needs) -> None:
        """Take a cell."""

    def wait(self, seconds: float) -> list[CellEnd]:
        """Cells that have ended since; waits for one, for so long at most.

        Raises:
            RlbenchError: the engine is gone, and with it all that it had in hand.
        """

    def stop(self, *, insist: bool = False) -> None:
        """Ask all cells in hand to save and end, which `wait` will tell; with ``insist``, kill them."""

    def close(self) -> None:
        """Let go of everything that was opened; nothing is in hand any more, or it goes on without us."""


def how_ended(code: int) -> str:
    """How a process ended, in words, where it was killed; ``code`` is negative then."""
    if code >= 0:
        return ""
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}" + (", as is done where memory runs out" if name == "SIGKILL" else "")
