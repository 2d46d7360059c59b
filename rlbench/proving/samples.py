"""Random observations inside a space as files describe them, and random masks: by their own generators, never a global
one."""

from collections.abc import Sequence

import numpy as np

from ..policyfile.leaves import leaves
from ..policyfile.metadata import Box, Discrete, Leaf, MultiBinary, Port, Space

SCALES = (0.1, 1.0, 10.0, 1000.0)  # of numbers without bounds


def random_observations(space: Space, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """``count`` observations, the arrays of a file's inputs: (count, *shape) each, in the dtype of the leaf."""
    return {name: _random_leaf(leaf, count, rng) for name, leaf in leaves(space)}


def random_inputs(
    space: Space, ports: Sequence[Port], count: int, rng: np.random.Generator, sizes: Sequence[int] | None
) -> dict[str, np.ndarray]:
    """``count`` rows of a policy's inputs, by name in the order of its ports: random observations and masks; what is
    remembered is zero, as where episodes begin.

    Args:
        space: of the observations.
        ports: the inputs.
        count: how many.
        rng: draws.
        sizes: as for `random_masks`.
    """
    found = random_observations(space, count, rng)
    for port in ports:
        if port.role == "mask":
            found[port.name] = random_masks(port, count, rng, sizes)
        elif port.role == "memory":
            found[port.name] = np.zeros((count, *port.shape), port.dtype)
    return found


def random_masks(port: Port, count: int, rng: np.random.Generator, sizes: Sequence[int] | None) -> np.ndarray:
    """(count, *shape) bool. Of each choice something is legal.

    Args:
        port: of the mask.
        count: how many.
        rng: draws.
        sizes: of several choices at once, which stand side by side, how many there are of each; None: of one.
    """
    masks = rng.random((count, *port.shape)) < rng.uniform(0.1, 1, (count, *[1] * len(port.shape)))
    if len(port.shape) != 1:
        return masks
    at = 0
    for n in sizes or port.shape:
        masks[np.arange(count), at + rng.integers(n, size=count)] = True
        at += n
    return masks


def _random_leaf(leaf: Leaf, count: int, rng: np.random.Generator) -> np.ndarray:
    shape = (count, *leaf.shape)
    if isinstance(leaf, Discrete):
        return rng.integers(leaf.start, leaf.start + leaf.n, shape).astype(leaf.dtype)
    if isinstance(leaf, MultiBinary):
        return rng.integers(0, 2, shape).astype(leaf.dtype)
    if isinstance(leaf, Box):
        return _random_box(leaf, shape, rng)
    start = np.array(leaf.start).reshape(leaf.shape)
    return rng.integers(start, start + np.array(leaf.nvec).reshape(leaf.shape), shape).astype(leaf.dtype)


def _random_box(leaf: Box, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform between two bounds that are no further apart than a million; else normal numbers of several scales, those
    beyond a bound at it."""
    dtype = np.dtype(leaf.dtype)
    low, high = (
        np.broadcast_to(np.array(bound, np.float64), leaf.shape) for bound in (leaf.low, leaf.high)
    )  # NaN where there is none
    between = (high - low) < 1e6
    scale = np.resize(SCALES, shape[0]).reshape(shape[0], *[1] * len(leaf.shape))  # one after the other
    wide = rng.normal(size=shape) * scale
    near = np.where(between, low, 0.0) + rng.random(shape) * np.where(between, high - low, 0.0)
    drawn = np.where(between, near, np.fmin(np.fmax(wide, low), high))
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(drawn), max(limits.min, -(2.0**24)), min(limits.max, 2.0**24)).astype(dtype)
    with np.errstate(over="ignore"):
        return np.clip(drawn.astype(dtype), *_inner(low, high, dtype))


def _inner(low: np.ndarray, high: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The bounds in a narrower dtype, infinite where there is none."""
    return np.where(np.isnan(low), -np.inf, low).astype(dtype), np.where(np.isnan(high), np.inf, high).astype(dtype)
