"""Files written in one piece: the old one or the new one, never half of either."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import RunFolderError


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON in one piece: the old file or the new one, never half of either."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


@contextmanager
def replacing(path: Path, option: str) -> Iterator[Path]:
    """A name to write to beside ``path``; what is there takes its place in the end, or goes where an error came.

    Raises:
        RunFolderError: nothing can be written there; it names ``option`` as the way to another place.
    """
    # ffmpeg goes by the ending, and takes what stands before a colon for a protocol unless the path is absolute.
    temporary = path.absolute().with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        yield temporary
        os.replace(temporary, path)
    except OSError as e:
        raise RunFolderError(f"cannot write {path}: {e.strerror or e}. Give another place: {option}") from e
    finally:
        if temporary.is_file():
            temporary.unlink()
