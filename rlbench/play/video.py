"""Writing pictures to a video file as they come: .mp4 through ffmpeg, .gif through Pillow.

It knows nothing of agents and environments, and never leaves half a file behind.
"""

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import EnvError, UsageError
from ..files import exporting

MAX_FPS = {".mp4": 60.0, ".gif": 20.0}  # browsers slow down a GIF whose pictures stand for less than 20 ms
MAX_GIF_PIXELS = 300_000_000  # Pillow holds all pictures of a GIF in memory, one byte a pixel; a minute at 600 x 400


class Written(NamedTuple):
    """What `write_video` wrote. ``complete`` is False where the limit of a GIF cut it short."""

    path: Path
    frames: int
    seconds: float
    complete: bool


def stride(path: str | Path, fps: float) -> int:
    """Every how many-th frame `write_video` keeps, so as to stay within what the format plays well.

    Raises:
        UsageError: neither .mp4 nor .gif.
    """
    return math.ceil(fps / MAX_FPS[_ending(Path(path))] - 1e-9)


def pace(path: str | Path, own: float, speed: float) -> float:
    """Frames a second at ``speed`` times the environment's ``own``.

    Infinity is the most that the format plays without leaving frames out, or ``own`` where that is more.

    Raises:
        UsageError: neither .mp4 nor .gif.
    """
    return max(own, MAX_FPS[_ending(Path(path))]) if math.isinf(speed) else own * speed


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float, option: str = "--video FILE") -> Written:
    """Write ``frames`` to ``path`` as they come; an .mp4 of any length takes no more memory than a few frames.

    Above 60 frames a second (.gif: 20) every n-th frame is kept, and the last one. A .gif is cut after 300 million
    pixels, which is a minute of 600 x 400.

    Args:
        path: ends with .mp4 or .gif. Its folder is made if need be; a file that is there is replaced.
        frames: (H, W, 3) uint8 each, all of one size. An odd size is padded by one pixel in an .mp4.
        fps: frames per second, as they come; more than 0.
        option: what names another place, for the message where nothing can be written to this one.

    Raises:
        UsageError: another ending, or the extra for .mp4 is not installed.
        RunFolderError: the file cannot be written.
        EnvError: the frames are of different sizes, or no pictures.
        ValueError: there are no frames.
    """
    path, every = Path(path), stride(path, fps)
    write = {".mp4": _write_mp4, ".gif": _write_gif}[_ending(path)]
    with exporting(path, option) as temporary:
        count, complete = write(temporary, _checked(_thinned(frames, every)), fps / every)
    return Written(path, count, count * every / fps, complete)


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in MAX_FPS:
        raise UsageError(f"{path} ends with {ending or 'nothing'}, and a video with .mp4 or .gif: --video out.mp4")
    return ending


def _thinned(frames: Iterable[np.ndarray], every: int) -> Iterator[np.ndarray]:
    """Frames 0, every, 2 * every, ... and the last one."""
    left_out = None
    for i, frame in enumerate(frames):
        left_out = None if i % every == 0 else frame
        if left_out is None:
            yield frame
    if left_out is not None:
        yield left_out


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise EnvError(f"a picture has shape {frame.shape} and type {frame.dtype}; a video needs (H, W, 3) uint8")
        if frame.shape != shape:
            raise EnvError(f"the pictures change their size, from {shape[:2]} to {frame.shape[:2]}; a video cannot")
        yield frame


def _first(frames: Iterator[np.ndarray]) -> np.ndarray:
    for frame in frames:
        return frame
    raise ValueError("a video needs at least one frame")


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: float) -> tuple[int, bool]:
    """H.264 in yuv420p, which everything plays; returns the number of frames, and that all were written."""
    ffmpeg = _ffmpeg()
    first = _first(frames)
    count = 1
    with closing(_encoder(ffmpeg, path, _even(first), fps)) as encoder:
        try:
            encoder.send(None)
            encoder.send(_even(first).tobytes())
            for frame in frames:
                encoder.send(_even(frame).tobytes())
                count += 1
        except OSError as e:  # its text is ffmpeg's whole command line
            raise OSError("ffmpeg stopped before the end (is the disk full?)") from e
    # ffmpeg's exit code is out of reach, and an .mp4 that was not finished cannot be read at all: read it.
    try:
        found = ffmpeg.count_frames_and_secs(str(path))[0]
    except RuntimeError:  # its text is all that ffmpeg prints
        found = 0
    if found != count:
        raise OSError("ffmpeg did not finish the file (is the disk full?)")
    return count, True


def writes_mp4() -> bool:
    """Whether ffmpeg is there."""
    try:
        _ffmpeg()
    except UsageError:
        return False
    return True


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except ImportError as e:
        raise UsageError(
            "an .mp4 needs ffmpeg. Run: pip install 'rlbench[video]'. A .gif works without: --video out.gif"
        ) from e
    except RuntimeError as e:
        raise UsageError(f"an .mp4 needs ffmpeg ({e}). A .gif works without: --video out.gif") from e
    return imageio_ffmpeg


def _encoder(ffmpeg: Any, path: Path, frame: np.ndarray, fps: float) -> Generator[None, bytes | None, None]:
    encoder: Generator[None, bytes | None, None] = ffmpeg.write_frames(
        str(path),
        (frame.shape[1], frame.shape[0]),
        fps=fps,
        quality=8,  # flat colours and thin lines: more would not be seen, less shows
        macro_block_size=1,  # H.264 pads by itself; anything else would rescale the picture
        ffmpeg_log_level="quiet",  # what goes wrong is said by us, in one line
        output_params=["-movflags", "+faststart", "-f", "mp4"],
    )
    return encoder


def _even(frame: np.ndarray) -> np.ndarray:
    """The frame with an even height and width, as yuv420p wants it: the last row and column are repeated."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return frame


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float) -> tuple[int, bool]:
    """A GIF that repeats for ever; returns the number of frames, and whether all were written."""
    from PIL import Image

    first = _first(frames)
    limit = max(1, MAX_GIF_PIXELS // (first.shape[0] * first.shape[1]))
    count = 0

    def image(frame: np.ndarray) -> Image.Image:
        # Colours of its own for every picture, exact where it has 256 or fewer; dithering would flicker.
        nonlocal count
        picture = Image.fromarray(frame).quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        # GIF counts in 10 ms. The rounded end of each frame, not its rounded length, keeps the whole in time.
        picture.info["duration"] = 10 * (round((count + 1) * 100 / fps) - round(count * 100 / fps))
        count += 1
        return picture

    rest = (image(frame) for frame in islice(frames, limit - 1))
    image(first).save(path, format="GIF", save_all=True, append_images=rest, loop=0)
    return count, next(frames, None) is None
