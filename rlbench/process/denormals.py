"""Denormal numbers, below 1e-38 in float32: zero while an agent computes, themselves while an environment does.

The moments that Adam keeps of units that have died fall to such numbers and stay there (18 % of the first moments in a
CartPole run), and CPUs compute with them many times slower. An environment's arithmetic is its own: it must come out
as it does anywhere else. The switch is the CPU's, for the calling thread, and costs a tenth of a microsecond.
"""

import contextlib
from collections.abc import Iterator

import torch

flush = torch.set_flush_denormal  # True: they count as zero from here on; does nothing where the CPU cannot


def flushed() -> bool:
    """Whether they count as zero now."""
    return float(torch.tensor(1e-39) * 0.5) == 0


@contextlib.contextmanager
def zeroed() -> Iterator[None]:
    """Context in which they count as zero, for what an agent computes outside the loop."""
    before = flushed()
    flush(True)
    try:
        yield
    finally:
        flush(before)
