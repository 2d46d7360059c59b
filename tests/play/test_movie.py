"""A film in the hands of a program: what a cell shows, what is saved, and that it shows the episode that it says."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rlbench.errors import UsageError
from rlbench.play import movie, video
from rlbench.play.movie import Movie


def frames(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def inline(html: str, kind: str) -> bytes:
    (code,) = re.findall(rf'src="data:{kind};base64,([^"]+)"', html)
    return base64.b64decode(code)


def test_pictures_are_kept_as_they_are_and_equal_ones_once() -> None:
    made = frames(4)
    made[2:2] = [made[1]] * 3
    film = Movie("x", made, 10)
    assert all((a == b).all() for a, b in zip(film.frames(), made, strict=True))
    assert len(film) == 7
    assert film.seconds == 0.7
    assert len({id(packed) for packed in film._packed}) == 4


def test_a_cell_shows_a_video_where_there_is_ffmpeg() -> None:
    film = Movie("<b>", frames(6), 10)
    html = film._repr_html_()
    assert b"ftyp" in inline(html, "video/mp4")[:16]
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert film._repr_html_() is html  # encoded once


def test_and_an_animated_picture_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "writes_mp4", lambda: False)
    html = Movie("x", frames(8, 1200, 40), 10)._repr_html_()
    image: Any = Image.open(io.BytesIO(inline(html, "image/webp")))
    assert image.n_frames == 8
    assert image.size == (movie.WIDEST, 16)


def test_it_is_saved_in_three_forms(tmp_path: Path) -> None:
    film = Movie("x", frames(40), 50)
    for ending in ("mp4", "gif", "webp"):
        assert film.save(tmp_path / "deep" / f"film.{ending}") == tmp_path / "deep" / f"film.{ending}"
    for ending in ("gif", "webp"):
        with Image.open(tmp_path / "deep" / f"film.{ending}") as image:
            count = image.n_frames  # type: ignore[attr-defined]
        assert 14 <= count <= 21  # of 40: browsers slow a quicker one down
    assert b"ftyp" in (tmp_path / "deep" / "film.mp4").read_bytes()[:16]


def test_what_cannot_be_saved_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Movie("x", frames(2), 10)
    with pytest.raises(UsageError, match=r"film.avi is no name for a film, .* \.webp"):
        film.save(tmp_path / "film.avi")
    with pytest.raises(UsageError, match=r"^'\.' is no name for a film"):
        film.save("")
    monkeypatch.setattr(video, "writes_mp4", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'rlbench\[video\]'"):
        film.save(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_one_that_grows_too_large_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movie, "MOST", 30_000)
    film = Movie("x", frames(9), 10)
    assert not film.complete
    assert 1 < len(film) < 9
    assert "cut" in repr(film)
    assert "cut" in film._repr_html_()


def test_without_a_picture_there_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Movie("x", [], 10)
