"""The flight recorder: seed and actions of every training episode, from which each can be run again.

``journal/K.bin`` in the run folder holds the episodes of seed K: a line of JSON that says what an action is, then one
record after the other, a fixed head and the actions. Records are appended and never changed; what a crash left of
one at the end of the file is no episode and is passed over.
"""

import collections
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from .errors import CheckpointError
from .spaces import ActionCodec
from .tables import worker_folders
from .vec import Episode

FOLDER = "journal"
FORMAT = 1
_HEAD = struct.Struct("<IIIIQdB")  # env, episode, reset_seed, length, env_steps, return, terminated
_SUM = struct.Struct("<I")  # CRC-32 of head and actions, after them
_FIRST_LINE = 10_000  # bytes; a longer one is no journal's


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
    place: tuple[Path, int]


class Journal:
    """Appends to the journal of a run.

    Args:
        folder: the run folder.
        seeds: the S seed numbers.
        codec: of the environment's actions.
    """

    def __init__(self, folder: Path, seeds: Sequence[int], codec: ActionCodec) -> None:
        self.folder, self.seeds = folder, list(seeds)
        self._dtype = action_dtype(codec)
        self._shape = () if codec.discrete else tuple(codec.shape)
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
        record = head + np.array(episode.actions, self._dtype).tobytes()
        self._waiting.setdefault(self.seeds[episode.seed], bytearray()).extend(record + _SUM.pack(zlib.crc32(record)))

    def flush(self) -> None:
        """Bring all records to the files.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        for seed in list(self._waiting):
            path = self.folder / FOLDER / f"{seed}.bin"
            path.parent.mkdir(exist_ok=True)
            first = b"" if path.exists() else self._first_line()
            with path.open("ab") as file:
                file.write(first + self._waiting[seed])
            del self._waiting[seed]

    def sizes(self) -> dict[str, int]:
        """Length of each file in bytes, after a flush: what a resumed run cuts them back to."""
        self.flush()
        return {f"{FOLDER}/{path.name}": path.stat().st_size for path in files(self.folder)}

    def _first_line(self) -> bytes:
        about = {"rlbench": "journal", "format": FORMAT, "dtype": self._dtype.str, "shape": list(self._shape)}
        return json.dumps(about).encode() + b"\n"


def action_dtype(codec: ActionCodec) -> np.dtype[Any]:
    """How an action is kept: a Discrete one in as few bytes as its range needs, a Box's as the space has it."""
    if not codec.discrete:
        return np.dtype(codec.dtype)
    last = codec.start + codec.n - 1
    for name in ("u1", "<i2", "<i4"):
        if np.iinfo(name).min <= codec.start and last <= np.iinfo(name).max:
            return np.dtype(name)
    return np.dtype("<i8")


def cut_back(folder: Path, sizes: dict[str, int]) -> None:
    """Bring a run's journal back to the lengths that `Journal.sizes` gave; files that it did not name were empty."""
    for path in files(folder):
        with path.open("r+b") as file:
            file.truncate(min(sizes.get(f"{FOLDER}/{path.name}", 0), path.stat().st_size))
        if not path.stat().st_size:
            path.unlink()


def files(folder: Path) -> list[Path]:
    """The journal's files under a run folder, those of its workers among them, in the order of their seeds."""
    places = [folder, *worker_folders(folder)]
    found = [path for place in places for path in (place / FOLDER).glob("*.bin") if path.stem.isdigit()]
    return sorted(found, key=lambda path: int(path.stem))


def entries(path: Path) -> Iterator[Entry]:
    """The episodes of one file, in the order in which they ended.

    Raises:
        CheckpointError: the file is damaged, or no journal.
    """
    data = path.read_bytes()
    dtype, shape, at = _about(path, data)
    width = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    while at + _HEAD.size <= len(data):
        env, episode, reset_seed, length, env_steps, total, terminated = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length * width
        if end + _SUM.size > len(data):
            return  # cut off while it was written
        if _SUM.unpack_from(data, end)[0] != zlib.crc32(data[at:end]):
            raise CheckpointError(f"{path} is damaged: the record at byte {at:,} does not match its checksum.")
        place = (path, at + _HEAD.size)
        yield Entry(int(path.stem), env, episode, reset_seed, length, env_steps, total, bool(terminated), place)
        at = end + _SUM.size


def actions(entry: Entry) -> list[Any]:
    """What the agent did in an episode, as the environment takes it."""
    path, at = entry.place
    with path.open("rb") as file:
        dtype, shape, _ = _about(path, file.readline(_FIRST_LINE))
        file.seek(at)
        data = file.read(entry.episode_length * dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
    taken = np.frombuffer(data, dtype).reshape(-1, *shape)
    return taken.tolist() if not shape and dtype.kind in "iu" else list(taken)


class Moment(NamedTuple):
    """One state of an episode that is run again."""

    step: int  # 0 after the reset
    episode_return: float  # so far
    terminated: bool


def replay(env: gym.Env[Any, Any], entry: Entry) -> Iterator[Moment]:
    """Run a recorded episode again in ``env``, state by state. Ends early where the environment does.

    An environment that is deterministic given its seed ends with the recorded length, return and termination.
    """
    env.reset(seed=entry.reset_seed)
    total, terminated = 0.0, False
    yield Moment(0, total, terminated)
    for step, action in enumerate(actions(entry), 1):
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        yield Moment(step, total, bool(terminated))
        if terminated or truncated:
            return


def agrees(env: gym.Env[Any, Any], entry: Entry) -> bool:
    """Whether a recorded episode, run again in ``env``, has the recorded length, return and termination."""
    (last,) = collections.deque(replay(env, entry), maxlen=1)
    return last == Moment(entry.episode_length, entry.episode_return, entry.terminated)


def _about(path: Path, data: bytes) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """dtype and shape of an action, and where the first line ends."""
    line, newline, _ = data[:_FIRST_LINE].partition(b"\n")
    try:
        about = json.loads(line)
        if about["rlbench"] != "journal":
            raise ValueError
        number, shape = about["format"], tuple(about["shape"])
        if number <= FORMAT:
            dtype = np.dtype(about["dtype"])
            if dtype.kind not in "iuf" or not newline or any(type(n) is not int or not 0 <= n < 2**20 for n in shape):
                raise ValueError
    except (ValueError, KeyError, TypeError) as e:
        raise CheckpointError(f"{path} is no journal, or its first line is damaged.") from e
    if number > FORMAT:
        raise CheckpointError(f"{path} has format {number}, this rlbench reads up to {FORMAT}. Upgrade rlbench.")
    return dtype, shape, len(line) + 1
