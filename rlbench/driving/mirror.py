"""A sweep whose run folders are kept in a store: DIR/cells follows it, and all commands find there what they ask for.

While a cell is at work, what it says of itself is fetched; at its end its whole run folder comes down.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ..cells.attempt import FILE, LOG, parse_attempt, read_attempt
from ..cells.order import Order
from ..cells.perform import DONE, FAILED, FULL, no_room
from ..engines.engine import CellEnd
from ..errors import RlbenchError, StoreError, UsageError, first_line
from ..files import write_text
from ..store.address import whole_address
from ..store.manifest import generation_of_manifest
from ..store.objects import Objects
from ..store.store import Store
from ..store.tidy import MANIFESTS
from ..sweep.folder import CELLS

EVERY = 5.0  # seconds between two looks at what cells say
AT_ONCE = 4  # run folders that come down together
TRIED = 10.0  # seconds that a request is tried again for before anything has begun
ASKED = 5.0  # and while a driver waits for its answer, who has others to look after


class Mirror:
    """The cells of the sweep in ``out``, from the store at ``address``.

    Args:
        address: of the sweep; each cell has a place of its own below it.
        out: the sweep folder.
        note: told what the user should know.
    """

    def __init__(self, address: str, out: Path, note: Callable[[str], object]) -> None:
        self.objects, self.out, self.note = Objects(address), out, note
        self._asked = Objects(address, ASKED)
        self._followed: set[str] = set()
        self._blind = False  # it was told that nothing is seen of cells at work
        self._lock, self._over = threading.Lock(), threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._coming: list[Future[CellEnd]] = []
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def address(self, name: str) -> str:
        """Of a cell."""
        return f"{self.objects.address}/{name}"

    def attempts(self, name: str) -> int:
        """The number of the newest attempt at a cell whose run folder is in the store; 0 where there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        names = self._asked.sizes(f"{name}/{MANIFESTS}")
        return max((one.attempt for each in names if (one := generation_of_manifest(each))), default=0)

    def gather(self, names: Iterable[str]) -> None:
        """Bring down those of the cells that are in the store and not here, as where another machine drove the sweep.

        Raises:
            StoreError: the store cannot be read.
            RunFolderError: the sweep folder cannot be written.
        """
        there = self.objects.folders()
        missing = [name for name in names if name in there and not (self._folder(name) / "recipe.toml").is_file()]
        for _ in self._pool.map(
            lambda name: Store(self.address(name), note=self.note).down(self._folder(name)), missing
        ):
            pass

    def follow(self, name: str) -> None:
        """A cell is at work from now on."""
        with self._lock:
            self._followed.add(name)
        if not self._thread.is_alive() and not self._over.is_set():
            self._thread.start()

    def end(self, end: CellEnd) -> None:
        """A cell has ended: bring its run folder down. `ended` gives it when that is done."""
        with self._lock:
            self._followed.discard(end.cell)
        self._coming.append(self._pool.submit(self._bring, end))

    def ended(self) -> list[CellEnd]:
        """Cells whose run folders have come down. Of one that cannot come down this is told as a failure."""
        here = [one for one in self._coming if one.done()]
        self._coming = [one for one in self._coming if one not in here]
        return [one.result() for one in here]

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._pool.shutdown(cancel_futures=True)

    def _folder(self, name: str) -> Path:
        return self.out / CELLS / name

    def _bring(self, end: CellEnd) -> CellEnd:
        folder = self._folder(end.cell)
        try:
            store = Store(self.address(end.cell), note=self.note)
            found = store.down(folder)
            if end.code == DONE:
                if not found or not (folder / "recipe.toml").is_file():
                    raise StoreError(f"{store.address} holds no run, though its cell has ended well.")
                store.tidy()
            else:
                self._told(end.cell)
        except (RlbenchError, OSError) as e:
            return end._replace(code=FULL if no_room(e) else FAILED, said=str(e))
        except Exception as e:  # a defect, of ours or of what speaks to the store: it fails this cell alone
            said = f"it did not come down from {self.address(end.cell)}: {type(e).__name__}: {first_line(e)}"
            return end._replace(code=FAILED, said=said)
        return end

    def _told(self, name: str) -> None:
        """Take over what an attempt said at its end that did not come to its store; on this machine, it lies here."""
        folder = self._folder(name)
        place = Path(Order(name, "", {}, store=self.address(name), sweep=str(self.out)).placed().folder)
        last, known = read_attempt(place), read_attempt(folder)
        if last is not None and (known is None or known.attempt < last.attempt or known.state == "running"):
            folder.mkdir(parents=True, exist_ok=True)
            for file in (FILE, LOG):
                if (place / file).is_file():
                    write_text(folder / file, (place / file).read_text(encoding="utf-8", errors="replace"))

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            try:
                self._look()
            except StoreError:  # it is seen later
                pass
            except Exception as e:  # a defect, of ours or of what speaks to the store; cells do not depend on it
                if not self._blind:
                    why = f"{type(e).__name__}: {first_line(e)}"
                    self.note(f"what cells at work say is not seen here: {why}. They go on; this is tried again.")
                self._blind = True

    def _look(self) -> None:
        """Fetch what the cells at work say of themselves."""
        with self._lock:
            names = sorted(self._followed)
        for name in names:
            text = (self.objects.get(f"{name}/{FILE}") or b"").decode(errors="replace")
            with self._lock:
                if name in self._followed and parse_attempt(text):
                    self._write(name, text)

    def _write(self, name: str, text: str) -> None:
        try:
            self._folder(name).mkdir(parents=True, exist_ok=True)
            write_text(self._folder(name) / FILE, text)
        except OSError:  # a full disk is told where the folder comes down
            pass


def checked_store(address: str) -> str:
    """``address`` as workers take it, once objects could be put there and read again.

    Raises:
        UsageError: it is no address, or one that processes do not share.
        StoreError: nothing can be put there.
    """
    address = whole_address(address)
    if address.startswith("memory:"):
        raise UsageError(f"{address} lies in the memory of one process, and cells are others. Give another --store.")
    Objects(address, TRIED).check()
    return address
