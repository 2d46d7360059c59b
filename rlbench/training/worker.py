"""The life of one of several processes of a run: it trains its share of the seeds, and tells the parent of it."""

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from ..cuda.failure import card_failure
from ..errors import RlbenchError
from ..process.orphans import when_the_parent_dies
from ..process.places import stand
from ..recipe import Recipe
from ..recipe.registry import agent_code
from ..record.watcher import Status, Watcher
from ..rollout.signals import Interrupted, Interrupts, let_through
from ..runfolder.checkpoints import newest
from ..runfolder.create import new_folder
from ..seed_axis import Axes
from .session import Session
from .underway import Underway


class _Reporter(Watcher):
    """Sends what a worker's run shows to the parent."""

    def __init__(self, pipe: Any, parent: int) -> None:
        self.pipe, self.parent = pipe, parent

    def note(self, text: str) -> None:
        self._send("note", text)

    def remark(self, text: str) -> None:
        self._send("remark", text)

    def tick(self, status: Status) -> None:
        self._report("tick", status)

    def evaluated(self, status: Status) -> None:
        self._report("evaluated", status)

    def _report(self, kind: str, status: Status) -> None:
        scores = status.scores
        content = {"env_steps": status.env_steps, "train_seconds": status.train_seconds, "numbers": status.numbers}
        content["evaluating"] = status.evaluating
        if isinstance(status, Underway):
            content["cost"] = status.state.cost
        self._send(kind, {**content, "scores": scores.state_dict(), "solved_at": scores.solved_at})

    def _send(self, kind: str, content: Any) -> None:
        if os.getppid() != self.parent:  # it is gone: save and end
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self.pipe.send((kind, content))


def work(pipe: Any, content: dict[str, Any], folder: Path, resume: bool, parent: int, stands: Path, axes: Axes) -> None:
    """A worker's whole life.

    Args:
        pipe: to the parent.
        content: the recipe of its share of the seeds.
        folder: its own run folder, under that of the whole run.
        resume: whether to go on where it had stopped.
        parent: the parent's process id.
        stands: the folder that its user stands in.
        axes: what belongs to the seeds in the agent's state, as far as it is known.
    """
    stand(stands)
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # a Ctrl-C in the terminal is the parent's to hand on
    when_the_parent_dies(signal.SIGTERM)  # save and end
    try:
        with Interrupts() as interrupts:  # a signal finds no worker unprepared
            let_through()
            recipe = Recipe.from_content(content, str(folder))
            with agent_code(recipe.agent):
                session = Session(recipe, _Reporter(pipe, parent), alone=False)

                def agreed() -> None:
                    """Wait until the others stand too: a resume that fails in one of them changes nothing."""
                    pipe.send(("stands", None))
                    if interrupts.wait(pipe.recv, None) is None:
                        raise Interrupted("stopped before the run went on", interrupts.signal)

                if resume and (folder / "checkpoint.pth").is_file():
                    session.restore(folder, newest(folder), agreed=agreed)
                else:
                    if resume:
                        agreed()
                    shutil.rmtree(folder, ignore_errors=True)
                    session.start(new_folder(recipe, folder), axes)
                try:
                    session.run(interrupts)
                except Interrupted:
                    if interrupts.foreign:  # the others do not know
                        raise
            pipe.send(("summary", session.now.summary))
    except RlbenchError as e:
        if os.environ.get("RLBENCH_DEBUG"):  # an exception's traceback does not travel
            sys.stderr.write(traceback.format_exc())  # at once: others print theirs in this moment
        pipe.send(("error", (str(e), e.exit_code)))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as e:  # before or after the run itself, which tells it better
        if not (said := card_failure(e)):
            raise
        pipe.send(("error", (f"the card {content['device']} failed: {said}.", 1)))
