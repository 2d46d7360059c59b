"""Who is to blame where an environment's code raised, and for what, in one line."""

import contextlib
import linecache
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator

from ..errors import EnvError, RlbenchError, first_line
from .observations import Unfit

_PASSED_OVER = ("gymnasium.core", "gymnasium.wrappers", "gymnasium.envs.registration", "gymnasium.utils")
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STDLIB = sysconfig.get_path("stdlib") + os.sep
_THEIRS = (
    "rlbench.envs.",
    "rlbench.experiments.",
    "rlbench.user_code.user_files.",
)  # environments; what else is rlbench's is ours
OLD_API = "That is the old Gym API"
OR_WRAP = "or wrap it with the package shimmy"


class ForeignError(EnvError):
    """An environment's code raised, or returned what does not fit. ``what`` says so without where it happened."""

    def __init__(self, env_id: str, where: str, what: str) -> None:
        super().__init__(f"{env_id} failed at {where}: {what}")
        self.what = what


@contextlib.contextmanager
def foreign(env_id: str, where: Callable[[], str]) -> Iterator[None]:
    """Context in which an environment's own code runs: whatever it raises, Ctrl-C apart, becomes a `ForeignError`."""
    try:
        yield
    except (RlbenchError, KeyboardInterrupt):
        raise
    except BaseException as e:
        raise ForeignError(env_id, where(), in_one_line(e)) from e


def in_one_line(e: BaseException) -> str:
    """What went wrong in an environment's code, in one line, with file and line of the culprit."""
    if isinstance(e, (Unfit, RlbenchError)):
        return e.what if isinstance(e, ForeignError) else str(e)
    if advice := _old_api(e):
        return advice
    frame = culprit(e)
    what = type(e).__name__
    if isinstance(e, SystemExit):
        what = f"it called sys.exit({'' if e.code is None else repr(e.code)})"
    elif str_of(e):
        what += f": {first_line(e)}"
    elif frame and frame.line:
        what += f": {frame.line}"
    return f"{frame.filename}:{frame.lineno}, in {frame.name}: {what}" if frame else what


def str_of(e: BaseException) -> str:
    """An exception's text; some fail at telling it."""
    try:
        return str(e).strip()
    except Exception:
        return ""


def culprit(e: BaseException) -> traceback.FrameSummary | None:
    """The innermost line of the environment's own code: not of a library that it called, nor of a wrapper above it."""
    found: list[tuple[str, str, int, str]] = []
    for frame, line in traceback.walk_tb(e.__traceback__):
        module = frame.f_globals.get("__name__", "")
        ours = module.startswith("rlbench.") and not module.startswith(_THEIRS)
        if not ours and not module.startswith(_PASSED_OVER):
            found.append((module, frame.f_code.co_filename, line, frame.f_code.co_name))
    own = [f for f in found if not f[1].startswith((_STDLIB, "<")) and not any(part in f[1] for part in _LIBRARIES)]
    own = own or [f for f in found if f[0].partition(".")[0] == found[0][0].partition(".")[0]]
    if not own:
        return None
    _, path, line, name = own[-1]
    return traceback.FrameSummary(path, line, name, line=linecache.getline(path, line).strip())


def _old_api(e: BaseException) -> str:
    """What to say of errors that the old Gym API leads to, or nothing."""
    text = str_of(e)
    if isinstance(e, TypeError) and "reset() got an unexpected keyword argument" in text:
        word = text.rpartition(" ")[2]
        return f"reset() takes no {word}. {OLD_API}: write def reset(self, *, seed=None, options=None), {OR_WRAP}"
    if isinstance(e, ValueError) and "values to unpack (expected 5" in text:
        return four_values(4 if "not enough" in text else 0)
    return ""


def four_values(count: int) -> str:
    if count == 4:
        return f"step() returned 4 values. {OLD_API}: return obs, reward, terminated, truncated, info, {OR_WRAP}"
    return "step() is to return five values: obs, reward, terminated, truncated, info"
