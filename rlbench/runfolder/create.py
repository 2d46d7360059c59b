"""A run folder is begun: where it lies, whether it is free, and what is known before the first step."""

import datetime
import errno
import importlib.metadata
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..errors import RunFolderError
from ..files import remove_leftovers, unwritable, write_json, write_text
from ..process.places import home, shown
from ..recipe import Recipe
from ..recipe.registry import table_name
from ..user_code.refs import code_of
from ..user_code.user_files import facts
from .layout import DEBUG, TABLES, WORKERS, worker_folders
from .reader import resume_of

LEFT = ("journal", "tb", "videos", "evaluation.json")  # besides the tables, of a run that ended too early


def free_folder(recipe: Recipe, out: str | Path | None, runs: Path = Path("runs")) -> Path:
    """The folder for a new run, which is there afterwards: ``out``, or runs/ENV/AGENT-DATE-TIME.

    Raises:
        RunFolderError: it cannot be written, or already holds a run.
    """
    if out is None:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        base = runs / recipe.env / f"{table_name(recipe.agent)}-{stamp}"
        folder, n = base, 2
        while folder.exists():
            folder, n = base.with_name(f"{base.name}-{n}"), n + 1
    else:
        folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _unwritable(folder, e) from e
    _check_free(folder)
    return folder


def new_folder(recipe: Recipe, folder: Path, more: dict[str, Any] | None = None) -> Path:
    """Begin a run in ``folder``, which is ours, or else made; ``more`` goes into run.json too.

    What a run left there that ended before its first checkpoint makes room, but for its dumps.

    Raises:
        RunFolderError: it cannot be written, or already holds a run.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_free(folder)
        remove_leftovers(folder)
        for name in (*TABLES, DEBUG, WORKERS, *LEFT):
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)
        write_recipe(folder, recipe)
        about = {"code": facts(code_of(recipe.agent, recipe.imports)), **(more or {})}
        write_json(folder / "run.json", {**_run_facts(), **about}, sync=True)
    except OSError as e:
        raise _unwritable(folder, e) from e
    return folder


def _check_free(folder: Path) -> None:
    """Refuse a folder with a run in it, unless that ended before there was anything to go on from."""
    kept = ("checkpoint.pth", "best.pth", "summary.json")
    held = any((place / name).exists() for place in (folder, *worker_folders(folder)) for name in kept)
    begun = [(folder / name).exists() for name in ("recipe.toml", "run.json")]
    if held or any(begun) != all(begun) or ((folder / "episodes.csv").exists() and not any(begun)):
        raise RunFolderError(
            f"{shown(folder)} already holds a run. Go on with it by `{resume_of(folder)}`, or choose another --out."
        )


def _unwritable(folder: Path, e: OSError) -> RunFolderError:
    return unwritable(shown(folder), e, "Give another place: --out DIR")


def disk_error(e: OSError, folder: Path) -> Exception:
    """``e`` as what the user can mend, if it is about the disk or about this folder; else ``e`` itself."""
    ours = isinstance(e.filename, str | Path) and Path(e.filename).is_relative_to(folder)
    if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO) and not ours:
        return e
    room = "Make room, then go" if e.errno in (errno.ENOSPC, errno.EDQUOT) else "Go"
    return unwritable(shown(folder), e, f"{room} on from the last checkpoint with: {resume_of(folder)}")


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write recipe.toml: of a run that begins, or that goes further than it was begun."""
    write_text(folder / "recipe.toml", recipe.to_toml(), sync=True)


def _run_facts() -> dict[str, Any]:
    """Versions, command, host and commit of this process."""
    versions = {}
    for package in ("rlbench", "torch", "gymnasium", "numpy"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed as a package"
    return {
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": sys.argv,
        "folder": str(home()),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Commit of the git checkout that the user works in, if it is one."""
    ask = ["git", "rev-parse", "HEAD"]
    try:
        out = subprocess.run(ask, cwd=home(), capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return out.stdout.strip() or None if out.returncode == 0 else None
