"""The loop that times a policy: nothing but two readings of the clock around each call, and what these cost themselves.

Standard library alone: what a contestant's process holds besides is the contestant's.
"""

import contextlib
import gc
import statistics
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

FEWEST = 20  # calls of one measurement, however long they take
MOST = 100_000  # of one measurement, however short they are


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Context without the garbage collector, which runs when it likes, at the cost of whoever is called just then."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def timed(
    call: Callable[[Any], object],
    inputs: Sequence[Any],
    count: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[int]:
    """Nanoseconds of each of ``count`` calls; the inputs are taken in turn."""
    taken = array("q", bytes(8 * count))
    several = len(inputs)
    with undisturbed():
        for i in range(count):
            given = inputs[i % several]
            began = clock()
            call(given)
            taken[i] = clock() - began
    return taken.tolist()


def warmed_up(
    call: Callable[[Any], object],
    inputs: Sequence[Any],
    seconds: float,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> float:
    """Call until ``seconds`` have passed and `FEWEST` calls were made; the median of the latter half, nanoseconds."""
    taken: list[int] = []
    with undisturbed():
        end = clock() + int(seconds * 1e9)
        while len(taken) < FEWEST or (clock() < end and len(taken) < MOST):
            given = inputs[len(taken) % len(inputs)]
            began = clock()
            call(given)
            taken.append(clock() - began)
    return statistics.median(taken[len(taken) // 2 :])


def calls_for(seconds: float, each: float) -> int:
    """How many calls of ``each`` nanoseconds fit, at least `FEWEST`, at most `MOST`."""
    return max(FEWEST, min(MOST, int(seconds * 1e9 / max(each, 1.0))))


def overhead(clock: Callable[[], int] = time.perf_counter_ns) -> float:
    """What the loop itself adds to each call: the median of a call that does nothing, nanoseconds."""
    return statistics.median(timed(_nothing, [None], 10_000, clock))


def _nothing(given: Any) -> None: ...
