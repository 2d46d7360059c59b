"""The run folder: CSV files and the journal are the record; trackers (TensorBoard and others) are views of it."""

import contextlib
import csv
import datetime
import errno
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..border.spaces import ActionCodec
from ..errors import RunFolderError
from ..process.places import home, shown
from ..recipe import Recipe
from ..recipe.registry import table_name
from ..rollout.env_batch import Episode
from ..runfolder.journal import Journal, cut_back
from ..runfolder.layout import TABLES, WORKERS, worker_folders
from ..track.tracker import Tracker
from ..user_code.commands import resume_of
from ..user_code.refs import code_of
from ..user_code.user_files import facts

EPISODES = ("seed", "env", "episode", "env_steps", "episode_return", "episode_length", "wall_seconds")
EVALUATIONS = (
    "seed", "env_steps", "episodes", "mean_return", "std_return", "min_return", "max_return", "mean_length",
    "wall_seconds",
)  # fmt: skip
LEFT = ("journal", "tb", "videos", "evaluation.json")  # besides the tables, of a run that ended too early
FLUSH_SECONDS = 1.0


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
        for name in (*TABLES, WORKERS, *LEFT):
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)
        (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
        about = {"code": facts(code_of(recipe.agent, recipe.imports)), **(more or {})}
        write_json(folder / "run.json", {**_run_facts(), **about})
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
    return RunFolderError(f"cannot write a run to {shown(folder)}: {e.strerror or e}. Choose another --out.")


def disk_error(e: OSError, folder: Path) -> Exception:
    """``e`` as what the user can mend, if it is about the disk or about this folder; else ``e`` itself."""
    ours = isinstance(e.filename, str | Path) and Path(e.filename).is_relative_to(folder)
    if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO) and not ours:
        return e
    room = "Make room, then go" if e.errno in (errno.ENOSPC, errno.EDQUOT) else "Go"
    return RunFolderError(
        f"cannot write to {shown(folder)}: {e.strerror}. {room} on from the last checkpoint with: {resume_of(folder)}"
    )


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Bring recipe.toml up to date, where a resumed run goes further than it was begun."""
    temporary = folder / ".recipe.toml.tmp"
    temporary.write_text(recipe.to_toml(), encoding="utf-8")
    os.replace(temporary, folder / "recipe.toml")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON in one piece: the old file or the new one, never half of either."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


class Recorder:
    """Appends to the CSV files and the journal of a run folder, and tells its tracker.

    Args:
        folder: the run folder.
        seeds: the S seed numbers.
        codec: of the environment's actions, for the journal.
        tracker: told the same numbers; cut back already, where the run is resumed.
        resume: sizes that `sizes` gave, to cut the files back to; None for a new run.
        seconds: wall seconds that the run took before it was resumed.
    """

    def __init__(
        self,
        folder: Path,
        seeds: list[int],
        codec: ActionCodec,
        *,
        tracker: Tracker | None = None,
        resume: dict[str, int] | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.folder, self.seeds, self.tracker = folder, seeds, tracker or Tracker()
        self._began = time.perf_counter() - seconds
        self._flushed = 0.0
        self._files: dict[str, TextIO] = {}
        self._writers: dict[str, Any] = {}
        self._metric_names: list[str] | None = None
        self.journal = Journal(folder, seeds, codec)
        try:
            if resume is not None:
                cut_back(folder, resume)
            for name in TABLES:
                self._open(name, None if resume is None else resume.get(name, 0))
        except OSError as e:
            raise RunFolderError(f"cannot write to {folder}: {e.strerror or e}.") from e
        for name, header in (("episodes.csv", EPISODES), ("evaluations.csv", EVALUATIONS)):
            if self._files[name].tell() == 0:
                self._writers[name].writerow(header)

    @property
    def wall_seconds(self) -> float:
        return time.perf_counter() - self._began

    def episode(self, episode: Episode, env_steps: int) -> None:
        """One finished training episode."""
        self.journal.add(episode, env_steps)
        self._writers["episodes.csv"].writerow(
            (
                self.seeds[episode.seed],
                episode.env,
                episode.episode,
                env_steps,
                f"{episode.episode_return:.10g}",
                episode.episode_length,
                f"{self.wall_seconds:.3f}",
            )
        )

    def evaluation(self, env_steps: int, returns: np.ndarray, lengths: np.ndarray) -> None:
        """A greedy evaluation; both (S, episodes), NaN where none was played."""
        means: dict[int, float] = {}
        for seed, all_returns, all_lengths in zip(self.seeds, returns, lengths, strict=True):
            r, n = all_returns[np.isfinite(all_returns)], all_lengths[np.isfinite(all_returns)]
            if not len(r):
                continue
            means[seed] = float(r.mean())
            numbers = (r.mean(), r.std(), r.min(), r.max(), n.mean())
            row = [seed, env_steps, len(r), *(f"{x:.10g}" for x in numbers), f"{self.wall_seconds:.3f}"]
            self._writers["evaluations.csv"].writerow(row)
        self.tracker.numbers({"evaluation/return": means}, env_steps)

    def progress(
        self,
        env_steps: int,
        updates: int,
        values: dict[str, list[float]],
        returns: np.ndarray,
        training: Sequence[int],
    ) -> None:
        """Now and then: named numbers of learning and the recent mean returns, each (S,), for seeds ``training``."""
        if values:
            if self._metric_names is None:
                self._metric_names = sorted(values)
                if self._files["updates.csv"].tell() == 0:
                    self._writers["updates.csv"].writerow(("seed", "env_steps", "updates", *self._metric_names))
            for s in training:
                row = (f"{values[name][s]:.6g}" if name in values else "" for name in self._metric_names)
                self._writers["updates.csv"].writerow((self.seeds[s], env_steps, updates, *row))
        told = {f"update/{name}": {self.seeds[s]: x[s] for s in training} for name, x in values.items()}
        told["training/return"] = {self.seeds[s]: float(returns[s]) for s in training if returns[s] == returns[s]}
        self.tracker.numbers(told, env_steps)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Bring all rows to the files, where that was more than a second ago: others read them meanwhile."""
        if time.perf_counter() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring all rows to the files."""
        try:
            for file in self._files.values():
                file.flush()
            self.journal.flush()
            self.tracker.flush()
        except OSError as e:
            raise disk_error(e, self.folder) from e
        self._flushed = time.perf_counter()

    def sizes(self) -> dict[str, int]:
        """Length of every file that grows, in bytes, after a flush: what a resumed run cuts them back to."""
        self.flush()
        tables = {name: (self.folder / name).stat().st_size for name in self._files}
        return {**tables, **self.journal.sizes(), **self.tracker.sizes()}

    def close(self, summary: dict[str, Any] | None = None) -> None:
        """The end; ``summary`` is what summary.json holds, None where the run failed."""
        told = functools.partial(self.tracker.close, summary)
        ends: list[Callable[[], Any]] = [self.journal.flush, *(file.close for file in self._files.values()), told]
        for close in ends:
            with contextlib.suppress(OSError):  # on a full disk; whatever counts was flushed, and complained, before
                close()

    def _open(self, name: str, size: int | None) -> None:
        path = self.folder / name
        if size is not None and path.exists():
            os.truncate(path, min(size, path.stat().st_size))
        file = path.open("a", newline="", encoding="utf-8")
        self._files[name], self._writers[name] = file, csv.writer(file, lineterminator="\n")
        if name == "updates.csv" and file.tell():
            with path.open(encoding="utf-8") as old:
                self._metric_names = old.readline().rstrip("\n").split(",")[3:]


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
