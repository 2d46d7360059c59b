"""Pictures of an episode in little space, as data URIs: for pages that need no other file."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

LARGEST = 640  # pixels of the longer side; a larger picture is shrunk
LOSSLESS = 12_000  # bytes; a picture that takes more without loss is kept with a little


class Pictures:
    """Keeps pictures as WebP, without loss where that is small, and each only once where several in a row are equal.

    Where they outgrow the budget every second one goes, and from then on every second one is kept; and so on.

    Args:
        budget: bytes.

    Attributes:
        every: how many states share a picture; 1 where none was left out.
        size: width and height of what is kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.every, self.size = budget, 1, (0, 0)
        self._kept: list[tuple[int, bytes]] = []  # of states 0, every, 2 * every, ...
        self._last: tuple[bytes, bytes] = b"", b""  # a picture and its code
        self._count = self._bytes = 0
        self._newest: np.ndarray | None = None  # of the newest state, where it was left out

    def add(self, frame: np.ndarray) -> None:
        """The picture of the next state, (H, W, 3) uint8."""
        self._newest = None
        if self._count % self.every == 0:
            self._keep(self._count, self._code(frame))
            while len(self._kept) > 1 and self._bytes > self.budget:
                self.every *= 2
                before, self._kept, self._bytes = self._kept, [], 0
                for state, code in before:
                    if state % self.every == 0:
                        self._keep(state, code)
        if self._kept[-1][0] != self._count:
            self._newest = frame
        self._count += 1

    def done(self) -> tuple[list[str], list[int]]:
        """Data URIs, and for every state the position of the one that shows it. The last state's is always there."""
        kept = list(self._kept)
        if not kept:
            return [], []
        if self._newest is not None:
            kept.append((self._count - 1, self._code(self._newest)))
        uris, begins = list[str](), list[int]()
        before = None
        for state, code in kept:
            if code is not before:
                uris.append("data:image/webp;base64," + base64.b64encode(code).decode())
                begins.append(state)
            before = code
        shown = np.searchsorted(np.array(begins), np.arange(self._count), side="right") - 1
        return uris, shown.tolist()

    def _keep(self, state: int, code: bytes) -> None:
        if not self._kept or code is not self._kept[-1][1]:
            self._bytes += len(code)
        self._kept.append((state, code))

    def _code(self, frame: np.ndarray) -> bytes:
        raw = frame.tobytes()
        if raw == self._last[0]:
            return self._last[1]
        image = Image.fromarray(frame)
        if max(image.size) > LARGEST:
            image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        self.size = image.size
        code = _webp(image, lossless=True, quality=50, method=2)
        if len(code) > LOSSLESS:
            code = _webp(image, quality=80, method=2)
        self._last = raw, code
        return code


def _webp(image: Image.Image, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", **how)
    return file.getvalue()
