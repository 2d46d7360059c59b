"""Writes the tables of a run (episodes.csv, ...) and its journal while it trains, and tells its trackers.

The files are the record; trackers, TensorBoard and others, are views of it.
"""

import contextlib
import csv
import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..border.spaces import ActionCodec
from ..files import unwritable
from ..rollout.env_batch import Episode
from ..runfolder.create import disk_error
from ..runfolder.journal import Journal, cut_back
from ..runfolder.layout import DEBUG, TABLES
from ..runfolder.tables import COLUMNS
from ..track.tracker import Tracker

FLUSH_SECONDS = 1.0
CHUNK = 256  # episodes that wait to be written together
TORN = 4096  # bytes; far more than a line


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
        self._debug_names: list[str] | None = None
        self._waiting: list[tuple[Episode, int, float]] = []  # with env steps and wall seconds
        self.journal = Journal(folder, seeds, codec)
        try:
            if resume is not None:
                cut_back(folder, resume)
            for name in TABLES:
                self._open(name, None if resume is None else resume.get(name, 0))
            if (folder / DEBUG).exists():  # of a run that looked inside its agent before it was resumed
                self._open(DEBUG, (resume or {}).get(DEBUG, 0))
        except OSError as e:
            raise unwritable(folder, e) from e
        for name in ("episodes.csv", "evaluations.csv"):
            if self._files[name].tell() == 0:
                self._writers[name].writerow(COLUMNS[name])

    @property
    def wall_seconds(self) -> float:
        return time.perf_counter() - self._began

    def episode(self, episode: Episode, env_steps: int) -> None:
        """One finished training episode; it is on the disk after the next `flush`."""
        self._waiting.append((episode, env_steps, self.wall_seconds))
        if len(self._waiting) >= CHUNK:
            self._write_episodes()

    def _write_episodes(self) -> None:
        """Those that wait, one after the other: each by itself, between two steps of a run, takes twice as long."""
        waiting, self._waiting = self._waiting, []
        for episode, env_steps, _ in waiting:
            self.journal.add(episode, env_steps)
        self._writers["episodes.csv"].writerows(
            (
                self.seeds[episode.seed],
                episode.env,
                episode.episode,
                env_steps,
                f"{episode.episode_return:.10g}",
                episode.episode_length,
                f"{wall_seconds:.3f}",
            )
            for episode, env_steps, wall_seconds in waiting
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
                    self._writers["updates.csv"].writerow((*COLUMNS["updates.csv"], *self._metric_names))
            for s in training:
                row = (f"{values[name][s]:.6g}" if name in values else "" for name in self._metric_names)
                self._writers["updates.csv"].writerow((self.seeds[s], env_steps, updates, *row))
        by_seed = {f"update/{name}": {self.seeds[s]: x[s] for s in training} for name, x in values.items()}
        by_seed["training/return"] = {self.seeds[s]: float(returns[s]) for s in training if returns[s] == returns[s]}
        self.tracker.numbers(by_seed, env_steps)
        self.flush_if_due()

    def debug(self, env_steps: int, updates: int, values: dict[str, list[float]], training: Sequence[int]) -> None:
        """A look inside the agent: named numbers, each (S,), NaN where there is none, for seeds ``training``."""
        if DEBUG not in self._files:
            self._open(DEBUG, None)
        writer = self._writers[DEBUG]
        if self._debug_names is None:
            self._debug_names = list(values)
            writer.writerow((*COLUMNS[DEBUG], *values))
        for s in training:
            row = (_short(values[name][s]) if name in values else "" for name in self._debug_names)
            writer.writerow((self.seeds[s], env_steps, updates, *row))
        told = {f"debug/{name}": {self.seeds[s]: x[s] for s in training if x[s] == x[s]} for name, x in values.items()}
        self.tracker.numbers({name: known for name, known in told.items() if known}, env_steps)

    def flush_if_due(self) -> None:
        """Bring all rows to the files, where that was more than a second ago: others read them meanwhile."""
        if time.perf_counter() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring all rows to the files."""
        try:
            self._write_episodes()
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
        end_of_tracker = functools.partial(self.tracker.close, summary)
        ends: list[Callable[[], Any]] = [
            self._write_episodes,
            self.journal.flush,
            *(file.close for file in self._files.values()),
            end_of_tracker,
        ]
        for close in ends:
            with contextlib.suppress(OSError):  # on a full disk; whatever counts was flushed, and complained, before
                close()

    def _open(self, name: str, size: int | None) -> None:
        path = self.folder / name
        if size is not None and path.exists():
            os.truncate(path, min(size, path.stat().st_size))
        file = path.open("a+", newline="", encoding="utf-8")
        if size is not None:
            _cut_torn(file)
        self._files[name], self._writers[name] = file, csv.writer(file, lineterminator="\n")
        if file.tell() and name in ("updates.csv", DEBUG):  # rows have the columns of the file's own header
            file.seek(0)
            names = file.readline().rstrip("\n").split(",")[3:]
            file.seek(0, os.SEEK_END)
            if name == DEBUG:
                self._debug_names = names
            else:
                self._metric_names = names


def _short(x: float) -> str:
    return "" if x != x else f"{x:.6g}"


def _cut_torn(file: TextIO) -> None:
    """Cut a last line without its end, as of a file that was damaged: the next row would become a part of it."""
    raw: Any = file.buffer
    size = raw.seek(0, os.SEEK_END)
    raw.seek(max(size - TORN, 0))
    tail = raw.read()
    whole = tail.rfind(b"\n") + 1
    if whole < len(tail) and (whole or size <= TORN):
        raw.truncate(size - len(tail) + whole)
    file.seek(0, os.SEEK_END)
