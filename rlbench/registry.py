"""Finds agents: built in, by entry point, as ``package.module:Class`` or as ``file.py:Class``.

The last two run code that a name points to. They are honoured where the user typed them, never where a checkpoint or a
recipe says so: a file that we read must not be able to run code.
"""

import contextlib
import importlib
import importlib.util
import inspect
import sys
import traceback
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from .agent import Agent, AgentConfig
from .errors import AgentError, RlbenchError, UsageError, first_line
from .lift import Learner, lift

BUILT_IN = {"dqn": "rlbench.agents.dqn:DQN", "random": "rlbench.agents.random:Random"}
GROUP = "rlbench.agents"
_GIVEN: dict[str, type] = {}  # classes that a program handed over itself


class AgentEntry(NamedTuple):
    """An agent that was found: ``name`` is also the name of its table in a recipe, ``ref`` what the user typed."""

    name: str
    ref: str
    cls: type[Agent]


def runs_user_code(ref: str) -> bool:
    """Whether resolving ``ref`` would import code that is not installed under an agent's name."""
    return ":" in ref


def given_class(cls: type) -> str:
    """A reference to a class that is at hand, good for as long as this process lives."""
    ref = f"{cls.__module__}:{cls.__name__}"
    _GIVEN[ref] = cls
    return ref


def table_name(ref: str) -> str:
    """Name of the recipe table with this agent's hyper-parameters: the agent's name, or its class's."""
    return ref.rpartition(":")[2]


def agent_names() -> dict[str, str]:
    """Known agents: name -> where it comes from."""
    return {**{e.name: e.value for e in metadata.entry_points(group=GROUP)}, **BUILT_IN}


def find_agent(ref: str) -> AgentEntry:
    """Resolve an agent by name, ``package.module:Class`` or ``file.py:Class``.

    Raises:
        UsageError: there is no such agent, its code fails on import, or the class is no agent.
    """
    names = agent_names()
    if not runs_user_code(ref):
        if ref not in names:
            raise UsageError(
                f"unknown agent {ref!r}. Known: {', '.join(sorted(names))}; "
                "an agent of your own is file.py:Class or package.module:Class."
            )
        return AgentEntry(ref, ref, _agent_class(ref, names[ref]))
    return AgentEntry(table_name(ref), ref, _agent_class(ref, ref))


@contextlib.contextmanager
def agent_code(ref: str, but: type[Exception] = RlbenchError) -> Iterator[None]:
    """Context in which an exception out of the agent's own code becomes an AgentError that names its file and line.

    Exceptions of type ``but`` stay as they are, and so do those of our own agents, which are defects of ours.
    """
    try:
        yield
    except (RlbenchError, but):
        raise
    except Exception as e:
        ours = ref in BUILT_IN or (not runs_user_code(ref) and ref not in agent_names())
        module = "" if ours else agent_names().get(ref, ref).rpartition(":")[0]
        names = (module, _file_module(Path(module))) if module else ()
        frames = [f for f in traceback.walk_tb(e.__traceback__) if f[0].f_globals.get("__name__") in names]
        if not frames:
            raise
        frame, line = frames[-1]
        what = f"{type(e).__name__}: {first_line(e)}" if str(e) else type(e).__name__
        raise AgentError(
            f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}: {what}. "
            "RLBENCH_DEBUG=1 shows the whole traceback."
        ) from e


def _agent_class(ref: str, target: str) -> type[Agent]:
    where, _, name = target.rpartition(":")
    module = types.SimpleNamespace(**{name: _GIVEN[ref]}, __name__=where) if ref in _GIVEN else None
    module = module or _import_file(ref, Path(where)) if where.endswith(".py") else _import_module(ref, where)
    cls: Any = getattr(module, name, None)
    if cls is None:
        agents = [n for n, c in vars(module).items() if _is_agent(c) and c.__module__ == module.__name__]
        raise UsageError(f"--agent {ref}: {where} has no class {name!r}. Agents in it: {', '.join(agents) or 'none'}.")
    if not _is_agent(cls):
        raise UsageError(f"--agent {ref}: {name} must be a subclass of rlbench.Agent or rlbench.Learner.")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise UsageError(f"--agent {ref}: {name} does not define {missing}.")
    if not (inspect.isclass(cls.Config) and issubclass(cls.Config, AgentConfig)):
        raise UsageError(f"--agent {ref}: {name}.Config must be a subclass of rlbench.AgentConfig.")
    return lift(cls) if issubclass(cls, Learner) else cls


def _is_agent(cls: Any) -> bool:
    return inspect.isclass(cls) and issubclass(cls, (Agent, Learner)) and cls not in (Agent, Learner)


def _file_module(path: Path) -> str:
    """Name under which a file with an agent is imported."""
    return f"rlbench_agent_{path.stem}"


def _import_file(ref: str, path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"--agent {ref}: there is no file {path}.")
    name = _file_module(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if (folder := str(path.parent.resolve())) not in sys.path:
        sys.path.append(folder)  # for what lies beside it
    sys.modules[name] = module  # pydantic looks annotations up there
    try:
        spec.loader.exec_module(module)
    except BaseException as e:
        del sys.modules[name]
        if isinstance(e, SyntaxError):
            raise UsageError(f"--agent {ref}: syntax error in {e.filename or path}, line {e.lineno}: {e.msg}.") from e
        if isinstance(e, (Exception, SystemExit)):  # a script that ends with sys.exit(main())
            raise UsageError(f"--agent {ref}: {path} raised {type(e).__name__} on import: {e}") from e
        raise
    return module


def _import_module(ref: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise UsageError(f"--agent {ref}: {e}. Is the package installed in this environment?") from e
    except Exception as e:
        raise UsageError(f"--agent {ref}: {module} raised {type(e).__name__} on import: {e}") from e
