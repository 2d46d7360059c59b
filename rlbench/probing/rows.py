"""Rows: what can be asked of an agent, each a function of its own with a name.

    @row("deterministic", "the same seeds give the same numbers twice", group="seeds")
    def deterministic(subject: Subject) -> None:
        if ...:
            raise Fails("expected ..., came ... on vector after 12 updates", "random numbers of another source")

A row that returns holds; what it returns, a text, is told beside it. It runs in a process of its own (`apart`), so it
may do what it likes with the agent. What the agent's code raises is told as a failure of the row, by file and line.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from .subject import Subject

Ask = Callable[[Subject], str | None]
A = TypeVar("A", bound=Ask)


class Question(NamedTuple):
    """``ask`` is the function, ``holds`` what holds where it returns. Others are as `row` takes them."""

    name: str
    holds: str
    group: str
    ask: Ask
    limit: float
    quick: bool


ROWS: dict[str, Question] = {}  # in the order in which they are asked


def row(name: str, holds: str, *, group: str, limit: float = 20.0, quick: bool = True) -> Callable[[A], A]:
    """Declare a row; rows are asked in the order in which they are declared, those of a group together.

    Args:
        name: short, of one word or several with hyphens; users type it.
        holds: what holds of an agent that passes, a sentence without an end.
        group: what it is shown under, and a name for all rows of it.
        limit: seconds that it takes at most on a core of its own; three times as long, and it hangs.
        quick: whether it is asked where time is short, too.
    """

    def declare(ask: A) -> A:
        if name in ROWS:
            raise ValueError(f"there are two rows {name!r}")
        ROWS[name] = Question(name, holds, group, ask, limit, quick)
        return ask

    return declare
