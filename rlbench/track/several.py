"""Trackers around trackers: several at once, and one that may fail without harm."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import first_line
from .tracker import Note, Numbers, Tracker


class Several(Tracker):
    """Hands everything on to each of ``trackers``."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)

    def numbers(self, values: Numbers, env_steps: int) -> None:
        for tracker in self.trackers:
            tracker.numbers(values, env_steps)

    def histograms(self, values: Mapping[str, Mapping[int, np.ndarray]], env_steps: int) -> None:
        for tracker in self.trackers:
            tracker.histograms(values, env_steps)

    def video(self, path: Path, title: str, env_steps: int) -> None:
        for tracker in self.trackers:
            tracker.video(path, title, env_steps)

    def flush(self) -> None:
        for tracker in self.trackers:
            tracker.flush()

    def sizes(self) -> dict[str, int]:
        return {name: size for tracker in self.trackers for name, size in tracker.sizes().items()}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        for tracker in self.trackers:
            tracker.close(summary)


class Harmless(Tracker):
    """Hands everything on to a service that is not ours. Where that fails it says so, and tells it nothing more."""

    def __init__(self, name: str, tracker: Tracker, note: Note) -> None:
        self.name, self.tracker, self.note = name, tracker, note
        self._lost = False

    def numbers(self, values: Numbers, env_steps: int) -> None:
        self._try(lambda tracker: tracker.numbers(values, env_steps))

    def histograms(self, values: Mapping[str, Mapping[int, np.ndarray]], env_steps: int) -> None:
        self._try(lambda tracker: tracker.histograms(values, env_steps))

    def video(self, path: Path, title: str, env_steps: int) -> None:
        self._try(lambda tracker: tracker.video(path, title, env_steps))

    def flush(self) -> None:
        self._try(lambda tracker: tracker.flush())

    def sizes(self) -> dict[str, int]:
        self._try(lambda tracker: tracker.sizes())
        return {}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        self._try(lambda tracker: tracker.close(summary))

    def _try(self, tell: Callable[[Tracker], Any]) -> None:
        try:
            if not self._lost:
                tell(self.tracker)
        except Exception as e:
            self._lost = True
            self.note(f"{self.name} failed, and is told nothing more: {first_line(e)}. The run's own record goes on.")
