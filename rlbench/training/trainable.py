"""What `train` and `resume` need of a run, whether it is in this process or on several."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..recipe import Recipe
from ..recipe.build import Parts
from ..record.watcher import Watcher
from ..runfolder.checkpoints import Kept
from ..seed_axis import Axes


class Trainable(Protocol):
    """A run that has not begun: `start` or `restore` it, then `run` it; or `close` it."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def watcher(self) -> Watcher: ...

    def tried(self) -> Parts:
        """Parts of the run, all or of one seed, that show what it needs and whether they work.

        Raises:
            NoRoom: there is not enough memory.
            RlbenchError: something cannot be built.
        """

    def start(self, folder: Path, axes: Axes = None) -> None:
        """Begin a new run in ``folder``, which is ours.

        Args:
            folder: the run folder.
            axes: what belongs to the seeds in the agent's state, as far as it is known.
        """

    def restore(self, folder: Path, kept: Kept | None, changes: Mapping[str, object]) -> None:
        """Go on with the run in ``folder``.

        Args:
            folder: the run folder.
            kept: its newest checkpoint; None where its workers have their own.
            changes: keys of the recipe that are not what they were, and what they are.
        """

    def run(self) -> dict[str, Any]:
        """Train to the end; what summary.json holds."""

    def close(self) -> None:
        """Let go of a run that does not begin."""
