"""The interface of whoever looks on while a run trains (a panel, plain lines, a test), and what there is to see."""

from pathlib import Path
from typing import Any, Protocol

from ..recipe import Recipe
from .scoreboard import Scoreboard


class Status(Protocol):
    """A run under way, as a watcher sees it."""

    @property
    def folder(self) -> Path:
        """The run folder."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def scores(self) -> Scoreboard: ...

    @property
    def env_steps(self) -> int:
        """Per seed, so far."""

    @property
    def train_seconds(self) -> float:
        """Spent in the loop, without evaluations and checkpoints."""

    @property
    def numbers(self) -> dict[str, list[float]]:
        """What the newest update and the agent itself say of learning: name -> one number for each seed."""

    @property
    def evaluating(self) -> str:
        """Of an evaluation under way, how far it is; empty where there is none."""

    @property
    def summary(self) -> dict[str, Any]:
        """Once the run has ended: what summary.json holds."""


class Watcher:
    """Told what happens during a run. This one keeps quiet; none can change anything that is learned."""

    def note(self, text: str) -> None:
        """Something that the user should know: what came of the run is not what it may be taken for."""

    def remark(self, text: str) -> None:
        """Something worth knowing that weakens no result: what it costs, how it is done. By default told as a note."""
        self.note(text)

    def tick(self, status: Status) -> None:
        """Called a few times a second."""

    def evaluated(self, status: Status) -> None:
        """Called after every greedy evaluation."""

    def saved(self, status: Status) -> None:
        """Called when a checkpoint is whole on the disk, with all that was recorded until then.

        Nobody writes to the run folder meanwhile: it can be copied as it stands. Its time counts as the checkpoint's,
        of which there are the fewer the longer they take. Of a run of several processes this is not called.
        """

    def done(self, status: Status) -> None:
        """Called once, when the run has ended."""
