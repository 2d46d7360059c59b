"""What seeds' scores look like, as distributions to draw from: normal, skewed, cut off, or in two camps."""

from collections.abc import Callable

import numpy as np

Shape = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.normal(200, 40, size)


def skewed(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Gamma of shape 2, skewness 1.4: most seeds low, some far above."""
    return rng.gamma(2.0, 50, size)


def very_skewed(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Lognormal, skewness 6.2: the mean hangs on seeds that a sample of ten rarely has."""
    return rng.lognormal(3, 1, size)


def ceiling(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """A third of the seeds reach the highest possible score."""
    return np.minimum(500, rng.normal(480, 40, size))


def split(share: float) -> Shape:
    """The given share of seeds learn (480 ± 15), the others fail (100 ± 30)."""

    def draw(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
        return np.where(rng.random(size) < share, rng.normal(480, 15, size), rng.normal(100, 30, size))

    return draw


def wide(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Normal, four times as wide as `normal`."""
    return rng.normal(200, 160, size)


#: Shapes of one agent, and of both agents of a pair that does not differ.
SHAPES: dict[str, Shape] = {
    "normal": normal,
    "skewed": skewed,
    "half fail": split(0.5),
    "ceiling": ceiling,
    "very skewed": very_skewed,
}

#: Pairs of different shapes.
PAIRS: dict[str, tuple[Shape, Shape]] = {
    "normal, wide": (normal, wide),
    "half fail, 20 % fail": (split(0.5), split(0.8)),
    "half fail, none": (split(0.5), split(1.0)),
    "ceiling, half fail": (ceiling, split(0.5)),
}
