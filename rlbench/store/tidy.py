"""What no state names any more is removed from a store, after a while in which who reads it may still be at it.

No clock of another machine is trusted: that while is counted by the process that removes, from when it found something
out of use for the first time.
"""

import time

from .manifest import Damage, Generation, KeptFile, Manifest, generation_of_manifest
from .objects import Objects
from .uploads import FOLDER

MANIFESTS = "manifests"
KEPT = 2  # states that stay, the newest included
GRACE = 600.0  # seconds


class Tidy:
    """Removes what is out of use.

    Args:
        objects: of the store.
        grace: seconds that something stays there once it is found to be out of use.
    """

    def __init__(self, objects: Objects, grace: float) -> None:
        self.objects, self.grace = objects, grace
        self.known: dict[str, Manifest] = {}  # by name
        self._found: dict[str, float] = {}  # out of use -> when that was found
        self._next = 0.0

    def if_due(self, newest: Generation) -> None:
        """As `now`, where it is time again; looking costs requests too."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.grace / 2
            self.now(newest)

    def now(self, newest: Generation) -> None:
        """Remove what was out of use for long enough, of what was put until ``newest``, which is a state.

        What a later worker puts is none of our business: it may be on its way, its manifest yet to come.

        Raises:
            StoreError: the store cannot be read or written.
        """
        names = sorted(self.objects.sizes(MANIFESTS), key=_order)
        readable = [name for name in names if self._read(name) is not None]
        stay = self._newest_states(readable)
        old = [n for n in names if n not in stay and _order(n)[:4] < newest and self._aged(n)]
        named = {name for n in readable if n not in old for name in self.known[n].objects}
        gone = [o for o in self.objects.sizes(FOLDER) if o not in named and _before(o, newest) and self._aged(o)]
        self.objects.remove(f"{MANIFESTS}/{name}" for name in old)  # first: none is to name what is gone
        self.objects.remove(f"{FOLDER}/{name}" for name in gone)
        for name in old:
            self.known.pop(name, None)
        for name in (*old, *gone):
            self._found.pop(name, None)

    def _newest_states(self, names: list[str]) -> set[str]:
        """Those of the manifests that tell the newest states; a worker that begins tells once more what is one."""
        stay: set[str] = set()
        states: list[dict[str, KeptFile]] = []
        for name in reversed(names):
            if self.known[name].files not in states:
                states.append(self.known[name].files)
            if len(states) > KEPT:
                break
            stay.add(name)
        return stay

    def _read(self, name: str) -> Manifest | None:
        if name not in self.known:
            try:
                self.known[name] = Manifest.read(name, self.objects.get(f"{MANIFESTS}/{name}"))
            except Damage:
                return None
        return self.known[name]

    def _aged(self, name: str) -> bool:
        now = time.monotonic()
        return now - self._found.setdefault(name, now) >= self.grace


def _order(name: str) -> tuple[int, int, str, int, str]:
    """Manifests by their generations; first what is none, as one that was never finished."""
    return (*(generation_of_manifest(name) or Generation(-1, 0, "", 0)), name)


def _before(name: str, newest: Generation) -> bool:
    """Whether an object, or what is left of one that was being put, is of ``newest`` or before."""
    generation = Generation.of(name)
    return generation is not None and generation <= newest
