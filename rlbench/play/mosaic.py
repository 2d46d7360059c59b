"""Several pictures side by side in one, each with its title above it. Knows nothing of what they show."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

LARGEST = 1920, 1080  # pixels of the whole; larger pictures are shrunk
NARROWEST = 240  # pixels; a narrower picture is enlarged, so that there is room for its title
MOST = 16
GAP = 8
LETTER = 12, 20  # pixels, the least and the most
BACK, STRIP = (18, 18, 20), (38, 38, 44)
NAME, LINE, OVER = (255, 255, 255), (196, 196, 204), (255, 190, 70)


class Tile(NamedTuple):
    """A picture and its title. ``over``: nothing more comes, and the second line shows it."""

    frame: np.ndarray  # (H, W, 3) uint8
    name: str
    line: str
    over: bool


class Mosaic:
    """Lays out and draws tiles.

    Args:
        frames: the first pictures, (H, W, 3) uint8 each; room is made for the largest. At most `MOST`.
    """

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        height, width = (max(frame.shape[i] for frame in frames) for i in (0, 1))
        self._factor = math.ceil(NARROWEST / width) if width < NARROWEST else 1
        width, height = width * self._factor, height * self._factor
        self.columns, scale = _columns(len(frames), width, height)
        self._rows = math.ceil(len(frames) / self.columns)
        self._size = max(NARROWEST, int(width * scale)), max(1, int(height * scale))
        self._text = min(LETTER[1], max(LETTER[0], self._size[0] // 26))  # height of a letter, in pixels
        self._line = round(1.35 * self._text)
        self._strip = 2 * self._line + self._text // 2

    def draw(self, tiles: Sequence[Tile]) -> np.ndarray:
        """(H, W, 3) uint8, of the same size every time. The tiles are as many as in the beginning."""
        width, height = self._size[0] + GAP, self._strip + self._size[1] + GAP
        canvas = Image.new("RGB", (self.columns * width - GAP, self._rows * height - GAP), BACK)
        for i, tile in enumerate(tiles):
            y, x = divmod(i, self.columns)
            canvas.paste(self._title(tile), (x * width, y * height))
            canvas.paste(self._fitted(tile.frame), (x * width, y * height + self._strip))
        return np.array(canvas)

    def _fitted(self, frame: np.ndarray) -> Image.Image:
        image = Image.fromarray(frame)
        if image.size == self._size:
            return image
        sharp = self._size[0] % image.width == 0 and self._size[1] % image.height == 0
        method = Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS
        return ImageOps.pad(image, self._size, method, color=BACK)

    def _title(self, tile: Tile) -> Image.Image:
        strip = Image.new("RGB", (self._size[0], self._strip), STRIP)
        pen, edge = ImageDraw.Draw(strip), self._text // 2
        for k, (text, colour) in enumerate(((tile.name, NAME), (tile.line, OVER if tile.over else LINE))):
            text, font = _fitting(text, self._text, self._size[0] - 2 * edge)
            pen.text((edge, edge // 2 + (k + 0.5) * self._line), text, colour, font, anchor="lm")
        return strip


def _columns(n: int, width: int, height: int) -> tuple[int, float]:
    """How many tiles stand side by side, and what they are shrunk by: about as large as they can be, without holes."""
    choices = []
    for columns in range(1, n + 1):
        rows = math.ceil(n / columns)
        room = LARGEST[0] / columns - GAP, LARGEST[1] / rows - GAP - 3.2 * LETTER[1]  # under a title
        scale = min(1.0, room[0] / width, room[1] / height)
        choices.append((round(scale, 1), n - columns * rows, columns, scale))
    _, _, columns, scale = max(choices)
    return columns, scale


@lru_cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _fitting(text: str, size: int, width: int) -> tuple[str, Any]:
    """The text in a font of at most ``size`` in which it is no wider than ``width``; cut short where none is."""
    while size > 8 and _font(size).getlength(text) > width:
        size -= 1
    while text and _font(size).getlength(text) > width:
        text = text[:-1]
    return text, _font(size)
