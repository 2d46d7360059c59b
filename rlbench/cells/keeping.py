"""The run folder of a cell, kept in a store by the process that carries the cell out.

A store that does not answer for a while costs nothing but what would be trained again after a loss: the run goes on,
says so, and brings its folder up at a later checkpoint. At the end it has to be there.
"""

import threading
import time
from itertools import takewhile
from pathlib import Path

from ..errors import Overtaken, StoreError
from ..runfolder.lock import Lock
from ..store.store import Store
from ..units import byte_size, duration
from .attempt import FILE, LOG, ORDER
from .order import Order

AT_CHECKPOINTS, AT_ENDS = 15.0, 120.0  # seconds that a request is tried again for
OF_A_RUN, OF_ITS_END = ("recipe.toml", "run.json"), ("summary.json", "episodes.csv")  # files of every run
NOTES = 10.0  # seconds between two of what is told beside the folder


class Keeping:
    """Keeps the folder of ``order`` in its store, and says what it does in the log.

    Raises:
        UsageError: as of `Store`.
    """

    def __init__(self, order: Order) -> None:
        self.folder = Path(order.folder)
        self.store = Store(order.store, order.attempt, note=self._say, patience=AT_ENDS)
        self._behind = 0.0  # since when the store has not been reached
        self._over = False  # another attempt has it
        self._told, self._telling = 0.0, threading.Event()
        self._telling.set()

    def down(self) -> None:
        """Make the folder what the attempt before has brought up last, if anything.

        Raises:
            StoreError: the store cannot be read; or a later attempt was here.
            RunFolderError: the folder cannot be written, or somebody else is at work there.
        """
        began = time.perf_counter()
        with Lock(self.folder):
            there = self.store.down(self.folder, keep=(FILE, LOG, ORDER))
        if there:
            self._join_logs()
            self._say(f"{self.store.address}: brought down in {duration(time.perf_counter() - began, tenths=True)}")
        self.store.objects.patience = AT_CHECKPOINTS

    def saved(self) -> None:
        """Bring the folder up, at a checkpoint.

        Raises:
            Overtaken: a later attempt is at work.
            StoreError: somebody has removed files of the folder, which is not brought up.
        """
        self._see_whole(done=False)
        try:
            done = self.store.up(self.folder)
        except Overtaken:
            self._over = True
            raise
        except StoreError as e:
            if not self._behind:
                self._say(f"{e} The run goes on, and brings its folder up at a later checkpoint.")
            self._behind = self._behind or time.monotonic()
            return
        if self._behind:
            self._say(f"{self.store.address}: behind for {duration(time.monotonic() - self._behind)}, and in step now.")
            self._behind = 0.0
        if done.seconds > 1:
            self._say(
                f"{self.store.address}: {byte_size(done.sent)} of {byte_size(done.nbytes)} brought up in "
                f"{duration(done.seconds, tenths=True)}"
            )

    def end(self, *, done: bool = False) -> None:
        """Bring the folder up, as it stays; unless another attempt has it.

        Args:
            done: the run has come to its end.

        Raises:
            StoreError: it cannot be written; or a later attempt is at work; or somebody has removed files of it.
        """
        if self._over:
            return
        self._telling.wait(AT_ENDS)
        self.store.objects.patience = AT_ENDS
        self._see_whole(done=done)
        self.store.up(self.folder)
        if (self.folder / FILE).is_file():
            self.store.write_note(FILE, (self.folder / FILE).read_bytes())

    def tell(self, name: str, data: bytes) -> None:
        """Put a few bytes beside the folder's state, now and then, for who looks on; training does not wait for it."""
        if self._over or time.monotonic() - self._told < NOTES or not self._telling.is_set():
            return
        self._told = time.monotonic()
        self._telling.clear()

        def put() -> None:
            try:
                self.store.write_note(name, data)
            except StoreError:  # who looks on sees what was before
                pass
            finally:
                self._telling.set()

        threading.Thread(target=put, daemon=True).start()

    def _see_whole(self, *, done: bool) -> None:
        """See that the folder is a run's still: what is brought up takes the place of what was there."""
        names = (*OF_A_RUN, *OF_ITS_END) if done else OF_A_RUN
        lost = [name for name in names if not (self.folder / name).is_file()]
        if not lost:
            return
        if not done:  # one that never came to its run has none of them, and a log that tells why
            state = self.store.newest()
            if state is None or lost[0] not in state.files:
                return
        raise StoreError(
            f"{self.folder} has lost {lost[0]} while this run was at work, and is not brought up: what "
            f"{self.store.address} holds stays."
        )

    def _join_logs(self) -> None:
        """Put the log of earlier attempts before this one's, into the file that is being written to."""
        earlier, path = self.store.read_file(LOG), self.folder / LOG
        if not earlier or not path.is_file():
            return
        with path.open("r+b") as file:
            own = file.read()
            lines = zip(earlier.splitlines(keepends=True), own.splitlines(keepends=True), strict=False)
            both = sum(len(line) for line, mine in takewhile(lambda two: two[0] == two[1], lines))
            file.seek(0)
            file.write(earlier + own[both:])  # what both have is of an attempt that was on this machine

    def _say(self, text: str) -> None:
        print(text, flush=True)
