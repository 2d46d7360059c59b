"""How far it is, told now and then to who waits."""

import time

from ..process.outputs import err

FIRST = (2.0, 30.0)  # seconds before anything is said, on a terminal and elsewhere
SECONDS = (0.5, 30.0)  # between two lines, which on a terminal are drawn one over the other


class Saying:
    """Context in which it says now and then how far it is."""

    def __init__(self) -> None:
        self._over, self._drawn = err().isatty(), False
        self._next = time.perf_counter() + FIRST[not self._over]

    def __enter__(self) -> "Saying":
        return self

    def __call__(self, text: str) -> None:
        if time.perf_counter() < self._next:
            return
        err().write(f"\r{text}\x1b[K" if self._over else f"{text}\n")
        err().flush()
        self._next, self._drawn = time.perf_counter() + SECONDS[not self._over], True

    def __exit__(self, *_: object) -> None:
        if self._drawn and self._over:
            err().write("\r\x1b[K")
            err().flush()
