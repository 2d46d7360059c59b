"""Imports files and modules of a user's own: files by their path, under names that shadow and clash with nothing.

``a/env.py`` and ``b/env.py`` are two modules, and ``random.py`` is not Python's. Their names lie in this module, which
works as a package: a child process that unpickles something of theirs, as an environment's own workers do, finds them.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import UsageError
from ..process.places import absolute, home, shown
from ..process.settings import Restoring
from .commands import ref as shown_ref
from .refs import HANDED, confirmed, digest, parse

__path__: list[str] = []  # what makes importlib look for modules in here
_KNOWN = "RLBENCH_USER_FILES"  # environment variable: JSON, name -> path, which child processes inherit
_digests: dict[str, str | None] = {}  # name -> of the content that was imported
PATIENCE = 10.0  # seconds of an import after which it is told of
_beside: list[str] = []  # folders of files that were imported, on sys.path for what lies beside them


def module_name(path: str | Path) -> str:
    """The name that a file is imported under: of its stem, for the reader, and of where it really lies."""
    real = absolute(path).resolve()
    stem = re.sub(r"\W", "_", real.stem)
    return f"{__name__}.{stem}_{hashlib.sha256(os.fsencode(real)).hexdigest()[:10]}"


def module_names(where: str) -> tuple[str, ...]:
    """The names under which the code of a file or module runs."""
    if not where.endswith(".py"):
        return (where,)
    name = module_name(where)
    return name, getattr(sys.modules.get(name), "__name__", name)


def load(where: str, option: str) -> ModuleType:
    """Import a file or module; a file anew if its content has changed since.

    Args:
        where: file.py or package.module.
        option: what the user typed, for the message, such as "--import my_env.py".

    Raises:
        UsageError: there is none, or it fails on import; one line.
    """
    return _load_file(where, option) if where.endswith(".py") else _load_module(where, option)


def file_of(where: str) -> Path | None:
    """The file of code that was imported: of a path itself, of a module what Python says."""
    if where.endswith(".py"):
        return absolute(where)
    file = getattr(sys.modules.get(where), "__file__", None)
    return Path(file) if file else None


def facts(refs: Sequence[str]) -> dict[str, dict[str, str]]:
    """For the record: file and digest of its content, of each of ``refs`` that has been imported and has a file."""
    found = {}
    for text in refs:
        file = file_of(parse(text).where.removesuffix(f".{HANDED}"))
        if file is not None and (content := digest(file)):
            found[text] = {"file": str(file), "sha256": content}
    return found


def changes(about: Mapping[str, Any], folder: Path, refs: Sequence[str]) -> list[str]:
    """Notes about code whose content is not what it was when the run in ``folder`` began.

    Args:
        about: what its run.json holds; where that has no record of code, as of older versions, there are no notes.
        folder: the run folder.
        refs: the code that the run is opened with; it has been imported.
    """
    return [f"{one} has changed since the run in {shown(folder)} began with it." for one in changed(about, refs)]


def changed(about: Mapping[str, Any], refs: Sequence[str]) -> list[str]:
    """The files and modules among ``refs`` whose content is not what ``about["code"]`` recorded by `facts`."""
    try:
        recorded = {str(text): str(one["sha256"]) for text, one in about["code"].items()}
    except (KeyError, TypeError, AttributeError):
        return []
    found = []
    for text, now in facts(refs).items():
        was = [content for old, content in recorded.items() if not confirmed([old], [text]).missing]
        if was and now["sha256"] not in was:
            found.append(shown_ref(parse(text).where))
    return list(dict.fromkeys(found))


def _load_file(where: str, option: str) -> ModuleType:
    path, name = absolute(where), module_name(where)
    if not path.is_file():
        why = "; it is a folder" if path.is_dir() else ""
        why = "; the shell has left ~ as it is: write $HOME" if "~" in path.parts else why
        raise UsageError(f"{option}: there is no file {shown_ref(str(path))}{why}.")
    content = digest(path)
    if name in sys.modules and _digests.get(name) == content:
        return sys.modules[name]
    _announce(name, path)
    with _looking_beside(str(path.resolve().parent)):
        module = _imported_already(path) if name not in _digests else None
        module = module or _run(name, path, option)
    _digests[name] = content
    return module


def _run(name: str, path: Path, option: str) -> ModuleType:
    """Execute a file as the module ``name``, and as that of its stem where this means no other one."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the path ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    names = [name, path.stem] if _found_as(path.stem) == path.resolve() else [name]
    sys.modules.update(dict.fromkeys(names, module))  # pydantic looks annotations up there, and files beside it
    try:
        with Restoring(), _failing(option, shown_ref(str(path))), _waiting(shown_ref(str(path))):
            spec.loader.exec_module(module)
    except BaseException:
        for each in names:
            sys.modules.pop(each, None)
        raise
    return module


def _found_as(stem: str) -> Path | None:
    """The file that ``import STEM`` would take."""
    try:
        spec = importlib.util.find_spec(stem) if stem.isidentifier() else None
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin).resolve() if spec and spec.origin and spec.has_location else None


def _imported_already(path: Path) -> ModuleType | None:
    """The module of a file that the program imported itself by its stem."""
    module = sys.modules.get(path.stem)
    file = getattr(module, "__file__", None)
    if module is None or not file or Path(file).resolve() != path.resolve():
        return None
    sys.modules[module_name(path)] = module
    return module


def _load_module(where: str, option: str) -> ModuleType:
    top = where.partition(".")[0]
    if top in sys.stdlib_module_names and (home() / f"{where}.py").is_file():
        raise UsageError(f"{option}: {where} is a module of Python's own. For the file here, say {where}.py.")
    if not re.fullmatch(r"\w+(\.\w+)*", where):
        file = f" There is a file {where}.py here." if absolute(f"{where}.py").is_file() else ""
        raise UsageError(f"{option}: {where!r} is no module, as package.module, and no file, which ends in .py.{file}")
    if sys.modules.get(where) is not None:  # of a sweep's cells each asks for its agent
        return importlib.import_module(where)
    with Restoring(), _looking_beside(str(home())), _failing(option, where), _waiting(where):
        return importlib.import_module(where)


@contextlib.contextmanager
def _waiting(what: str) -> Iterator[None]:
    """Context in which an import that takes long is told of: of a script that trains by it one thinks that we hang."""
    note = (
        f"note: {what} is still being imported, after {PATIENCE:g}s: what stands outside of its functions and classes "
        'runs now, but for what is below `if __name__ == "__main__":`. Ctrl-C ends it.'
    )
    there = sys.stderr
    timer = threading.Timer(PATIENCE, lambda: print(note, file=there, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # no thread is left, whoever forks


@contextlib.contextmanager
def _failing(option: str, what: str) -> Iterator[None]:
    """Context in which whatever an import raises becomes one line; a script may well end with sys.exit(main())."""
    try:
        yield
    except UsageError:
        raise
    except SyntaxError as e:
        line = f", line {e.lineno}" if e.lineno else ""
        raise UsageError(f"{option}: syntax error in {e.filename or what}{line}: {e.msg}.") from e
    except SystemExit as e:
        with_code = "" if e.code is None else f": {_one_line(str(e.code))}"
        raise UsageError(
            f"{option}: {what} raised SystemExit on import{with_code}. What ends a program belongs below: "
            'if __name__ == "__main__":'
        ) from e
    except ImportError as e:
        if what.endswith(".py"):
            raise UsageError(f"{option}: {what} raised {type(e).__name__} on import: {_one_line(str(e))}") from e
        raise UsageError(f"{option}: {_one_line(str(e))}. Is it installed in this environment, or misspelt?") from e
    except KeyboardInterrupt:
        raise
    except BaseException as e:
        line = f"{_line(e, what)}: {_one_line(str(e))}"
        raise UsageError(f"{option}: {what} raised {type(e).__name__} on import{line}") from e


def _line(e: BaseException, file: str) -> str:
    """Where in a user's file it came to an exception."""
    lines = [f.lineno for f in traceback.extract_tb(e.__traceback__) if f.filename == str(absolute(file))]
    return f", in line {lines[-1]}" if lines else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextlib.contextmanager
def _looking_beside(folder: str) -> Iterator[None]:
    """Context for an import: ``folder`` is searched after all that is installed, and before other users' folders.

    What lies in those under the name of a file of this one, as their ``helpers.py``, is out of sight meanwhile.
    """
    others = [place for place in _beside if place != folder]
    sys.path[:] = [place for place in sys.path if place not in others]
    if folder not in sys.path:
        sys.path.append(folder)
        _beside[:] = [folder, *others]
    sys.path.extend(others)
    known = list(sys.modules.items()) if others else []  # to look at them all takes milliseconds
    hidden = {n: m for n, m in known if "." not in n and _is_anothers(n, m, folder, others)}
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        for name, module in hidden.items():
            sys.modules.setdefault(name, module)


def _is_anothers(name: str, module: Any, folder: str, others: Sequence[str]) -> bool:
    """Whether a module lies in another user's folder, and this folder has one of its name."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or os.path.dirname(os.path.realpath(file)) not in others:
        return False
    return os.path.exists(os.path.join(folder, f"{name}.py")) or os.path.isdir(os.path.join(folder, name))


def _announce(name: str, path: Path) -> None:
    known = _announced()
    known[name] = str(path)
    os.environ[_KNOWN] = json.dumps(known)


def _announced() -> dict[str, str]:
    try:
        known = json.loads(os.environ.get(_KNOWN, "{}"))
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


class _Finder:
    """Finds in a child process the files that its parent had imported."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        known = _announced() if name.startswith(f"{__name__}.") else {}
        return importlib.util.spec_from_file_location(name, known[name]) if name in known else None


sys.meta_path.append(_Finder)
