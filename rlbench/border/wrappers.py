"""Wrappers by name: classes looked up, and put around an environment. How they are written is `wrapping`'s part."""

import copy
import difflib
import inspect
import shlex
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.wrappers import NormalizeObservation, NormalizeReward

from ..errors import RlbenchError, UsageError
from ..user_code import user_files
from ..user_code.commands import code_words
from ..user_code.commands import ref as shown_ref
from ..user_code.refs import Ref, parse
from ..user_code.wrapping import GYMNASIUM, parse_wrapper
from .blame import in_one_line

# Wrappers of Gymnasium that have no business around an environment which learns or is filmed here, and what has.
_REFUSED = {
    "Autoreset": "rlbench itself begins the next episode, and learns from the true last observation of the one before",
    "HumanRendering": "to watch, say: rlbench play RUN",
    "RecordVideo": "to film greedy episodes, say: --video-every N, or: rlbench play RUN --video FILE",
}
_LASTING = (NormalizeObservation, NormalizeReward)  # their statistics go on from episode to episode
_Any = gym.Wrapper[Any, Any, Any, Any]


class Wrap(NamedTuple):
    """One wrapper that is at hand: call it with an environment."""

    text: str
    code: Ref
    cls: type[_Any]
    kwargs: dict[str, Any]

    @property
    def shown(self) -> str:
        """The text, with the file as seen by the user."""
        return shown_ref(str(self.code)) + self.text.removeprefix(str(self.code))

    def around(self, env: gym.Env[Any, Any], env_id: str) -> _Any:
        """``env``, wrapped.

        Raises:
            UsageError: the wrapper does not fit, or its code fails.
        """
        try:
            wrapped: _Any = self.cls(env, **copy.deepcopy(self.kwargs))
        except (RlbenchError, KeyboardInterrupt):
            raise
        except BaseException as e:
            raise UsageError(f"cannot wrap {env_id!r} in {self.shown}: {in_one_line(e)}") from e
        if not isinstance(wrapped, gym.Env):
            raise UsageError(
                f"cannot wrap {env_id!r} in {self.shown}: it gives no environment, but {type(wrapped).__name__}"
            )
        if isinstance(wrapped, gym.Wrapper) and "env" not in vars(wrapped):
            raise UsageError(
                f"cannot wrap {env_id!r} in {self.shown}: its __init__ does not call super().__init__(env)"
            )
        return wrapped


def find_wraps(texts: Sequence[str], imports: Sequence[str]) -> tuple[Wrap, ...]:
    """Look up wrappers by their texts, the innermost first.

    Args:
        texts: as a recipe has them.
        imports: the files and modules that the user named: no other code is run.

    Raises:
        UsageError: no such wrapper, one that takes other arguments, or one in a file that was not named.
    """
    named = {parse(text).where for text in imports}
    wraps = []
    for text in texts:
        one = parse_wrapper(text)
        shown = f"wrapper {shown_ref(str(one.code))}"
        if one.is_own and one.code.where not in named:
            say = shlex.join(code_words(None, [one.code.where]))
            raise UsageError(f"{shown} is code of your own. If you trust it, say so: {say}")
        wrap = Wrap(text, one.code, _class(one.code, shown), one.kwargs)
        _check_arguments(wrap, shown)
        wraps.append(wrap)
    return tuple(wraps)


def lasting(wraps: Sequence[Wrap]) -> list[str]:
    """What to say of wrappers whose state goes on from episode to episode."""
    return [
        f"{wrap.shown} goes on with its statistics from episode to episode. No checkpoint holds them, and evaluations "
        "have their own: a resume is not exact, and greedy scores are of other observations than those learned from. "
        "With --set fresh_envs=true neither is so."
        for wrap in wraps
        if issubclass(wrap.cls, _LASTING)
    ]


def pays_as_told(env: gym.Env[Any, Any]) -> bool:
    """Whether the rewards of an environment are its own, and no wrapper's: a threshold that is known is theirs."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, (gym.RewardWrapper, NormalizeReward)):
            return False
        env = env.env
    return True


def _class(code: Ref, shown: str) -> type[_Any]:
    module = user_files.load(code.where, shown)
    try:
        cls: Any = getattr(module, code.name, None)  # Gymnasium's may import another package
    except ImportError as e:
        raise UsageError(f"{shown} needs a package that is not installed: {e}") from e
    if _is_wrapper(cls):
        if why := _refused(cls):
            raise UsageError(f"{shown} is none to train with: {why}.")
        return cls
    if cls is None:
        known = [name for name, one in vars(module).items() if _offers(code, module, one)]
        close = difflib.get_close_matches(code.name, known, 1)
        hint = f"Did you mean {close[0]}?" if close else f"Wrappers in it: {', '.join(known) or 'none'}."
        raise UsageError(f"{shown}: {shown_ref(code.where)} has no {code.name}. {hint}")
    if isinstance(cls, type) and issubclass(cls, gym.vector.VectorWrapper):
        raise UsageError(f"{shown} wraps vectors of environments; rlbench wraps each environment by itself.")
    what = "class" if isinstance(cls, type) else type(cls).__name__
    raise UsageError(f"{shown} is a {what} that is no gymnasium.Wrapper.")


def _is_wrapper(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, gym.Wrapper) and cls is not gym.Wrapper


def _refused(cls: type) -> str | None:
    """Why a wrapper of Gymnasium's cannot be used."""
    return _REFUSED.get(cls.__name__) if cls.__module__.startswith(f"{GYMNASIUM}.") else None


def _offers(code: Ref, module: ModuleType, cls: Any) -> bool:
    """Whether a class is a wrapper to offer: of a user's own file, one that was written there."""
    return _is_wrapper(cls) and not _refused(cls) and (code.where == GYMNASIUM or cls.__module__ == module.__name__)


def _check_arguments(wrap: Wrap, shown: str) -> None:
    """Raises UsageError where the class takes other arguments by name than it is given."""
    try:
        takes = list(inspect.signature(wrap.cls).parameters.values())[1:]
    except (TypeError, ValueError):
        return
    named = {one.name: one for one in takes if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    known = "It takes " + (", ".join(named) or "no arguments") + "."
    if not any(one.kind is one.VAR_KEYWORD for one in takes):
        for name in wrap.kwargs.keys() - named.keys():
            close = difflib.get_close_matches(name, named, 1)
            raise UsageError(f"{shown} takes no {name!r}. " + (f"Did you mean {close[0]}?" if close else known))
    for name, one in named.items():
        if one.default is one.empty and name not in wrap.kwargs:
            raise UsageError(f"{shown} needs {name}: '{shown_ref(str(wrap.code))}({name}=...)'. {known}")
