"""A CSV file that another process is writing to, read line by line as it grows."""

from collections.abc import Iterator
from pathlib import Path

from ..errors import RunFolderError


class Restarted(Exception):
    """The file was cut back, as a resumed run does it: what was read before may not be true any more."""


class Tail:
    """Reads what has come since the last time.

    Args:
        path: need not be there yet.
        needed: columns that it must have.

    Attributes:
        header: the names of the columns; empty before the first line is whole.
    """

    def __init__(self, path: Path, needed: tuple[str, ...]) -> None:
        self.path, self.needed = path, needed
        self.header: list[str] = []
        self._at = self._lines = 0
        self._last = b""  # the line that ends at ``_at``

    def read(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The new rows, each with the number of its line. A last line without its newline is left for the next time.

        Raises:
            Restarted: what was read is not there any more.
            RunFolderError: the file is damaged, or cannot be read; names the line.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._at - len(self._last))
                if file.read(len(self._last)) != self._last:
                    raise Restarted
                for line in file:  # one by one: a long run has millions
                    if not line.endswith(b"\n"):
                        return
                    self._at, self._last = self._at + len(line), line
                    if (row := self._parse(line)) is not None:
                        yield self._lines, row
        except FileNotFoundError:
            if self._at:
                raise Restarted from None
        except OSError as e:
            raise RunFolderError(f"cannot read {self.path}: {e.strerror}.") from e

    def _parse(self, line: bytes) -> dict[str, str] | None:
        self._lines += 1
        fields = line.decode("utf-8", errors="replace").rstrip("\r\n").split(",")
        if not self.header:
            missing = [name for name in self.needed if name not in fields]
            if missing:
                raise self.damaged(self._lines, f"the header has no column {missing[0]!r}")
            self.header = fields
            return None
        if len(fields) != len(self.header):
            raise self.damaged(self._lines, f"{len(fields)} fields instead of {len(self.header)}")
        return dict(zip(self.header, fields, strict=True))

    def damaged(self, line: int, why: str) -> RunFolderError:
        """The error for a line that is not what it should be."""
        return RunFolderError(f"{self.path}, line {line}: {why}. The file is damaged.")
