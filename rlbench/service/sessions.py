"""What a recurrent policy remembers of its clients, each under the name of its session.

A session begins when its client says so, and is never begun by accident: one that expired, or made room for others, is
told to the client, who would else get answers of a policy that has forgotten half an episode.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

from .refused import Refused

Memory = Mapping[str, np.ndarray]  # by the names of the memory inputs, (1, *shape)


class Sessions:
    """Those of one worker.

    Args:
        most: how many; the one that was used least recently makes room for another.
        ttl: seconds that an unused one is kept.
        clock: seconds.
    """

    def __init__(self, most: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._ttl, self._clock = most, ttl, clock
        # What is remembered, None where an episode begins, and when it was used; least recently used first.
        self._kept: OrderedDict[str, tuple[Memory | None, float]] = OrderedDict()
        self.evicted, self.expired = 0, 0

    def __len__(self) -> int:
        self._expire()
        return len(self._kept)

    def recall(self, name: str) -> Memory | None:
        """What is remembered of a session; None: its episode begins. Raises Refused, 404, where it never began here."""
        self._expire()
        if name not in self._kept:
            raise Refused(
                404,
                f"no session {name[:40]!r} is known here: it never began, expired, or made room for others. "
                'Begin it with "begin": true',
            )
        return self._kept[name][0]

    def keep(self, name: str, memory: Memory | None) -> None:
        """Remember this of a session from now on; None: its episode begins."""
        if memory is not None:
            memory = {key: array.copy() for key, array in memory.items()}  # a batch's is not kept for one row of it
        self._kept[name] = (memory, self._clock())
        self._kept.move_to_end(name)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
            self.evicted += 1

    def clear(self) -> None:
        """Forget all: what one policy remembered means nothing to another."""
        self._kept.clear()

    def _expire(self) -> None:
        before = self._clock() - self._ttl
        while self._kept and next(iter(self._kept.values()))[1] <= before:
            self._kept.popitem(last=False)
            self.expired += 1
