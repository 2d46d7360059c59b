"""Environments by name: `gymnasium.make` with errors that say what to do next, and a time limit where there is none."""

import contextlib
import copy
import importlib
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium import error
from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id

from . import envs as _own_envs  # noqa: F401  (registers rlbench/...)
from .border import Border, culprit, told
from .errors import RlbenchError, UsageError, first_line
from .settings import Kept

NO_LIMIT = 1000  # steps after which an episode is cut where the environment itself sets no limit


class EnvMaker(NamedTuple):
    """A recipe's environment: call it for a new copy.

    ``limit`` is the number of steps after which `EnvBatch` truncates an episode, 0 where the environment's own time
    limit comes first. ``notes`` are sentences for the user. ``reward_threshold`` is Gymnasium's own.
    """

    env_id: str
    kwargs: dict[str, Any]
    limit: int
    notes: tuple[str, ...]
    reward_threshold: float | None
    anew: bool = False

    def __call__(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        kwargs = {**self.kwargs, **({"render_mode": render_mode} if render_mode else {})}
        with Kept() as kept:
            env = _Anew(self.env_id, kwargs) if self.anew else _make(self.env_id, kwargs)
        return Border(env, self.env_id, kept.folder)


class _Anew(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that is made again for every episode, so that none knows of those before it."""

    def __init__(self, env_id: str, kwargs: dict[str, Any]) -> None:
        super().__init__(_make(env_id, kwargs))
        self._args, self._used = (env_id, kwargs), False

    def reset(self, **kwargs: Any) -> Any:
        if self._used:
            with contextlib.suppress(Exception, SystemExit):  # as `Border` has it
                self.env.close()
            self.env = _make(*self._args)
        self._used = True
        return self.env.reset(**kwargs)


def import_modules(modules: Iterable[str]) -> None:
    """Import modules that register environments: by name, also from the current folder, or as file.py.

    Raises:
        UsageError: a module does not exist or fails on import.
    """
    for module in modules:
        path = Path(module)
        is_file = module.endswith(".py")
        folder = str(path.parent.resolve() if is_file else Path.cwd())
        if folder not in sys.path:
            sys.path.append(folder)
        try:
            importlib.import_module(path.stem if is_file else module)
        except ImportError as e:
            raise UsageError(f"--import {module}: {e}. Is it installed in this environment, or misspelt?") from e
        except Exception as e:
            raise UsageError(f"--import {module}: the module raised {type(e).__name__} on import: {e}") from e


def newest_version(env_id: str) -> str:
    """``env_id`` with its newest version, where it was given without one and is known: CartPole -> CartPole-v1."""
    try:
        namespace, name, version = parse_env_id(env_id)
        newest = find_highest_version(namespace, name) if version is None and env_id not in gym.registry else None
    except error.Error:
        return env_id
    return env_id if newest is None else get_env_id(namespace, name, newest)


def env_maker(
    env_id: str, kwargs: Mapping[str, Any] | None = None, max_episode_steps: int = 0, *, anew: bool = False
) -> EnvMaker:
    """Look up ``env_id`` and try one copy.

    Args:
        env_id: a Gymnasium id.
        kwargs: for the environment's constructor.
        max_episode_steps: cut episodes (truncation) after so many steps; 0 leaves it to the environment, or to a limit
            of 1000 where it has none.
        anew: make every copy again for every episode.

    Raises:
        UsageError: no such environment, a missing dependency, or arguments that it does not take.
    """
    kwargs = _own(kwargs or {})
    env = EnvMaker(env_id, kwargs, 0, (), None, anew)()
    spec = env.spec
    env.close()
    own = spec.max_episode_steps if spec else None
    notes = []
    limit = max_episode_steps
    if not limit and own is None:
        limit = NO_LIMIT
        notes.append(
            f"{env_id} sets no time limit: episodes are cut after {NO_LIMIT} steps (change it with max_episode_steps)."
        )
    return EnvMaker(env_id, kwargs, limit, tuple(notes), spec.reward_threshold if spec else None, anew)


def _make(env_id: str, kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    if ":" in env_id:
        module, _, rest = env_id.partition(":")
        raise UsageError(f"{env_id!r} would import code by its name. Say: --import {module} --env {rest}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Gymnasium's advice on versions is not the user's concern at every copy
            env = gym.make(env_id, disable_env_checker=True, **_own(kwargs))
    except error.DependencyNotInstalled as e:
        raise UsageError(_missing(env_id, str(e))) from e
    except (error.UnregisteredEnv, error.NamespaceNotFound) as e:
        hint = "See `rlbench list envs`; for environments of another package add --import PACKAGE."
        raise UsageError(f"unknown environment {env_id!r}: {str(e).rstrip('.')}. {hint}") from e
    except error.Error as e:
        raise UsageError(f"cannot make {env_id!r}: {e}") from e
    except ModuleNotFoundError as e:
        raise UsageError(_missing(env_id, str(e))) from e
    except (RlbenchError, KeyboardInterrupt):
        raise
    except BaseException as e:
        if isinstance(e, TypeError) and isinstance(e.__cause__, TypeError):
            e = e.__cause__  # Gymnasium tells it once more, with all arguments
        if isinstance(e, TypeError) and not culprit(e):  # it was never begun
            raise UsageError(f"cannot make {env_id!r} with env_kwargs {kwargs}: {first_line(e)}") from e
        raise UsageError(f"cannot make {env_id!r}: its constructor failed: {told(e)}") from e
    if not isinstance(env, gym.Env):
        raise UsageError(f"cannot make {env_id!r}: it is a {type(env).__name__}, which is no gymnasium.Env.")
    return env


def _own(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A copy to hand to a constructor, which may keep it and write to it."""
    try:
        return copy.deepcopy(dict(kwargs))
    except Exception:  # something that cannot be copied, given from Python
        return dict(kwargs)


def _missing(env_id: str, reason: str) -> str:
    lowered = reason.lower()
    if "box2d" in lowered:
        return f"{env_id!r} needs Box2D. Run: pip install 'rlbench[box2d]'"
    for word in ("mujoco", "atari", "ale"):
        if word in lowered:
            extra = "mujoco" if word == "mujoco" else "atari"
            return f"{env_id!r} needs a package that is not installed ({reason}). Run: pip install 'gymnasium[{extra}]'"
    return f"{env_id!r} needs a package that is not installed: {reason}"
