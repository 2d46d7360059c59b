"""What a tracker is: it is given what a run records, and shows it elsewhere. It can be lost without harm.

A new one is a file beside this one, with an entry in `open`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Note = Callable[[str], Any]
Numbers = Mapping[str, Mapping[int, float]]  # quantity, such as "update/loss" -> seed -> value


class Tracker:
    """Told what a run records. This one keeps nothing; none may change anything that is learned."""

    def numbers(self, values: Numbers, env_steps: int) -> None:
        """Numbers of every seed, of one moment."""

    def histograms(self, values: Mapping[str, Mapping[int, np.ndarray]], env_steps: int) -> None:
        """Many values of every seed each, of one moment: quantity -> seed -> (n,)."""

    def video(self, path: Path, title: str, env_steps: int) -> None:
        """A video of an episode that was played for show."""

    def flush(self) -> None:
        """Bring everything to where it goes; called about once a second."""

    def sizes(self) -> dict[str, int]:
        """Length in bytes of each file under the run folder, after a flush: what a resumed run cuts them back to."""
        return {}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The end; ``summary`` is what summary.json holds, None where the run failed."""
