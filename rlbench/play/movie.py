"""Episodes as a film in the hands of a program or a notebook: a cell shows it by itself, and it can be saved.

The pictures come from `greedy` (a trained agent) or `recorded` (training, run again), and are kept without loss.
"""

import base64
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from html import escape
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from ..errors import UsageError
from ..files import exporting
from ..numbers import number
from ..recipe.registry import agent_code
from ..rollout.camera import frame_rate
from ..rollout.display import sdl_driver
from ..trained.load import Trained
from ..trained.recording import Chosen, Recording
from ..trained.rerun import Replayed, check, title
from ..units import duration
from . import video
from .greedy import HOLD, scenes
from .recorded import pictures

MOST = 200_000_000  # bytes of packed pictures; what comes after is left out
WIDEST = 480  # pixels, in a cell
LOWEST = 240  # pixels that a picture is shown wide in a cell, at least
WEBP_FPS = 20.0  # pictures a second of an animated picture, at most


class Movie:
    """A film. As the last line of a cell it is shown; elsewhere ``save`` writes it.

    Args:
        title: what it shows.
        frames: (H, W, 3) uint8 each, all of one size; at least one.
        fps: of them a second.

    Attributes:
        complete: whether all of it fitted into memory.
    """

    def __init__(self, title: str, frames: Iterable[np.ndarray], fps: float) -> None:
        self.title, self.fps, self.complete = title, fps, True
        self._packed: list[bytes] = []
        self.shape: tuple[int, ...] = ()
        size, before = 0, b""
        for frame in frames:
            raw = frame.tobytes()
            self.shape = self.shape or frame.shape
            if frame.shape != self.shape:
                break
            if raw != before:
                size += len(packed := zlib.compress(raw, 1))
            if size > MOST:
                self.complete = False
                break
            self._packed.append(packed)
            before = raw
        if not self._packed:
            raise ValueError("a film needs at least one picture")
        self._shown = ""

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return len(self) / self.fps

    def frames(self) -> Iterator[np.ndarray]:
        """Its pictures, (H, W, 3) uint8 each."""
        before, frame = b"", np.empty(0, np.uint8)
        for packed in self._packed:
            if packed is not before:
                frame = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(self.shape)
                before = packed
            yield frame

    def save(self, path: str | Path, *, speed: float = 1.0) -> Path:
        """Write it to a file, whole or not at all.

        Args:
            path: ends with .mp4, .gif or .webp. Its folder is made if need be; a file that is there is replaced.
            speed: 2 is twice as fast.

        Returns:
            ``path``.

        Raises:
            UsageError: another ending, or the extra for .mp4 is not installed.
            RunFolderError: the file cannot be written.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in (".mp4", ".gif", ".webp"):
            name = path.name or repr(str(path))
            raise UsageError(f"{name} is no name for a film, which ends with .mp4, .gif or .webp: save('film.mp4')")
        if ending == ".mp4" and not video.writes_mp4():
            raise UsageError("an .mp4 needs ffmpeg. Run: pip install 'rlbench[video]'. save('film.gif') works without.")
        if ending == ".webp":
            content = _webp(self.frames(), self.fps * speed)
            with exporting(path) as temporary, temporary.open("wb") as file:
                file.write(content)
        else:
            video.write_video(path, self.frames(), self.fps * speed, "save(PATH)")
        return path

    def __repr__(self) -> str:
        cut = "" if self.complete else ", cut: it grew too large"
        return f"<film: {self.title}, {duration(self.seconds, tenths=True)}{cut}; .save('film.mp4') writes it>"

    def _repr_html_(self) -> str:
        if not self._shown:
            self._shown = self._html()
        return self._shown

    def _html(self) -> str:
        small, wide = map(_small, self.frames()), min(self.shape[1], WIDEST)
        width, crisp = max(LOWEST, wide), "image-rendering:pixelated;" if wide < LOWEST else ""
        how = f'style="width:{width}px;max-width:100%;{crisp}border:1px solid #8884;border-radius:4px"'
        name = escape(self.title, quote=True)
        if video.writes_mp4():
            with TemporaryDirectory() as folder:
                content = video.write_video(Path(folder) / "film.mp4", small, self.fps).path.read_bytes()
            how = f'controls autoplay loop muted playsinline aria-label="{name}" {how}'
            shown = f'<video {how} src="{_uri(content, "video/mp4")}"></video>'
        else:
            shown = f'<img alt="{name}" {how} src="{_uri(_webp(small, self.fps), "image/webp")}">'
        cut = "" if self.complete else " (cut: it grew too large)"
        return f'<figure style="margin:4px 0">{shown}<figcaption>{escape(self.title)}{cut}</figcaption></figure>'


def movie_of(trained: Trained, episodes: int = 1) -> Movie:
    """Greedy episodes of one seed, those that an evaluation counts, one after the other.

    Raises:
        UsageError: several seeds, or an environment that makes no pictures.
    """
    if episodes < 1:
        raise UsageError(f"a film shows one episode or more, not {episodes}")
    fps, returns = frame_rate(trained.maker, 1.0), list[float]()

    def frames() -> Iterator[np.ndarray]:
        with closing(scenes(trained, episodes, film=True)) as source:
            for scene in source:
                assert scene.frame is not None
                yield scene.frame
                if scene.played:
                    returns.append(scene.played.episode_return)
                    yield from [scene.frame] * round(HOLD * fps)

    with sdl_driver("dummy"), agent_code(trained.recipe.agent):
        made = Movie("", frames(), fps)
    known = f"return {', '.join(map(number, returns))}" if returns else "its beginning"
    which = "a greedy episode" if episodes == 1 else f"{episodes} greedy episodes"
    made.title = f"{trained.recipe.env}, seed {trained.seeds[0]}, {which}: {known}"
    return made


def movie_of_training(recording: Recording, chosen: Sequence[Chosen]) -> Movie:
    """Episodes of training, run again, side by side.

    Raises:
        UsageError: an environment that makes no pictures, or too many episodes.
        EnvError: the environment raised, or did not repeat itself.
    """
    fps, replayed = frame_rate(recording.maker, 1.0), list[Replayed]()

    def frames() -> Iterator[np.ndarray]:
        with closing(pictures(recording, chosen, replayed.append)) as source:
            for last in source:
                yield last
        yield from [last] * round(HOLD * fps)

    with sdl_driver("dummy"):
        made = Movie("", frames(), fps)
    if made.complete:
        check(recording, replayed)
    names = "; ".join(f"{title(recording, entry)}, return {number(entry.episode_return)}" for entry, _ in chosen)
    made.title = f"{recording.recipe.env}, training, episode {names}"
    return made


def _small(frame: np.ndarray) -> np.ndarray:
    """The picture, no wider than a cell's."""
    if frame.shape[1] <= WIDEST:
        return frame
    size = (WIDEST, max(1, round(frame.shape[0] * WIDEST / frame.shape[1])))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def _webp(frames: Iterable[np.ndarray], fps: float) -> bytes:
    """An animated picture that repeats for ever, which every browser shows."""
    every = max(1, round(fps / WEBP_FPS))
    thinned = map(Image.fromarray, islice(frames, 0, None, every))
    first, file = next(thinned), io.BytesIO()
    rest = islice(thinned, video.MAX_GIF_PIXELS // (first.width * first.height))  # Pillow holds all of them
    how = {"duration": round(1000 * every / fps), "loop": 0, "quality": 70, "method": 0}
    first.save(file, "WEBP", save_all=True, append_images=rest, **how)
    return file.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
