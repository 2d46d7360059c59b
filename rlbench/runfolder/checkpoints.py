"""The checkpoints of a run folder: how often one is written, which ones stay, and the newest that is whole.

``checkpoint.pth`` and ``replay.pth`` are one step's, and so are the pairs in ``checkpoints/STEP/``, which are kept as
links to the same files: a damaged file is passed over for the pair before it. As resuming is exact, that costs time
and changes nothing.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import CheckpointError
from . import checkpoint_file

OLDER = "checkpoints"
NEXT_REPLAY = "replay.next.pth"  # while a checkpoint is being written
SAVE_SHARE = 0.02  # of the time, at most, goes into checkpoints; one that is due waits until it may cost so much


class Kept(NamedTuple):
    """What was found: the content of a checkpoint, its replay buffer's if it has one, and what the user should know."""

    content: dict[str, Any]
    replay: dict[str, Any] | None
    notes: list[str]
    mismatched: bool = False  # the buffer is of another step
    place: Path = Path()


class Keeper:
    """Writes the checkpoints of a run folder.

    Args:
        folder: the run folder.
        keep: how many steps' checkpoints stay, the newest included.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._step: int | None = None  # of the pair that lies there

    def found(self, kept: Kept) -> None:
        """Say what `newest` found. Where it passed over the newest files, they are not worth keeping."""
        self._step = kept.content["env_steps"] if kept.place == self.folder else None

    def save(self, content: dict[str, Any], replay: dict[str, Any] | None, best: dict[str, Any] | None) -> None:
        """Write checkpoint.pth, replay.pth and best.pth. At every instant there is a pair that fits and is whole.

        Raises:
            RunFolderError: the disk is full or the folder cannot be written; the files are those of before.
        """
        self._set_aside()
        files = [(self.folder / "checkpoint.pth", "checkpoint", content)]
        if replay is not None:  # the old one stays until the new checkpoint is there: one of the two fits
            whole = {"env_steps": content["env_steps"], "replay": replay}
            files.insert(0, (self.folder / NEXT_REPLAY, "replay", whole))
        if best is not None:
            files.append((self.folder / "best.pth", "checkpoint", best))
        checkpoint_file.save_together(files)
        if replay is not None:
            os.replace(self.folder / NEXT_REPLAY, self.folder / "replay.pth")
        self._step = content["env_steps"]
        for place in older(self.folder)[max(0, self.keep - 1) :]:
            shutil.rmtree(place, ignore_errors=True)

    def _set_aside(self) -> None:
        """Link the pair that lies there to a folder of its own."""
        if self.keep < 2 or self._step is None:
            return
        place = self.folder / OLDER / str(self._step)
        if place.exists():
            return
        temporary = place.with_name(f".{place.name}.tmp")
        with contextlib.suppress(OSError):  # no room, or no links on this file system: the newest pair is what counts
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name in ("checkpoint.pth", "replay.pth"):
                if (self.folder / name).is_file():
                    os.link(self.folder / name, temporary / name)
            os.replace(temporary, place)


class Pace:
    """How often a checkpoint is written: as the recipe asks, but that the time for them stays a small share of all.

    Attributes:
        seconds: since the last checkpoint, or since `begin`.
    """

    def __init__(self) -> None:
        self._at = time.perf_counter()
        self._last = (0.0, 1)  # seconds that the last checkpoint took, and its env steps

    def begin(self) -> None:
        """Training starts."""
        self._at = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._at

    def due(self, minutes: float) -> bool:
        """Whether more than ``minutes`` have gone by since the last one; never for 0."""
        return self.seconds > 60 * minutes > 0

    def affords(self, env_steps: int) -> bool:
        """Whether a checkpoint now would take less than `SAVE_SHARE` of the time since the last one.

        It is judged by the last one, and by how much the replay buffer may have grown since.
        """
        seconds, then = self._last
        return seconds * env_steps / then < SAVE_SHARE * self.seconds

    @contextlib.contextmanager
    def saving(self, env_steps: int) -> Iterator[None]:
        """The time in which a checkpoint is written."""
        began = time.perf_counter()
        yield
        self._at = time.perf_counter()
        self._last = (self._at - began, max(1, env_steps))


def older(folder: Path) -> list[Path]:
    """The folders of the checkpoints before the newest, newest first."""
    places = (folder / OLDER).glob("*/") if (folder / OLDER).is_dir() else iter(())
    return sorted((p for p in places if p.name.isdigit()), key=lambda p: int(p.name), reverse=True)


def newest(folder: Path, *, wants_replay: bool = True) -> Kept:
    """The newest checkpoint of a run folder that is whole, with the replay buffer of its step.

    Args:
        folder: the run folder.
        wants_replay: whether a checkpoint is of use only with its replay buffer, if its agent has one.

    Raises:
        CheckpointError: there is none; says what is wrong with checkpoint.pth.
    """
    following = folder / NEXT_REPLAY
    problems: list[CheckpointError] = []
    unpaired: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for place in (folder, *older(folder)):
        try:
            content = checkpoint_file.load(place / "checkpoint.pth", "checkpoint")
        except CheckpointError as e:
            problems.append(e)
            continue
        if not wants_replay or not content.get("has_replay"):
            return Kept(content, None, _notes(problems, content), place=place)
        for path in (following, folder / "replay.pth") if place == folder else (place / "replay.pth",):
            if path == following and not path.is_file():
                continue
            try:
                replay = checkpoint_file.load(path, "replay")
            except CheckpointError as e:
                problems.append(e)
                continue
            if replay.get("env_steps") == content["env_steps"]:
                if path == following:  # the run ended before it could do so itself
                    os.replace(following, folder / "replay.pth")
                return Kept(content, replay["replay"], _notes(problems, content), place=place)
            unpaired.append((content, replay))
    for content, replay in unpaired[:1]:
        note = (
            f"replay.pth is of step {replay['env_steps']:,} and checkpoint.pth of step {content['env_steps']:,}: "
            "this resume is not exact."
        )
        return Kept(content, replay["replay"], [note], mismatched=True, place=folder)
    raise problems[0]


def _notes(problems: list[CheckpointError], content: dict[str, Any]) -> list[str]:
    if not problems:
        return []
    return [
        f"{problems[0]} Going on from the checkpoint before it, of step {content['env_steps']:,}: the steps since are "
        "trained again, with the same result."
    ]
