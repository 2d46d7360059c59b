"""Charts made of characters: small bars, and a curve with its band. Braille and blocks, or plain ASCII."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.:-=+*#"
_DOTS = np.array([[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]])  # braille: left and right column, top first


class Cells(NamedTuple):
    """A chart as rows of characters; ``on_curve`` says which of them belong to the curve, not to its band."""

    rows: list[str]
    on_curve: np.ndarray  # (height, width) bool


def bars(values: Sequence[float] | np.ndarray, low: float, high: float, *, plain: bool = False) -> str:
    """Each value as one small bar between ``low`` and ``high``; a blank for NaN. ``plain`` is ASCII."""
    signs = ASCII_BARS if plain else BARS
    share = (np.asarray(values, np.float64) - low) / ((high - low) or 1.0)
    return "".join(" " if s != s else signs[int(min(max(s, 0.0), 0.999) * len(signs))] for s in share.tolist())


def sparkline(values: Sequence[float], width: int, *, plain: bool = False) -> str:
    """The values as a row of at most ``width`` small bars, from their lowest to their highest."""
    if not len(values):
        return ""
    if len(values) > width:
        edges = np.linspace(0, len(values), width + 1).astype(int)
        values = [float(np.mean(values[a:b])) for a, b in itertools.pairwise(edges)]
    return bars(values, min(values), max(values), plain=plain)


def gauge(share: float, width: int, *, plain: bool = False) -> tuple[str, str]:
    """What is done and what is left of a bar ``width`` wide, as two texts."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if plain:
        full = eighths // 8
        return "#" * full, "." * (width - full)
    full, part = divmod(eighths, 8)
    done = "█" * full + ("▏▎▍▌▋▊▉"[part - 1] if part else "")
    return done, "░" * (width - len(done))


def nice_range(low: float, high: float) -> tuple[float, float]:
    """A range around [low, high] that ends in round numbers, so that it changes seldom while a run goes on."""
    largest = max(abs(low), abs(high))
    if high - low <= 1e-9 * largest:  # a level line stands in the middle
        room = 0.5 * min(largest, 1.0) or 0.5
        low, high = low - room, high + room
    step = 10.0 ** math.floor(math.log10(high - low))
    step *= next(k for k in (0.2, 0.5, 1.0, 2.0) if (high - low) / (k * step) <= 6)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def curve(
    mean: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    height: int,
    limits: tuple[float, float],
    *,
    plain: bool = False,
) -> Cells:
    """A curve with its band.

    Args:
        mean: (2 * width,), two points for each column of characters; NaN where there is none.
        low: (2 * width,) the lower end of the band; NaN where there is none.
        high: (2 * width,) its upper end.
        height: in characters.
        limits: values at the lower and upper edge.
        plain: ASCII alone.
    """
    bottom, top = limits
    width, dots = len(mean) // 2, 4 * height
    scale = (top - bottom) or 1.0
    canvas = np.zeros((height, width), np.int64)
    before: int | None = None
    for i, value in enumerate(mean.tolist()):
        if value != value:
            before = None
            continue
        at = min(max(round((top - value) / scale * (dots - 1)), 0), dots - 1)  # from the top
        first, last = (at, at) if before is None or before == at else sorted((at, before + (1 if at > before else -1)))
        for dot in range(first, last + 1):
            canvas[dot // 4, i // 2] |= _DOTS[i % 2, dot % 4]
        before = at
    on_curve = canvas > 0
    band = _stipple(low, high, height, limits)
    rows = [
        "".join(_sign(curve, shade, plain) for curve, shade in zip(*row, strict=True))
        for row in zip(canvas.tolist(), band.tolist(), strict=True)
    ]
    return Cells(rows, on_curve)


def _stipple(low: np.ndarray, high: np.ndarray, height: int, limits: tuple[float, float]) -> np.ndarray:
    """(height, width) braille dots of a band between two curves, (2 * width,) each: every other dot."""
    bottom, top = limits
    values = top - (np.arange(4 * height) + 0.5) / (4 * height) * (top - bottom)  # (dots,) of each row of dots
    with np.errstate(invalid="ignore"):  # NaN is in no band
        inside = (values[:, None] >= low) & (values[:, None] <= high)  # (dots, 2 * width)
    inside[0::2, 0::2] = inside[1::2, 1::2] = False
    cells = inside.reshape(height, 4, -1, 2)  # (height, dot, width, column)
    return np.asarray(np.einsum("hdwc,cd->hw", cells.astype(np.int64), _DOTS))


def _sign(curve: int, shade: int, plain: bool) -> str:
    if not curve and not shade:
        return " "
    return ("*" if curve else ".") if plain else chr(0x2800 + (curve or shade))
