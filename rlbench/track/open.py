"""Opens the trackers that a recipe asks for; the only file that knows which there are: a new one is entered here."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import UsageError
from ..files import unwritable
from ..recipe import Recipe
from .several import Harmless, Several
from .tracker import Note, Tracker

#: What cannot be installed beside constraints.txt, and why; it runs with what pip takes instead.
APART = {"trackio": " (without -c constraints.txt: it wants a Pillow before 13)"}


EXTRAS = {"wandb": "Weights & Biases", "trackio": "Trackio"}  # name of the tracker, package and extra -> what it is


def check_trackers(names: Sequence[str]) -> None:
    """Find out before a run begins whether its trackers are there.

    Raises:
        UsageError: a package is missing; names the extra to install.
    """
    for name in names:
        if name in EXTRAS and importlib.util.find_spec(name) is None:
            raise UsageError(
                f"--track {name} needs {EXTRAS[name]}. Run: pip install 'rlbench[{name}]'{APART.get(name, '')}"
            )


def open_tracker(
    recipe: Recipe,
    folder: Path,
    sizes: Mapping[str, int] | None = None,
    env_steps: int = 0,
    note: Note = lambda text: None,
) -> Tracker:
    """The trackers that the recipe asks for.

    Args:
        recipe: what is run.
        folder: the run folder, or that of a worker.
        sizes: for a resumed run, what `Tracker.sizes` gave when the checkpoint was written; None for a new run.
        env_steps: where a resumed run goes on.
        note: told where a service fails later.

    Raises:
        UsageError: a tracker's package is missing, or it could not begin.
        RunFolderError: the folder cannot be written.
    """
    check_trackers(recipe.track)
    trackers: list[Tracker] = []
    for name in recipe.track:
        if name == "tensorboard":
            from .tensorboard import TensorBoard  # a fifth of a second

            try:
                trackers.append(TensorBoard(folder, recipe, sizes, env_steps))
            except OSError as e:
                raise unwritable(folder, e) from e
        else:
            from .online import Online

            trackers.append(Harmless(EXTRAS[name], Online(name, folder, recipe), note))
    return trackers[0] if len(trackers) == 1 else Several(trackers)
