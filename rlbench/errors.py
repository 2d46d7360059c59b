"""Errors that a user can act on: each message says what is wrong, why, and the next command.

The command line prints the message alone; a traceback is for defects of ours.
"""


class RlbenchError(Exception):
    """Something that the user, and not rlbench, has to mend. ``exit_code`` is what the command line exits with."""

    exit_code = 1


class UsageError(RlbenchError):
    """The request itself does not fit: an unknown name, a value out of range, an agent that cannot act here."""

    exit_code = 2


class EnvError(RlbenchError):
    """An environment broke its contract (NaN, a wrong shape, an exception) while it was being stepped."""


class AgentError(RlbenchError):
    """An agent's code raised an exception, or gave back what its interface does not allow."""


class CheckpointError(RlbenchError):
    """A checkpoint is missing, damaged, of another kind or from another version."""


class RunFolderError(RlbenchError):
    """A run folder cannot be written, read, or is already taken."""


def first_line(e: BaseException) -> str:
    """The first line of an error's text, or its type's name: torch writes whole paragraphs."""
    return (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(": ")
