"""Finds agents: built in, by entry point, as ``package.module:Class`` or as ``file.py:Class``.

The last two run code that a name points to. They are honoured where the user typed them, never where a checkpoint or a
recipe says so: a file that we read must not be able to run code.
"""

import contextlib
import difflib
import functools
import inspect
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from ..agent import Agent, AgentConfig
from ..errors import AgentError, RlbenchError, UsageError, first_line
from ..learner import Learner, lift
from ..process.outputs import put_back
from ..process.places import absolute
from ..user_code import user_files
from ..user_code.commands import ref as shown_ref
from ..user_code.refs import HANDED, runs_user_code

BUILT_IN = {
    "dqn": "rlbench.agents.dqn:DQN",
    "ppo": "rlbench.agents.ppo:PPO",
    "pqn": "rlbench.agents.pqn:PQN",
    "q_learning": "rlbench.agents.q_learning:QLearning",
    "random": "rlbench.agents.random:Random",
    "sac": "rlbench.agents.sac:SAC",
    "reinforce": "rlbench.agents.reinforce:Reinforce",
    "sarsa": "rlbench.agents.sarsa:Sarsa",
}
GROUP = "rlbench.agents"
_GIVEN: dict[str, type] = {}  # classes that a program handed over itself


class AgentEntry(NamedTuple):
    """An agent that was found: ``name`` is also the name of its table in a recipe, ``ref`` what the user typed."""

    name: str
    ref: str
    cls: type[Agent]


def given_class(cls: type) -> str:
    """A reference to a class that is at hand: one that a command line can use where its code can be found by name."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if getattr(module, cls.__qualname__, None) is not cls:  # inside a function or a class
        where = f"{cls.__module__}.{HANDED}"
    elif cls.__module__ == "__main__" or cls.__module__.startswith(f"{user_files.__name__}."):
        where = str(Path(file).absolute()) if file and file.endswith(".py") else f"{cls.__module__}.{HANDED}"
    else:
        where = cls.__module__
    ref = f"{where}:{cls.__name__}"
    _GIVEN[ref] = cls
    return ref


def table_name(ref: str) -> str:
    """Name of the recipe table with this agent's hyper-parameters: the agent's name, or its class's."""
    return ref.rpartition(":")[2]


def agent_names() -> dict[str, str]:
    """Known agents: name -> where it comes from."""
    return {**_installed(tuple(sys.path)), **BUILT_IN}


@functools.cache
def _installed(path: tuple[str, ...]) -> dict[str, str]:
    """Agents of packages; to look through all that is installed takes a hundredth of a second."""
    return {e.name: e.value for e in metadata.entry_points(group=GROUP)}


def find_agent(ref: str) -> AgentEntry:
    """Resolve an agent by name, ``package.module:Class`` or ``file.py:Class``.

    Raises:
        UsageError: there is no such agent, its code fails on import, or the class is no agent.
    """
    names = agent_names()
    if not runs_user_code(ref):
        if ref not in names:
            raise UsageError(
                f"unknown agent {shown_ref(ref)!r}. Known: {', '.join(sorted(names))}; "
                f"an agent of your own is file.py:Class or package.module:Class.{_meant(ref, names)}"
            )
        return AgentEntry(ref, ref, _agent_class(ref, names[ref]))
    return AgentEntry(table_name(ref), ref, _agent_class(ref, ref))


def _meant(ref: str, names: Iterable[str]) -> str:
    """What a name that is none may stand for. No code is run."""
    for file in (ref, f"{ref}.py"):
        if file.endswith(".py") and absolute(file).is_file():
            return f" There is a file {file} here: say which class, {file}:CLASS."
    close = difflib.get_close_matches(ref.lower(), names, 1)
    return f" Did you mean {close[0]!r}?" if close else ""


@contextlib.contextmanager
def agent_code(ref: str, but: type[Exception] = RlbenchError) -> Iterator[None]:
    """Context in which an exception out of the agent's own code becomes an AgentError that names its file and line.

    Exceptions of type ``but`` stay as they are, and so do those of our own agents, which are defects of ours.
    """
    try:
        yield
    except (RlbenchError, but):
        raise
    except (Exception, SystemExit) as e:
        ours = ref in BUILT_IN or (not runs_user_code(ref) and ref not in agent_names())
        module = "" if ours else agent_names().get(ref, ref).rpartition(":")[0]
        names = user_files.module_names(module) if module else ()
        names += (_GIVEN[ref].__module__,) if ref in _GIVEN else ()
        found = blamed(e, names)
        if found is None:
            raise
        raise AgentError(f"{found}. RLBENCH_DEBUG=1 shows the whole traceback.") from e
    finally:
        put_back()


def blamed(e: BaseException, names: Sequence[str]) -> str | None:
    """What an exception was and where, in one line, if code of the modules ``names`` was under way; else None."""
    frames = [f for f in traceback.walk_tb(e.__traceback__) if f[0].f_globals.get("__name__") in names]
    what = f"{type(e).__name__}: {first_line(e)}" if str(e) else type(e).__name__
    if frames:
        frame, line = frames[-1]
        return f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}: {what}"
    if method := _uncallable(e, names):
        where = f"{method.__code__.co_filename}:{method.__code__.co_firstlineno}"
        return f"{where}: {what}{_as_called(method.__name__)}"
    return None


def _uncallable(e: BaseException, names: Sequence[str]) -> FunctionType | None:
    """The method of a class in the modules ``names`` which could not be called as it was: no frame of it exists."""
    said = re.match(r"((\w+)(?:\.\w+)*)\(\) ", str(e)) if isinstance(e, TypeError) else None
    found: Any = said and [sys.modules.get(name) for name in names]
    for step in said[1].split(".") if said else ():
        found = [part for each in found if (part := vars(each).get(step) if hasattr(each, "__dict__") else None)]
    methods = (f for f in found or () if isinstance(f, FunctionType) and f.__name__ != "__init__")
    return next(methods, None)


def _as_called(name: str) -> str:
    """How the interface calls the method ``name``, if it does."""
    method = getattr(Agent, name, None)
    if method is None:
        return ""
    asked = inspect.signature(method)
    bare = [p.replace(annotation=p.empty) for p in asked.parameters.values()]
    return f"; it is called as def {name}{asked.replace(parameters=bare, return_annotation=asked.empty)}"


def _agent_class(ref: str, target: str) -> type[Agent]:
    option = f"--agent {shown_ref(ref)}"
    cls: Any = _GIVEN.get(ref)
    if cls is None:
        where, _, name = target.rpartition(":")
        if where.endswith(HANDED):
            raise UsageError(
                f"{option}: the class {name} was handed over by a program, and no command can name it. Hand it over "
                f"again, as in rlbench.load(RUN, agent={name}), or put it into a file: --agent FILE.py:{name}"
            )
        module = user_files.load(where, option)
        cls = getattr(module, name, None)
        if cls is None:
            agents = [n for n, c in vars(module).items() if _is_agent(c) and c.__module__ == module.__name__]
            known = ", ".join(agents) or "none"
            what = f"has no class {name!r}" if name else "is named without a class"
            raise UsageError(f"{option}: {shown_ref(where)} {what}. Agents in it: {known}.")
    name = getattr(cls, "__name__", target.rpartition(":")[2])
    if not _is_agent(cls):
        raise UsageError(f"{option}: {name} must be a subclass of rlbench.Agent or rlbench.Learner.")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise UsageError(f"{option}: {name} does not define {missing}.")
    third = "rng" if issubclass(cls, Learner) else "streams"
    try:
        inspect.signature(cls).bind("spec", "config", third)
    except TypeError as e:
        raise UsageError(
            f"{option}: {name}(spec, config, {third}) is how {name} is built, and its __init__ does not take that: {e}."
        ) from e
    if not (inspect.isclass(cls.Config) and issubclass(cls.Config, AgentConfig)):
        raise UsageError(f"{option}: {name}.Config must be a subclass of rlbench.AgentConfig.")
    return lift(cls) if issubclass(cls, Learner) else cls


def _is_agent(cls: Any) -> bool:
    return inspect.isclass(cls) and issubclass(cls, (Agent, Learner)) and cls not in (Agent, Learner)
