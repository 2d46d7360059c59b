"""Environments by name: `gymnasium.make` with errors that say what to do next, and a time limit where there is none."""

import contextlib
import copy
import shlex
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium import error
from gymnasium.envs.registration import EnvSpec, find_highest_version, get_env_id, parse_env_id

import rlbench.envs  # noqa: F401  (registers rlbench/...)

from ..errors import RlbenchError, UsageError, first_line
from ..process.settings import Restoring
from ..user_code import user_files
from ..user_code.commands import ref as shown_ref
from ..user_code.refs import Ref, is_env_class, parse, placed
from .blame import culprit, in_one_line
from .calls import Border
from .extras import Source, find
from .wrappers import Wrap, pays_as_told

NO_LIMIT = 1000  # steps after which an episode is cut where the environment itself sets no limit
_REGISTERED: dict[str, dict[str, EnvSpec]] = {}  # what files of users' own have registered, by the file's module name


class EnvMaker(NamedTuple):
    """A recipe's environment: call it for a new copy.

    ``limit`` is the number of steps after which `EnvBatch` truncates an episode, 0 where the environment's own time
    limit comes first. ``notes`` are sentences for the user. ``reward_threshold`` is Gymnasium's own, and None where a
    wrapper changes what is paid. ``extras`` is where the environment says what the agent wants besides observations.
    """

    env_id: str
    kwargs: dict[str, Any]
    limit: int
    notes: tuple[str, ...]
    reward_threshold: float | None
    anew: bool = False
    spec: EnvSpec | None = None  # as it was when the environment was looked up, whatever is registered later
    wraps: tuple[Wrap, ...] = ()  # around what Gymnasium makes, the innermost first
    time_limit: int | None = None  # steps after which an episode is cut at the latest, by whomever
    extras: tuple[Source, ...] = ()

    def __call__(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        kwargs = {**self.kwargs, **({"render_mode": render_mode} if render_mode else {})}
        made = (self.env_id, kwargs, self.spec, self.wraps)
        with Restoring() as kept:
            env = _Anew(*made) if self.anew else _make(*made)
        return Border(env, self.env_id, kept.folder)


class _Anew(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that is made again for every episode, so that none knows of those before it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(_make(*args))
        self._args, self._used = args, False

    def reset(self, **kwargs: Any) -> Any:
        if self._used:
            with contextlib.suppress(Exception, SystemExit):  # as `Border` has it
                self.env.close()
            self.env = _make(*self._args)
        self._used = True
        return self.env.reset(**kwargs)


def import_modules(modules: Iterable[str]) -> dict[str, EnvSpec]:
    """Import what registers environments: modules by name, also from the folder that the user stands in, or file.py.

    An environment's class that was never registered is ``file.py:Class`` or ``package.module:Class``; its name is
    ``Class`` then. Where two files register the same id, it is that of the one imported last.

    Returns:
        The classes that were named, ready for `env_maker`; Gymnasium knows nothing of them.

    Raises:
        UsageError: a module does not exist or fails on import, or holds no such class.
    """
    classes: dict[str, EnvSpec] = {}
    wanted = [parse(text) for text in modules]
    names = {user_files.module_name(ref.where) for ref in wanted if ref.is_file}
    for ref in wanted:
        option = f"--import {shown_ref(str(ref))}"
        module = _registering(ref.where, option, names) if ref.is_file else user_files.load(ref.where, option)
        if ref.name:
            classes[ref.name] = _class_spec(ref, module, option)
    return classes


def _registering(where: str, option: str, names: Collection[str]) -> ModuleType:
    """Import a file, and see to it that what it registers is what its names mean; of files that are in ``names``."""
    name = user_files.module_name(where)
    hidden = {i: gym.registry.pop(i) for i in _foreign(names, name) if i in gym.registry}
    known = set(gym.registry)
    try:
        module = user_files.load(where, option)
        new = {i: spec for i, spec in gym.registry.items() if i not in known}
        for spec in new.values():
            _by_path(spec, where, module)
        _REGISTERED[name] = new or _REGISTERED.get(name, {})
        gym.registry.update(_REGISTERED[name])
    finally:
        for i, spec in hidden.items():
            gym.registry.setdefault(i, spec)
    return module


def _foreign(names: Collection[str], name: str) -> list[str]:
    """Ids that files registered which are not in ``names``, and those of ``name`` itself, which may be run anew."""
    return [i for file, specs in _REGISTERED.items() if file not in names or file == name for i in specs]


def _by_path(spec: EnvSpec, where: str, module: ModuleType) -> None:
    """Let an entry point "env:MyEnv" of env.py mean this very file, and not the first one that is called so."""
    entry = spec.entry_point
    if isinstance(entry, str) and entry.partition(":")[0] == Path(where).stem:
        spec.entry_point = getattr(module, entry.partition(":")[2], entry)


def _class_spec(ref: Ref, module: ModuleType, option: str) -> EnvSpec:
    cls: Any = getattr(module, ref.name, None)
    if not (isinstance(cls, type) and issubclass(cls, gym.Env)):
        found = [n for n, c in vars(module).items() if _is_env(c) and c.__module__ == module.__name__]
        known = ", ".join(found) or "none"
        if ref.name in gym.registry:
            known = f"{known}. It registers {ref.name}: say {_say('--import', ref.where, '--env', ref.name)}"
        what = f"has no class {ref.name!r}" if cls is None else f"has a {ref.name!r} that is no gymnasium.Env"
        raise UsageError(f"{option}: {shown_ref(ref.where)} {what}. Environments in it: {known}.")
    make: Any = cls
    return EnvSpec(ref.name, entry_point=make, disable_env_checker=True)


def _is_env(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, gym.Env) and not issubclass(cls, gym.Wrapper)


def known_as(env: str, imports: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The name of an environment, and all there is to import for it, from what a user typed.

    Args:
        env: a Gymnasium id, with or without its version, or file.py:Class, or package.module:Class.
        imports: what else the user named.

    Raises:
        UsageError: ``env`` names a module with an id, as gymnasium.make takes it.
    """
    ref = parse(env)
    if is_env_class(env):
        code = placed(env)
        return ref.name, tuple(dict.fromkeys([*imports, code]))
    if (file := env.rstrip(":")).endswith(".py"):
        one, other = _say("--env", f"{file}:MyEnv"), _say("--import", file, "--env", "ID")
        raise UsageError(f"--env {env} is a file. Say which class: {one}, or {other}")
    if ":" in env:
        say = _say("--import", ref.where, "--env", ref.name)
        raise UsageError(f"{env!r} would import code by its name. Say: {say}")
    return (env if env in {parse(text).name for text in imports} else newest_version(env)), tuple(imports)


def _say(*words: str) -> str:
    """Words to type, with code as seen by the user, quoted for a shell."""
    return shlex.join(map(shown_ref, words))


def newest_version(env_id: str) -> str:
    """``env_id`` with its newest version, where it was given without one and is known: CartPole -> CartPole-v1."""
    try:
        namespace, name, version = parse_env_id(env_id)
        newest = find_highest_version(namespace, name) if version is None and env_id not in gym.registry else None
    except error.Error:
        return env_id
    return env_id if newest is None else get_env_id(namespace, name, newest)


def env_maker(
    env_id: str,
    kwargs: Mapping[str, Any] | None = None,
    max_episode_steps: int = 0,
    *,
    anew: bool = False,
    classes: Mapping[str, EnvSpec] | None = None,
    wraps: Sequence[Wrap] = (),
    wants: Collection[str] = (),
) -> EnvMaker:
    """Look up ``env_id`` and try one copy.

    Args:
        env_id: a Gymnasium id.
        kwargs: for the environment's constructor.
        max_episode_steps: cut episodes (truncation) after so many steps; 0 leaves it to the environment, or to a limit
            of 1000 where neither Gymnasium nor an attribute ``max_episode_steps`` of its own knows of one.
        anew: make every copy again for every episode.
        classes: what `import_modules` gave, which goes before Gymnasium's ids.
        wraps: wrappers to put around it, the innermost first.
        wants: what an agent wants to be told besides observations; the copy is reset, to see what it says.

    Raises:
        UsageError: no such environment, a missing dependency, arguments that it does not take, or a wrapper that does
            not fit; or it says something of a form that cannot be told.
    """
    kwargs = _own(kwargs or {})
    registered = (classes or {}).get(env_id) or gym.registry.get(env_id)
    maker = EnvMaker(env_id, kwargs, 0, (), None, anew, registered, tuple(wraps))
    env = maker()
    spec = env.spec
    try:
        extras = find(env, env_id, wants)
    finally:
        env.close()
    own = spec.max_episode_steps if spec else None
    notes = []
    limit = max_episode_steps
    if not limit and own is None:
        limit = _own_limit(env)
    if not limit and own is None:
        limit = NO_LIMIT
        notes.append(
            f"{env_id} sets no time limit: episodes are cut after {NO_LIMIT} steps (change it with max_episode_steps)."
        )
    threshold = spec.reward_threshold if spec and pays_as_told(env) else None
    cut_after = min(filter(None, (limit, *_limits(env))), default=None)
    return maker._replace(
        limit=limit, notes=tuple(notes), reward_threshold=threshold, time_limit=cut_after, extras=extras
    )


def _limits(env: gym.Env[Any, Any]) -> Iterator[int | None]:
    """The time limits of an environment and of all wrappers around it."""
    layer: Any = env
    while True:
        yield layer.spec.max_episode_steps if layer.spec else None
        if not isinstance(layer, gym.Wrapper):
            return
        layer = layer.env


def _own_limit(env: gym.Env[Any, Any]) -> int:
    """After how many steps an environment says that it cuts its episodes itself; 0: it does not say."""
    with contextlib.suppress(Exception):
        limit = env.unwrapped.max_episode_steps  # type: ignore[attr-defined]
        return limit if type(limit) is int and limit > 0 else 0
    return 0


_UNKNOWN = (error.UnregisteredEnv, error.NamespaceNotFound)


def check_registered(env_id: str) -> None:
    """See that Gymnasium knows ``env_id``; nothing is made.

    Raises:
        UsageError: it does not.
    """
    try:
        gym.spec(env_id)
    except _UNKNOWN as e:
        raise _unknown(env_id, e) from e
    except error.Error as e:
        raise UsageError(f"{env_id!r}: {e}") from e


def _unknown(env_id: str, e: Exception) -> UsageError:
    hint = "See `rlbench list envs`; for environments of another package add --import PACKAGE."
    return UsageError(f"unknown environment {env_id!r}: {str(e).rstrip('.')}. {hint}")


def _make(env_id: str, kwargs: dict[str, Any], spec: EnvSpec | None, wraps: Sequence[Wrap] = ()) -> gym.Env[Any, Any]:
    """One copy, in its wrappers."""
    env = _bare(env_id, kwargs, spec)
    for wrap in wraps:
        env = wrap.around(env, env_id)
    return env


def _bare(env_id: str, kwargs: dict[str, Any], spec: EnvSpec | None) -> gym.Env[Any, Any]:
    if ":" in env_id:
        known_as(env_id, ())  # says what to type instead
        raise UsageError(f"{env_id!r} would import code by its name. Say: {_say('--env', env_id)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Gymnasium's advice on versions is not the user's concern at every copy
            env = gym.make(spec or env_id, disable_env_checker=True, **_own(kwargs))
    except error.DependencyNotInstalled as e:
        raise UsageError(_missing(env_id, str(e))) from e
    except _UNKNOWN as e:
        raise _unknown(env_id, e) from e
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
        raise UsageError(f"cannot make {env_id!r}: its constructor failed: {in_one_line(e)}") from e
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
