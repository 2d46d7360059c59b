"""Videos are read back: every frame that was handed in is there, at its time, and no half file stays behind."""

import math
import subprocess
import sys
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from rlbench.errors import EnvError, RunFolderError, UsageError
from rlbench.play import video
from rlbench.play.video import stride, write_video


def frame(i: int, height: int = 32, width: int = 48) -> np.ndarray:
    """A picture whose colour says which one it is."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = i * 5 % 256
    picture[:, width // 2 :, 1] = 255 - i * 5 % 256
    return picture


def read_mp4(path: Path) -> tuple[list[np.ndarray], dict]:
    """Pictures, and what imageio-ffmpeg says of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # its reader leaves its pipes open
        reader = imageio_ffmpeg.read_frames(str(path))
        meta = next(reader)
        width, height = meta["size"]
        frames = [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader]
        del reader
    return frames, meta


def read_gif(path: Path) -> list[tuple[np.ndarray, int]]:
    """Pictures with their time in ms."""
    with Image.open(path) as image:
        out = []
        for i in range(image.n_frames):
            image.seek(i)
            out.append((np.asarray(image.convert("RGB")), image.info["duration"]))
        assert image.info["loop"] == 0
    return out


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two pictures are the same but for what a lossy codec does."""
    return bool(np.abs(a.astype(int) - b).mean() < 4)


def test_mp4_has_every_frame_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.mp4"
    written = write_video(path, (frame(i) for i in range(40)), 25)
    assert (written.path, written.frames, written.complete) == (path, 40, True)
    assert written.seconds == pytest.approx(1.6)
    frames, meta = read_mp4(path)
    assert len(frames) == 40
    assert all(close(got, frame(i)) for i, got in enumerate(frames))
    assert not close(frames[0], frame(10))
    assert meta["fps"] == 25
    assert meta["size"] == (48, 32)
    assert meta["codec"] == "h264"
    assert "yuv420p" in meta["pix_fmt"]
    assert [p.name for p in path.parent.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(("height", "width"), [(33, 47), (33, 48), (32, 47), (1, 1)])
def test_mp4_of_odd_size_is_padded_and_not_rescaled(tmp_path: Path, height: int, width: int) -> None:
    write_video(tmp_path / "out.mp4", [frame(i, height, width) for i in range(3)], 10)
    frames, meta = read_mp4(tmp_path / "out.mp4")
    assert meta["size"] == (width + width % 2, height + height % 2)
    assert len(frames) == 3
    assert all(close(got[:height, :width], frame(i, height, width)) for i, got in enumerate(frames))


def test_mp4_does_not_hold_its_frames(tmp_path: Path) -> None:
    seen: list[weakref.ref] = []
    alive = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal alive
        for i in range(200):
            alive = max(alive, sum(ref() is not None for ref in seen))
            picture = frame(i)
            seen.append(weakref.ref(picture))
            yield picture

    write_video(tmp_path / "out.mp4", frames(), 30)
    assert 1 <= alive <= 4


def test_a_name_with_a_colon_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video("seed:3.mp4", [frame(0)], 10)
    assert len(read_mp4(tmp_path / "seed:3.mp4")[0]) == 1


def test_gif_has_every_frame_exactly_at_its_time(tmp_path: Path) -> None:
    written = write_video(tmp_path / "out.GIF", (frame(i) for i in range(30)), 15)
    assert (written.frames, written.complete) == (30, True)
    shown = read_gif(tmp_path / "out.GIF")
    assert len(shown) == 30
    assert all(np.array_equal(got, frame(i)) for i, (got, _) in enumerate(shown))
    assert {time for _, time in shown} == {60, 70}  # 66.7 ms, which a GIF cannot say
    assert sum(time for _, time in shown) == 2000


def test_gif_of_many_colours_stays_close(tmp_path: Path) -> None:
    x = np.linspace(0, 255, 96).astype(np.uint8)
    smooth = np.stack(np.broadcast_arrays(x[:, None], x[None, :], np.uint8(90)), 2)
    write_video(tmp_path / "out.gif", [smooth, 255 - smooth], 4)
    (first, _), (second, _) = read_gif(tmp_path / "out.gif")
    assert np.abs(first.astype(int) - smooth).mean() < 6
    assert np.abs(second.astype(int) - (255 - smooth)).mean() < 6


def test_equal_frames_keep_their_time_in_a_gif(tmp_path: Path) -> None:
    write_video(tmp_path / "out.gif", [frame(0), frame(1), frame(1), frame(1)], 10)
    assert [time for _, time in read_gif(tmp_path / "out.gif")] == [100, 300]


@pytest.mark.parametrize(
    ("name", "fps", "every"),
    [("a.gif", 20, 1), ("a.gif", 21, 2), ("a.gif", 50, 3), ("a.mp4", 60, 1), ("a.mp4", 100, 2)],
)
def test_stride(name: str, fps: float, every: int) -> None:
    assert stride(name, fps) == every


@pytest.mark.parametrize(
    ("name", "own", "speed", "fps"),
    [("a.gif", 12, 1, 12), ("a.gif", 12, 0.5, 6), ("a.gif", 12, math.inf, 20), ("a.gif", 50, math.inf, 50),
     ("a.mp4", 12, math.inf, 60), ("a.mp4", 12, 3, 36)],
)  # fmt: skip
def test_pace(name: str, own: float, speed: float, fps: float) -> None:
    assert video.pace(name, own, speed) == fps
    with pytest.raises(UsageError, match=r"\.mp4 or \.gif"):
        video.pace("a.avi", own, math.inf)


@pytest.mark.parametrize("count", [10, 11, 12])
def test_a_fast_video_is_thinned_and_keeps_its_first_and_last_frame(tmp_path: Path, count: int) -> None:
    written = write_video(tmp_path / "out.gif", (frame(i) for i in range(count)), 50)
    kept = [*range(0, count, 3)] + [count - 1] * ((count - 1) % 3 > 0)
    shown = read_gif(tmp_path / "out.gif")
    assert written.frames == len(shown) == len(kept)
    assert all(np.array_equal(got, frame(i)) for i, (got, _) in zip(kept, shown, strict=True))
    assert sum(time for _, time in shown) == round(len(kept) * 6) * 10


def test_a_gif_is_cut_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MAX_GIF_PIXELS", 5 * 32 * 48)
    for count, complete in ((5, True), (6, False), (100, False)):
        frames = iter([frame(i) for i in range(count)])
        written = write_video(tmp_path / "out.gif", frames, 10)
        assert (written.frames, written.complete) == (5, complete)
        assert len(read_gif(tmp_path / "out.gif")) == 5
        assert len(list(frames)) == max(0, count - 6)  # what is left is the caller's


@pytest.mark.parametrize("name", ["out.avi", "out", "out.mp4.txt"])
def test_another_ending(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.mp4 or \.gif"):
        write_video(tmp_path / name, [frame(0)], 10)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UsageError, match=r"pip install 'rlbench\[video\]'.*\.gif works without"):
        write_video(tmp_path / "out.mp4", [frame(0)], 10)
    assert list(tmp_path.iterdir()) == []
    write_video(tmp_path / "out.gif", [frame(0)], 10)


@pytest.mark.parametrize("name", ["file/out.mp4", "folder.mp4", "file/out.gif", "folder.gif"])
def test_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(RunFolderError, match="cannot write") as caught:
        write_video(tmp_path / name, [frame(0)], 10)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.gif", "folder.mp4"]


@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield frame(0)
        raise KeyError("the environment broke")

    (tmp_path / name).write_text("the old one")
    with pytest.raises(KeyError):
        write_video(tmp_path / name, frames(), 10)
    with pytest.raises(EnvError, match="change their size"):
        write_video(tmp_path / name, [frame(0), frame(1, 40, 40)], 10)
    with pytest.raises(EnvError, match="uint8"):
        write_video(tmp_path / name, [frame(0).astype(float)], 10)
    with pytest.raises(ValueError, match="at least one"):
        write_video(tmp_path / name, [], 10)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "the old one")]


def test_an_ffmpeg_that_gives_up_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(path: str) -> tuple[int, float]:
        raise RuntimeError("moov atom not found\nand much more")

    for count in (lambda path: (2, 0.2), unreadable):
        monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", count)
        with pytest.raises(RunFolderError, match=r"^[^\n]*did not finish[^\n]*$"):
            write_video(tmp_path / "out.mp4", [frame(i) for i in range(3)], 10)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np\n"
        "from rlbench.play.video import write_video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "rng = np.random.default_rng(0)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        write_video(path, (rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(100)), 10)\n"
        "    except Exception as e:\n"
        "        print(type(e).__name__, e)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out.mp4"), str(tmp_path / "out.gif")]
    result = subprocess.run(command, capture_output=True, text=True)
    lines = result.stdout.splitlines()
    assert len(lines) == 2, result.stdout + result.stderr
    for line, name in zip(lines, ("out.mp4", "out.gif"), strict=True):
        assert line.startswith("RunFolderError cannot write")
        assert name in line
    assert list(tmp_path.iterdir()) == []
