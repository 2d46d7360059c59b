"""Where a run's numbers go besides its CSV files: trackers, each a view of the record that can be lost without harm."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunFolderError, UsageError, first_line
from ..recipe import Recipe
from ..stats.intervals import mean_interval

Note = Callable[[str], Any]
Numbers = Mapping[str, Mapping[int, float]]  # quantity, such as "update/loss" -> seed -> value
#: What cannot be installed beside constraints.txt, and why; it runs with what pip takes instead.
APART = {"trackio": " (without -c constraints.txt: it wants a Pillow before 13)"}
EXTRAS = {"wandb": "Weights & Biases", "trackio": "Trackio"}  # name of the tracker, package and extra -> what it is


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


class Several(Tracker):
    """Hands everything on to each of ``trackers``."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)

    def numbers(self, values: Numbers, env_steps: int) -> None:
        for tracker in self.trackers:
            tracker.numbers(values, env_steps)

    def histograms(self, values: Mapping[str, Mapping[int, np.ndarray]], env_steps: int) -> None:
        for tracker in self.trackers:
            tracker.histograms(values, env_steps)

    def video(self, path: Path, title: str, env_steps: int) -> None:
        for tracker in self.trackers:
            tracker.video(path, title, env_steps)

    def flush(self) -> None:
        for tracker in self.trackers:
            tracker.flush()

    def sizes(self) -> dict[str, int]:
        return {name: size for tracker in self.trackers for name, size in tracker.sizes().items()}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        for tracker in self.trackers:
            tracker.close(summary)


class Harmless(Tracker):
    """Hands everything on to a service that is not ours. Where that fails it says so, and tells it nothing more."""

    def __init__(self, name: str, tracker: Tracker, note: Note) -> None:
        self.name, self.tracker, self.note = name, tracker, note
        self._lost = False

    def numbers(self, values: Numbers, env_steps: int) -> None:
        self._try(lambda tracker: tracker.numbers(values, env_steps))

    def histograms(self, values: Mapping[str, Mapping[int, np.ndarray]], env_steps: int) -> None:
        self._try(lambda tracker: tracker.histograms(values, env_steps))

    def video(self, path: Path, title: str, env_steps: int) -> None:
        self._try(lambda tracker: tracker.video(path, title, env_steps))

    def flush(self) -> None:
        self._try(lambda tracker: tracker.flush())

    def sizes(self) -> dict[str, int]:
        self._try(lambda tracker: tracker.sizes())
        return {}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        self._try(lambda tracker: tracker.close(summary))

    def _try(self, tell: Callable[[Tracker], Any]) -> None:
        try:
            if not self._lost:
                tell(self.tracker)
        except Exception as e:
            self._lost = True
            self.note(f"{self.name} failed, and is told nothing more: {first_line(e)}. The run's own record goes on.")


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
                raise RunFolderError(f"cannot write to {folder}: {e.strerror or e}.") from e
        else:
            from .online import Online

            trackers.append(Harmless(EXTRAS[name], Online(name, folder, recipe), note))
    return trackers[0] if len(trackers) == 1 else Several(trackers)


def flat(values: Numbers) -> dict[str, float]:
    """One name for every number: QUANTITY_seed_K, and over the seeds QUANTITY_mean.

    Returns get the 95 % interval of their mean too, as QUANTITY_low and QUANTITY_high, from two seeds on.
    """
    named: dict[str, float] = {}
    for quantity, per_seed in values.items():
        if not per_seed:
            continue
        named |= {f"{quantity}_seed_{seed}": value for seed, value in per_seed.items()}
        numbers = np.array(list(per_seed.values()))
        named[f"{quantity}_mean"] = float(numbers.mean())
        if quantity.endswith("/return") and len(numbers) > 1:
            low, high = mean_interval(numbers)
            named |= {f"{quantity}_low": float(low), f"{quantity}_high": float(high)}
    return named


def hyper_parameters(recipe: Recipe) -> dict[str, Any]:
    """The recipe as flat names and plain values (numbers, booleans, texts), for tables of hyper-parameters."""
    content = recipe.content()
    tables = {f"{table}.{key}": value for table in ("env_kwargs", "hyper") for key, value in content.pop(table).items()}
    return {
        name.removeprefix("hyper."): value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in {**content, **tables}.items()
        if value is not None
    }


def run_name(folder: Path) -> str:
    """What a run is called where several stand in one list: the last two parts of its folder's path."""
    return "/".join(folder.resolve().parts[-2:]).lstrip("/")
