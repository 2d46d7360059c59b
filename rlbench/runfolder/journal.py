"""The journal, written and read: seed and actions of every training episode, from which each can be run again.

``journal/K.bin`` in the run folder holds the episodes of seed K: a line of JSON that says what an action is, then one
record after the other: a head of fixed size, its checksum, the actions, and a checksum of all. Records are appended and
never changed; what a crash left of one at the end of the file is no episode and is passed over.
"""

import contextlib
import json
import os
import re
import struct
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import gymnasium as gym
import numpy as np

from ..border.spaces import ActionCodec
from ..errors import CheckpointError
from ..process.places import shown
from ..rollout.env_batch import Episode
from .documents import unreadable
from .layout import worker_folders

FOLDER = "journal"
FORMAT = 1
_HEAD = struct.Struct("<IIIIQdB")  # env, episode, reset_seed, length, env_steps, return, terminated
_SUM = struct.Struct("<I")  # CRC-32, after the head and after the actions; it begins with the first line's
_FIRST_LINE = 10_000  # bytes; a longer one is no journal's
_BEGINNING = b'{"rlbench": "journal", '


class Moment(NamedTuple):
    """One state of an episode that is run again."""

    step: int  # 0 after the reset
    episode_return: float  # so far
    terminated: bool
    over: bool  # the episode's last state


class Entry(NamedTuple):
    """A recorded episode. ``env_steps`` is when it ended, per seed; ``place`` is where its actions stand."""

    seed: int
    env: int
    episode: int
    reset_seed: int
    episode_length: int
    env_steps: int
    episode_return: float
    terminated: bool
    place: tuple["JournalFile", int]

    @property
    def end(self) -> Moment:
        """The last state, as it was recorded."""
        return Moment(self.episode_length, self.episode_return, self.terminated, True)


class Journal:
    """Appends to the journal of a run.

    Args:
        folder: the run folder.
        seeds: the S seed numbers.
        codec: of the environment's actions.
    """

    def __init__(self, folder: Path, seeds: Sequence[int], codec: ActionCodec) -> None:
        self.folder, self.seeds = folder, list(seeds)
        self._dtype = codec.packed
        self._bytes = codec.discrete and self._dtype == np.uint8  # Python's own way is ten times as fast
        shape = () if codec.discrete else codec.shape
        about = {"rlbench": "journal", "format": FORMAT, "dtype": self._dtype.str, "shape": list(shape)}
        self._first_line = json.dumps(about).encode() + b"\n"
        self._first_sum = zlib.crc32(self._first_line)
        self._waiting: dict[int, bytearray] = {}  # by seed; files are opened to be written to only, there may be many

    def add(self, episode: Episode, env_steps: int) -> None:
        """One finished training episode; it is on the disk after the next `flush`."""
        head = _HEAD.pack(
            episode.env,
            episode.episode,
            episode.reset_seed,
            episode.episode_length,
            env_steps,
            episode.episode_return,
            episode.terminated,
        )
        taken = bytes(episode.actions) if self._bytes else np.array(episode.actions, self._dtype).tobytes()
        checked = zlib.crc32(head, self._first_sum)
        record = head + _SUM.pack(checked) + taken + _SUM.pack(zlib.crc32(taken, checked))
        self._waiting.setdefault(self.seeds[episode.seed], bytearray()).extend(record)

    def flush(self) -> None:
        """Bring all records to the files.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        for seed in list(self._waiting):
            path = self.folder / FOLDER / f"{seed}.bin"
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                first = b"" if file.tell() else self._first_line
                file.write(first + self._waiting[seed])
            del self._waiting[seed]

    def sizes(self) -> dict[str, int]:
        """Length of each file in bytes, after a flush: what a resumed run cuts them back to."""
        self.flush()
        return {f"{FOLDER}/{path.name}": path.stat().st_size for path in files(self.folder)}


def cut_back(folder: Path, sizes: dict[str, int]) -> None:
    """Bring a run's journal back to the lengths that `Journal.sizes` gave; files that it did not name were empty.

    A file that is shorter, since the machine lost power, ends with its last whole record.
    """
    for path in files(folder):
        size, found = sizes.get(f"{FOLDER}/{path.name}", 0), path.stat().st_size
        size = size if size <= found else _whole(path)
        os.truncate(path, size)
        if not size:
            path.unlink()


def files(folder: Path) -> list[Path]:
    """The journal's files under a run folder, those of its workers among them, in the order of their seeds."""
    places = [folder, *worker_folders(folder)]
    found = [path for place in places for path in (place / FOLDER).glob("*.bin") if path.stem.isdecimal()]
    return sorted(found, key=lambda path: int(path.stem))


class JournalFile:
    """One file of a journal, to read as often as need be: it is opened when that is asked for first, and stays open.

    Episodes come one by one, there may be millions. The file is closed once nobody holds one of them any more; whoever
    goes through many files closes those that were read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._finish: Callable[[], Any] = lambda: None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JournalFile) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def entries(self) -> Iterator[Entry]:
        """The episodes, in the order in which they ended.

        Raises:
            CheckpointError: the file is damaged, or no journal; where it is damaged, the episodes before came first.
        """
        return (entry for entry, _ in self.records())

    def actions(self, entry: Entry) -> list[Any]:
        """What the agent did in an episode, as the environment takes it."""
        file = self._opened()
        file.seek(0)
        dtype, shape, _ = _form(self.path, file)
        file.seek(entry.place[1])
        data = file.read(entry.episode_length * _width(dtype, shape))
        taken = np.frombuffer(data, dtype).reshape(entry.episode_length, *shape)
        return taken.tolist() if not shape and dtype.kind in "iu" else list(taken.copy())  # some write to what they get

    def records(self) -> Iterator[tuple[Entry, int]]:
        """The episodes, each with the byte where its record ends. Errors as of `entries`."""
        try:
            yield from self._records(self._opened())
        except OSError as e:
            raise CheckpointError(f"{unreadable(shown(self.path), e)}.") from e

    def close(self) -> None:
        """Give the file back; it is opened again when it is read again."""
        self._finish()
        self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self.path.open("rb")
            self._finish = weakref.finalize(self, self._file.close)
        return self._file

    def _records(self, file: BinaryIO) -> Iterator[tuple[Entry, int]]:
        seed, path = int(self.path.stem), self.path
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        if not _begun(file):
            return
        dtype, shape, checked = _form(path, file)
        width, at = _width(dtype, shape), file.tell()
        while size - at >= _HEAD.size + _SUM.size:
            file.seek(at)  # somebody else may have read meanwhile
            head = file.read(_HEAD.size)
            (head_sum,), checked_head = _SUM.unpack(file.read(_SUM.size)), zlib.crc32(head, checked)
            env, episode, reset_seed, length, env_steps, total, terminated = _HEAD.unpack(head)
            place = at + _HEAD.size + _SUM.size
            if head_sum == checked_head:
                if size - place < length * width + _SUM.size:
                    return  # cut off while it was written
                checked_all = zlib.crc32(file.read(length * width), checked_head)
            if head_sum != checked_head or _SUM.unpack(file.read(_SUM.size))[0] != checked_all:
                raise CheckpointError(
                    f"{shown(path)} is damaged: the record at byte {at:,} does not match its checksum."
                )
            at = file.tell()
            made = Entry(seed, env, episode, reset_seed, length, env_steps, total, bool(terminated), (self, place))
            yield made, at


def entries(path: Path) -> Iterator[Entry]:
    """`JournalFile.entries` of a file."""
    return JournalFile(path).entries()


def actions(entry: Entry) -> list[Any]:
    """What the agent did in an episode, as the environment takes it."""
    return entry.place[0].actions(entry)


def advice(fresh_envs: bool) -> str:
    """What may help where an episode does not come out as it did before; ends what is said of that."""
    return "" if fresh_envs else " If it keeps something over a reset, runs with --set fresh_envs=true are exact."


def earlier(folder: Path, seed: int, wanted: Mapping[int, int]) -> dict[int, list[Any]]:
    """What was done in episodes of a seed, by env; those that the journal does not have are left out.

    Args:
        folder: the run folder.
        seed: its number.
        wanted: env -> episode.
    """
    path, found = folder / FOLDER / f"{seed}.bin", dict[int, Entry]()
    with contextlib.suppress(CheckpointError):
        for entry in entries(path) if path.is_file() else ():  # one by one: there may be millions
            if wanted.get(entry.env) == entry.episode:
                found[entry.env] = entry
    return {env: actions(entry) for env, entry in found.items()}


def replay(env: gym.Env[Any, Any], entry: Entry) -> Iterator[Moment]:
    """Run a recorded episode again in ``env``, state by state. Ends early where the environment does.

    An environment that is deterministic given its seed comes to ``entry.end``.
    """
    env.reset(seed=entry.reset_seed)  # behind a `Border`: it gets copies, and gives a float and two bools
    taken, total = actions(entry), 0.0
    yield Moment(0, total, False, not taken)
    for step, action in enumerate(taken, 1):
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        over = terminated or truncated or step == len(taken)
        yield Moment(step, total, terminated, over)
        if over:
            return


def outcome(env: gym.Env[Any, Any], entry: Entry) -> Moment:
    """The last state of a recorded episode that is run again in ``env``."""
    return deque(replay(env, entry), maxlen=1)[0]


def difference(entry: Entry, found: Moment) -> str:
    """What sets an episode that was run again apart from the recorded one, or nothing."""
    return "" if found == entry.end else f"{_in_words(found)} where {_in_words(entry.end)} was recorded"


def _in_words(end: Moment) -> str:
    return f"return {end.episode_return!r} after {end.step:,} steps ({'terminated' if end.terminated else 'cut off'})"


def _whole(path: Path) -> int:
    """Length of a file up to the end of its last whole record; 0 where there is none."""
    ends = [0]
    with contextlib.suppress(CheckpointError):
        ends.extend(end for _, end in JournalFile(path).records())
    return ends[-1]


def _begun(file: BinaryIO) -> bool:
    """Whether the first line was written to its end; goes back to the beginning."""
    line = file.readline(_FIRST_LINE)
    file.seek(0)
    return line.endswith(b"\n") or not (_BEGINNING.startswith(line) or line.startswith(_BEGINNING))


def _form(path: Path, file: BinaryIO) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """dtype and shape of an action, and the checksum of the first line, behind which the file then stands."""
    line = file.readline(_FIRST_LINE)
    try:
        about = json.loads(line)
        if about["rlbench"] != "journal" or type(about["format"]) is not int:
            raise ValueError
        if about["format"] > FORMAT:
            number = about["format"]
            raise CheckpointError(
                f"{shown(path)} has format {number}, this rlbench reads up to {FORMAT}. Upgrade rlbench."
            )
        name, shape = about["dtype"], tuple(about["shape"])
        if not re.fullmatch(r"[|<>=][iufb]\d\d?", name) or any(type(n) is not int or not 0 <= n < 2**20 for n in shape):
            raise ValueError
        return np.dtype(name), shape, zlib.crc32(line)
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise CheckpointError(f"{shown(path)} is no journal, or its first line is damaged.") from e


def _width(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Bytes of an action."""
    return dtype.itemsize * int(np.prod(shape, dtype=np.int64))
