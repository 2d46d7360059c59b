"""What a process is told that carries out a cell: plain JSON, for a file, a pipe or another machine."""

import getpass
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Self

from ..errors import UsageError


class Order(NamedTuple):
    """One cell, once. ``recipe`` is `Recipe.content()`; the code that it names was confirmed by who gave the order.

    Attributes:
        cell: its name in the sweep.
        folder: its run folder, absolute. With a ``store``, a place of the worker's own; "": in its folder for
            temporary files, see `placed`.
        recipe: what is run.
        attempt: 1, 2, ...
        stands: the folder that the user stands in, from which paths are told.
        store: where the run folder is kept, an fsspec address; "": ``folder`` is where everyone finds it.
        time_limit: seconds that one attempt may take; 0: as long as it likes.
        sweep: the sweep folder of who gave the order, absolute: among several with one store it tells whose this is.
    """

    cell: str
    folder: str
    recipe: dict[str, Any]
    attempt: int = 1
    stands: str = ""
    store: str = ""
    time_limit: float = 0.0
    sweep: str = ""

    def placed(self) -> Self:
        """With a folder of this machine, if it has none: the same one for the same store and sweep each time."""
        if self.folder or not self.store:
            return self
        known = hashlib.sha256(f"{self.store}\n{self.sweep}".encode()).hexdigest()[:16]
        return self._replace(folder=str(Path(tempfile.gettempdir()) / f"rlbench-{getpass.getuser()}" / known))

    def to_json(self) -> str:
        """Read by `from_json`."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` gave.

        Raises:
            UsageError: ``text`` is something else.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError) as e:
            raise UsageError(f"this is no order of a cell: {e}") from e
