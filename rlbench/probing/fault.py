"""Where the fault lies: the line of an agent's own code that raised, or that was under way."""

import sys
from collections.abc import Sequence

from ..recipe.registry import blamed
from .apart import Frame

_OTHERS = ("builtins", "abc", "typing", "torch", "numpy", "rlbench")  # packages whose classes an agent may derive from
_THEIRS = ("rlbench.agents.", "rlbench.user_code.user_files.")  # but for these, whose code is an agent's


def own_modules(cls: type) -> tuple[str, ...]:
    """The modules that an agent's class, and those that it derives from, are written in; the kit's are not among them.

    Of a `rlbench.Learner` that was lifted, those of the learner.
    """
    modules = [c.__module__ for c in getattr(cls, "origin", cls).__mro__]
    own = [name for name in modules if name.partition(".")[0] not in _OTHERS or name.startswith(_THEIRS)]
    return tuple(dict.fromkeys(own))


def own_files(cls: type) -> set[str]:
    """The files of `own_modules`."""
    files = (getattr(sys.modules.get(name), "__file__", None) for name in own_modules(cls))
    return {file for file in files if file}


def raised(e: BaseException, cls: type) -> str | None:
    """What an exception out of an agent's code was and where, in a line; None where no line of it was under way."""
    if isinstance(e, SystemExit):
        called = SystemError(f"it called sys.exit({'' if e.code is None else repr(e.code)})")
        found = blamed(called.with_traceback(e.__traceback__), own_modules(cls))
        return found and found.replace("SystemError: ", "", 1)
    return blamed(e, own_modules(cls))


def under_way(stack: Sequence[Frame], cls: type) -> str:
    """The line of its own code that was under way, of a stack whose innermost line comes first; "" if there is none."""
    own = own_files(cls)
    return next((f"{frame.file}:{frame.line}, in {frame.name}" for frame in stack if frame.file in own), "")
