"""Errors that a user can act on: each message says what is wrong, why, and the next command.

The command line prints the message alone; a traceback is for defects of ours.
"""

import os
import traceback
from pathlib import Path

MOST_SAID = 500  # letters of somebody else's error


class RlbenchError(Exception):
    """Something that the user, and not rlbench, has to mend.

    Attributes:
        exit_code: what the command line exits with.
        short: what went wrong, without what to do about it: for whoever knows of a better command to go on, as a sweep
            does of its cells; "": the whole message.
    """

    exit_code = 1
    short = ""

    def _render_traceback_(self) -> list[str]:
        """What a notebook prints in place of a traceback through our code; RLBENCH_DEBUG=1 brings that back."""
        if os.environ.get("RLBENCH_DEBUG"):
            return traceback.format_exception(self)
        return [f"{type(self).__name__}: {self}"]


class RunWarning(UserWarning):
    """Something that the user should know of a run, and that stops nothing."""


class UsageError(RlbenchError):
    """The request itself does not fit: an unknown name, a value out of range, an agent that cannot act here."""

    exit_code = 2


class EnvError(RlbenchError):
    """An environment broke its contract (a wrong shape, an exception) while it was being stepped.

    ``seed`` is the position of the seed that it belongs to, where that is known.
    """

    def __init__(self, message: str, seed: int | None = None) -> None:
        super().__init__(message)
        self.seed = seed


class NotFiniteError(EnvError):
    """An environment gave a reward or an observation that is NaN or infinite."""


class AgentError(RlbenchError):
    """An agent's code raised an exception, or gave back what its interface does not allow."""


class DivergedError(AgentError):
    """A loss is NaN or infinite; ``dump`` is where what the agent held was written."""

    def __init__(self, message: str, dump: Path) -> None:
        super().__init__(message)
        self.dump = dump


class CheckpointError(RlbenchError):
    """A checkpoint is missing, damaged, of another kind or from another version."""


class NoRun(CheckpointError, UsageError):
    """The path that was given leads to no run or checkpoint: a wrong request, and no failure."""


class RunFolderError(RlbenchError):
    """A run folder cannot be written, read, or is already taken."""


class StoreError(RlbenchError):
    """A store cannot be reached, read or written."""


class Overtaken(StoreError):
    """A later attempt has taken the run folder over that this process keeps in a store."""


class NoMemory(ValueError):
    """A buffer of ``nbytes`` could not be made; ``capacity`` of its entries would have been one seed's.

    ``on_card`` is what is free there, where it was to lie in a card's memory.
    """

    def __init__(self, text: str, nbytes: int, capacity: int, on_card: int | None = None) -> None:
        super().__init__(text)
        self.nbytes, self.capacity, self.on_card = nbytes, capacity, on_card


def first_line(e: BaseException) -> str:
    """What an error's text says, in one line: torch writes whole paragraphs, and some begin with a heading.

    A heading, which ends with a colon or has a word or two, takes the next line with it; of a traceback that came from
    another process, the last line counts; without any text, the error's type does.
    """
    try:
        text = str(e)
    except Exception:  # it fails at telling
        text = ""
    lines = [" ".join(line.split()) for line in text.splitlines() if any(map(str.isalnum, line))]
    if not lines:
        return type(e).__name__
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        lines = lines[-1:]
    short = lines[0]
    for line in lines[1:]:
        if not short.endswith(":") and len(short.split()) > 2:
            break
        short = f"{short} {line}"
    return (short if len(short) <= MOST_SAID else f"{short[: MOST_SAID - 3]}...").rstrip(": ")
